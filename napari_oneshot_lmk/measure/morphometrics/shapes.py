"""The landmarks of many images as one array, with the unit of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.morphometrics.semilandmarks import with_semilandmarks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shapes:
    """Landmarks of many images by the same names."""

    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    points_yx: Floats
    """(images, landmarks, 2), (row, column) in the image's own `units`; NaN where not placed."""
    units: tuple[str, ...]
    """"mm" where the spacing of an image is known, else "px"."""

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(images,) whether all landmarks of an image are placed."""
        return np.asarray(np.isfinite(self.points_yx).all(axis=(1, 2)))


def stack_shapes(
    images: Sequence[Landmarks],
    landmarks: Sequence[str] = (),
    spacing_mm_yx: tuple[float, float] | None = None,
) -> Shapes:
    """Stack the landmarks of many images.

    Parameters
    ----------
    images : sequence of Landmarks
        One set per image; points of curves count as landmarks.
    landmarks : sequence of str
        Which landmarks, by default all that are placed on at least one image.
    spacing_mm_yx : tuple of float, optional
        Millimetres per pixel along (row, column), instead of what the landmarks say.

    Raises
    ------
    UsageError
        If a landmark that is named is on no image, or a curve has not the same number of
        points on all images.
    """
    sets = with_semilandmarks(images)
    placed = dict.fromkeys(point.name for each in sets for point in each.placed)
    unknown = [name for name in landmarks if name not in placed]
    if unknown:
        what = f"landmark {unknown[0]!r} is placed on no image"
        raise UsageError(what, remedy=f"name some of {', '.join(list(placed)[:5])}, …")
    names = tuple(landmarks) or tuple(placed)
    spacings = [
        spacing_mm_yx or (each.geometry.spacing_mm_yx if each.geometry else None) for each in sets
    ]
    points = np.full((len(sets), len(names), 2), np.nan)
    for row, (each, spacing) in enumerate(zip(sets, spacings, strict=True)):
        positions = {point.name: point.position_yx for point in each.placed}
        for column, name in enumerate(names):
            if (position := positions.get(name)) is not None:
                points[row, column] = np.array(position) * (spacing or (1.0, 1.0))
    units = tuple("px" if spacing is None else "mm" for spacing in spacings)
    return Shapes(tuple(each.image for each in sets), names, points, units)
