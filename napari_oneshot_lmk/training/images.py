"""The unlabelled images of a training, known by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.template import Template

Spacing = float | tuple[float, float]


@dataclass(frozen=True)
class TrainingImage:
    """An unlabelled image that can be used.

    Parameters
    ----------
    name : str
        In tables.
    path : Path
        Where it lies.
    sha256 : str
        Hash of its pixels as they are read, not of the file.
    shape_yx : tuple of int
        Rows and columns of its own grid.
    spacing_mm_yx : tuple of float, optional
        (row, column), given or stated in the file; None where unknown.
    """

    name: str
    path: Path
    sha256: str
    shape_yx: tuple[int, int]
    spacing_mm_yx: tuple[float, float] | None = None


@dataclass(frozen=True)
class TrainingSet:
    """What was found among the files of a user.

    Parameters
    ----------
    usable : tuple of TrainingImage
        Images to train on, in the order of the files.
    network_shape_yx : tuple of int
        The template's, on which all of them are seen.
    failed : tuple of OneshotError
        One for each file that cannot be used.
    warnings : tuple of str
        Sentences that a user should read before training.
    slice_index : int, optional
        Which slice of volumes is meant.
    """

    usable: tuple[TrainingImage, ...]
    network_shape_yx: tuple[int, int]
    failed: tuple[OneshotError, ...] = ()
    warnings: tuple[str, ...] = ()
    slice_index: int | None = None

    def __len__(self) -> int:
        return len(self.usable)

    @classmethod
    def inspect(
        cls,
        images: Sequence[ImageFile],
        template: Template,
        *,
        spacing_mm_yx: Spacing | None = None,
        slice_index: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> TrainingSet:
        """Read all files once; see `Inspection` for doing so step by step.

        Parameters
        ----------
        images : sequence of ImageFile
            From `find_images`.
        template : Template
            Images that show it again are left out.
        spacing_mm_yx : float or pair of float, optional
            Overrides what the files say.
        slice_index : int, optional
            Which slice of volumes and multi-frame files.
        progress : callable
            Called with how many of how many are read.

        Raises
        ------
        UsageError
            If no image can be used.
        """
        from napari_oneshot_lmk.training.inspection import Inspection

        inspection = Inspection(template, spacing_mm_yx, slice_index)
        for done, image in enumerate(images, start=1):
            inspection.look_at(image)
            progress(done, len(images))
        return inspection.result()

    def read(self, image: TrainingImage) -> GrayImage:
        """Read an image again, with the geometry that it was inspected with.

        Raises
        ------
        UsageError
            If its pixels have changed since.
        ImageError
            If it cannot be read any more.
        """
        found = read_image(
            image.path, spacing_mm_yx=image.spacing_mm_yx, slice_index=self.slice_index
        )
        if pixels_sha256(found) != image.sha256:
            raise UsageError(
                "the image has changed since the training began",
                file=image.path,
                remedy="put the earlier file back, or train anew",
            )
        network = found.geometry.with_network_shape(self.network_shape_yx)
        return GrayImage(found.pixels, network, image.name, image.path)

    def changed_since(self, recorded: Iterable[TrainingImage]) -> list[str]:
        """Return the names of images that are gone, or are not what they were.

        Parameters
        ----------
        recorded : iterable of TrainingImage
            Those of an earlier inspection. Images that came on top are no change
            of these: `only` leaves them out.
        """
        now = {image.name: image for image in self.usable}
        return [old.name for old in recorded if not _same(old, now.get(old.name))]

    def only(self, names: Iterable[str]) -> TrainingSet:
        """Return the set with these images alone, in the order of the names."""
        by_name = {image.name: image for image in self.usable}
        chosen = tuple(by_name[name] for name in names)
        return TrainingSet(
            chosen, self.network_shape_yx, self.failed, self.warnings, self.slice_index
        )


def pixels_sha256(image: GrayImage) -> str:
    """Hash of an image's size and grey values; the same everywhere."""
    digest = hashlib.sha256(repr(image.pixels.shape).encode("ascii"))
    digest.update(np.ascontiguousarray(image.pixels, dtype="<f4").tobytes())
    return digest.hexdigest()


def _same(old: TrainingImage, new: TrainingImage | None) -> bool:
    if new is None or old.sha256 != new.sha256:
        return False
    if old.spacing_mm_yx is None or new.spacing_mm_yx is None:
        return old.spacing_mm_yx is new.spacing_mm_yx
    return bool(np.allclose(old.spacing_mm_yx, new.spacing_mm_yx, rtol=1e-6, atol=0))
