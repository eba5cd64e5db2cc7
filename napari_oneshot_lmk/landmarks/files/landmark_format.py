"""What a landmark file format is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmarks


def _unknown(image: str) -> Geometry | None:
    return None


def _no_file(image: str) -> Path | None:
    return None


def _silent(sentence: str) -> None:
    return None


def always_there() -> None:
    """Say of a format that nothing has to be installed for it."""


def nothing_lost(images: Collection[Landmarks]) -> tuple[str, ...]:
    """Say of a format that it keeps everything."""
    return ()


@dataclass(frozen=True)
class Known:
    """What the caller of a reader knows that a file may lack.

    Parameters
    ----------
    geometry_of : callable
        ``geometry_of(image)`` -> geometry of the image of that name, or None.
    names : tuple of str
        Names of the landmarks, in order, for files that number them only.
    tell : callable
        Is given one sentence about what a file holds and is passed over, or about
        what had to be supposed.
    source_of : callable
        ``source_of(image)`` -> the file of that image, or None. Programs that read
        images with ITK may count its millimetres otherwise than we do.
    """

    geometry_of: Callable[[str], Geometry | None] = _unknown
    names: tuple[str, ...] = ()
    tell: Callable[[str], None] = _silent
    source_of: Callable[[str], Path | None] = _no_file


Reader = Callable[[Path, Known], tuple[Landmarks, ...]]
Writer = Callable[[Path, Collection[Landmarks], Path | None], None]


@dataclass(frozen=True)
class LandmarkFormat:
    """A file format for landmarks.

    Parameters
    ----------
    suffix : str
        End of the file name, lower case; it may hold several dots.
    title : str
        What file dialogues call it.
    read : callable
        ``read(path, known)`` -> tuple of Landmarks.
    write : callable, optional
        ``write(path, images, source)`` writes to a path that is free; ``source``
        is the image file where the caller knows it. The images may be gone through
        more than once. None where the format is only read.
    sniff : callable
        ``sniff(path)`` -> whether the content looks like this format. It never
        raises for a file that can be opened.
    instead : str
        For a format that is only read: what to write instead.
    one_image : bool
        A file holds one image only.
    shared : bool
        Files of other kinds commonly have this suffix too; one of those is never
        replaced.
    patient_mm : bool
        Positions are millimetres in the patient as other programs read them from the
        image, so the image file should be known.
    check_installed : callable
        Raises a LandmarkError where a library that it needs is missing.
    lost : callable
        ``lost(images)`` -> what of these landmarks a file would not hold.
    """

    suffix: str
    title: str
    read: Reader
    write: Writer | None
    sniff: Callable[[Path], bool]
    instead: str = ""
    one_image: bool = False
    shared: bool = False
    patient_mm: bool = False
    check_installed: Callable[[], None] = always_there
    lost: Callable[[Collection[Landmarks]], tuple[str, ...]] = nothing_lost
