"""What a landmark file format is made of, and what the formats share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import (
    LENGTHS_PX,
    Landmark,
    Landmarks,
    Provenance,
    State,
)


@dataclass(frozen=True)
class ReadContext:
    """What the caller of a reader knows that a file may lack; see `read_landmarks`.

    Messages to ``tell``, and errors that are raised, get the file's name there.
    """

    geometry_of: Callable[[str], Geometry | None] = lambda image: None
    names: tuple[str, ...] = ()
    tell: Callable[[str], None] = lambda sentence: None
    source_of: Callable[[str], Path | None] = lambda image: None


@dataclass(frozen=True)
class LandmarkFormat:
    """A file format for landmarks."""

    name: str
    suffix: str
    """End of the file name, lower case; it may hold several dots."""
    recognise: Callable[[Path], bool]
    """Whether the content looks like this format; never raises for a file that opens."""
    read: Callable[[Path, ReadContext], tuple[Landmarks, ...]]
    """Raises a LandmarkError where the file is damaged or of another kind."""
    write: Callable[[Path, Collection[Landmarks], Path | None], None] | None
    """``write(path, images, source)`` writes to a free path; ``source`` is the image file
    where it is known. The images may be iterated more than once. Raises an OutputError for
    landmarks that the format does not hold. None where it is only read."""
    own_suffix: str = ""
    """End of a file that is called like its image, where with ``suffix`` both would have one
    name; empty where they would not."""
    instead: str = ""
    """For a format that is only read: what to write instead."""
    one_image: bool = False
    shared: bool = False
    """Files of other kinds commonly have this suffix too; one of those is never replaced."""
    patient_mm: bool = False
    """Positions are patient millimetres as other programs compute them from the image file."""
    holds_curves: bool = False
    check_installed: Callable[[], None] = lambda: None
    """Raises a LandmarkError where a required library is missing."""
    unsupported: Callable[[Collection[Landmarks]], tuple[str, ...]] = lambda images: ()
    """What of these landmarks a file would not hold."""

    @property
    def suffix_beside_image(self) -> str:
        """End of a file that is called like its image and may lie beside it."""
        return self.own_suffix or self.suffix


def only_image(images: Collection[Landmarks], file: str) -> Landmarks:
    """Return the landmarks of the one image that a kind of file holds, or raise."""
    if len(images) != 1:
        what = f"{file} holds one image, not {len(images)}"
        raise OutputError(what, remedy="write a .csv file, or one file for each image")
    (landmarks,) = images
    return landmarks


# -- fields that a format has no place for ----------------------------------------


def unusual_frame(geometry: Geometry) -> dict[str, tuple[float, ...]]:
    """Return origin and axes where they are not those of an image that states none."""
    frame = {n: getattr(geometry, n) for n in ("origin_lps_mm", "row_axis_lps", "column_axis_lps")}
    return {name: values for name, values in frame.items() if values != getattr(Geometry, name)}


def has_spacing(landmarks: Landmarks) -> bool:
    """Say whether the pixel spacing of the image is known."""
    return landmarks.geometry is not None and landmarks.geometry.spacing_mm_yx is not None


_IS_FILLED: dict[str, Callable[[Landmarks], bool]] = {
    "scores": lambda la: any(p.score is not None for p in la),
    "marks of unsure points": lambda la: any(p.unsure for p in la),
    "expected errors and radii": lambda la: any(
        getattr(p, key) is not None for p in la for key in LENGTHS_PX
    ),
    "shape residuals": lambda la: any(p.shape_residual_mm is not None for p in la),
    "sources": lambda la: any(p.source is not None for p in la),
    "descriptions": lambda la: any(p.description for p in la),
    "who made the points": lambda la: la.provenance != Provenance(),
    "pixel spacing": has_spacing,
    "where the image lies in the patient": lambda la: bool(
        la.geometry and unusual_frame(la.geometry)
    ),
    "size of the image": lambda la: la.geometry is not None,
}


def filled_fields(images: Collection[Landmarks]) -> tuple[str, ...]:
    """Return what at least one set of landmarks holds beside names and positions."""
    return tuple(name for name, is_filled in _IS_FILLED.items() if any(map(is_filled, images)))


# -- positions of other programs --------------------------------------------------

PLACEHOLDERS = frozenset((float(v), float(v)) for v in (-1, -999, -9999, -99999))
"""Positions (row, column) that programs write for a landmark that is not placed."""


def without_zeros(points: Sequence[Landmark]) -> tuple[tuple[Landmark, ...], int]:
    """Take several landmarks at exactly (0, 0) for ones that were not placed.

    A single one there may be meant; two at the same position, and that a corner, are
    not. The number is how many have lost their position.
    """
    zeros = {point.name for point in points if point.position_yx == (0.0, 0.0)}
    if len(zeros) < 2:
        return tuple(points), 0
    cleaned = (
        replace(p, position_yx=None, state=State.SKIPPED, score=None, unsure=False)
        if p.name in zeros
        else p
        for p in points
    )
    return tuple(cleaned), len(zeros)


def unless_moved(
    noted: Landmark, position_yx: tuple[float, float] | None, tolerance_px: float
) -> Landmark:
    """Return what we noted of a landmark, edited where its position was changed since.

    The detector's confidence in the old position is dropped then. ``tolerance_px`` is what
    the rounding of positions in the file may change.
    """
    is_same = noted.position_yx == position_yx
    if noted.position_yx is not None and position_yx is not None:
        is_same = max(map(abs, np.subtract(noted.position_yx, position_yx))) <= tolerance_px
    return noted if is_same else noted.edited_at(position_yx)
