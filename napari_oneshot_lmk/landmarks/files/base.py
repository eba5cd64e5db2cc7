"""What a landmark file format is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, State


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


def _spacing(landmarks: Landmarks) -> bool:
    geometry = landmarks.geometry
    return geometry is not None and geometry.spacing_mm_yx is not None


def _frame(landmarks: Landmarks) -> bool:
    geometry = landmarks.geometry
    if geometry is None:
        return False
    usual = Geometry(geometry.image_shape_yx, geometry.spacing_mm_yx)
    return geometry.with_network_shape(usual.network_shape_yx) != usual


_HOLDS: dict[str, Callable[[Landmarks], bool]] = {
    "scores": lambda la: any(p.score is not None for p in la),
    "marks of unsure points": lambda la: any(p.unsure for p in la),
    "shape residuals": lambda la: any(p.shape_residual_mm is not None for p in la),
    "sources": lambda la: any(p.source is not None for p in la),
    "descriptions": lambda la: any(p.description for p in la),
    "who made the points": lambda la: la.provenance != Provenance(),
    "pixel spacing": _spacing,
    "where the image lies in the patient": _frame,
    "size of the image": lambda la: la.geometry is not None,
}

THOUGHTS = ("scores", "marks of unsure points", "shape residuals")
SOURCES = "sources"
TEXTS = ("descriptions", "who made the points")
SPACING, FRAME, SIZE = list(_HOLDS)[-3:]


def present(images: Collection[Landmarks], things: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``things`` that at least one of the sets holds."""
    return tuple(
        thing
        for thing in _HOLDS
        if thing in set(things) and any(_HOLDS[thing](la) for la in images)
    )


PLACEHOLDERS = frozenset((float(v), float(v)) for v in (-1, -999, -9999, -99999))
"""Positions that tools write for a landmark that is not there, (row, column)."""


def without_zeros(points: Sequence[Landmark]) -> tuple[tuple[Landmark, ...], int]:
    """Take several landmarks at exactly (0, 0) for ones that nobody has placed.

    A single one there may be meant; two at the same place, and that place a corner,
    are not.

    Returns
    -------
    tuple of Landmark
        In the same order.
    int
        How many have lost their position.
    """
    at_zero = [point for point in points if point.position_yx == (0.0, 0.0)]
    if len(at_zero) < 2:
        return tuple(points), 0
    return (
        tuple(
            replace(p, position_yx=None, state=State.SKIPPED, score=None, unsure=False)
            if p.position_yx == (0.0, 0.0)
            else p
            for p in points
        ),
        len(at_zero),
    )
