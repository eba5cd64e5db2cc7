"""Errors that a user can act on: which file, what is wrong, what to do.

None of them derives from ``RuntimeError``, which napari's generator workers swallow.
"""

from __future__ import annotations

from os import PathLike


class OneshotError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    what : str
        What is wrong, without a final full stop.
    file : str or PathLike, optional
        The file that it is about; it opens the sentence.
    remedy : str, optional
        What the user can do about it, without a final full stop.
    """

    def __init__(
        self, what: str, *, file: str | PathLike[str] | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.file = None if file is None else str(file)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        """One sentence: file, what is wrong, what to do."""
        sentence = self.what if self.file is None else f"{self.file}: {self.what}"
        return sentence if self.remedy is None else f"{sentence}; {self.remedy}"

    def about(self, file: str | PathLike[str]) -> OneshotError:
        """Return the same error, naming ``file`` when it names none yet."""
        if self.file is not None:
            return self
        return type(self)(self.what, file=file, remedy=self.remedy)


class ImageError(OneshotError):
    """An image cannot be read or holds nothing to match."""


class GeometryError(OneshotError):
    """Spacing, size or orientation make no sense."""


class SpacingUnknownError(GeometryError):
    """Millimetres were asked of an image whose pixel spacing is unknown."""


class LandmarkError(OneshotError):
    """Landmarks, or a file of them, cannot be used."""


class TemplateError(OneshotError):
    """A template cannot be made or read."""


class WeightsError(OneshotError):
    """Encoder weights are missing, damaged or of another architecture."""


class ModelError(OneshotError):
    """A trained model is missing, damaged, or made for something else."""


class TrainingError(OneshotError):
    """A training cannot start or go on."""


class ClusterError(OneshotError):
    """The machines that the work was given to cannot do it."""


class ProjectError(OneshotError):
    """A project folder, or an image in it, cannot be used."""


class OutputError(OneshotError):
    """A result cannot be written where the user asked for it."""


class UsageError(OneshotError):
    """The call itself is wrong: the command line exits with 2."""


class SourceError(UsageError):
    """What is to be read is not there, or holds nothing to read: the command line exits with 1."""
