"""How an image's grid and spacing stand in the cells of a landmark table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmarks

SIZE_COLUMNS = ("height_px", "width_px")
FRAME_COLUMNS = ("origin_lps_mm", "row_axis_lps", "column_axis_lps")
"""Three numbers in one cell; written where they are not the usual ones."""
SPACING_COLUMN = "spacing_mm_yx"
"""Two numbers in one cell; written where the mm columns cannot tell them."""
GEOMETRY_COLUMNS = (*SIZE_COLUMNS, SPACING_COLUMN, *FRAME_COLUMNS)

# Farther from the first pixel lies no landmark; products of such numbers overflow.
_FARTHEST_MM = 1e12


def geometry_to_cells(landmarks: Landmarks) -> dict[str, str]:
    """Return the cells that every row of an image carries."""
    geometry = landmarks.geometry
    if geometry is None:
        return {}
    height, width = geometry.image_shape_yx
    cells = {"height_px": str(height), "width_px": str(width)}
    usual = Geometry(geometry.image_shape_yx)
    for column in FRAME_COLUMNS:
        if getattr(geometry, column) != getattr(usual, column):
            cells[column] = _text(getattr(geometry, column))
    if geometry.spacing_mm_yx is not None:
        points_yx = landmarks.positions_yx
        points_mm_yx = geometry.points_to_mm(points_yx)
        if spacing_between(points_yx, points_mm_yx) != geometry.spacing_mm_yx:
            cells[SPACING_COLUMN] = _text(geometry.spacing_mm_yx)
    return cells


def geometry_from_cells(
    cells: Mapping[str, str], points_yx: NDArray[np.float64], points_mm_yx: NDArray[np.float64]
) -> Geometry | None:
    """Undo :func:`geometry_to_cells`; None where the size is not stated.

    Parameters
    ----------
    cells : mapping
        Those of ``GEOMETRY_COLUMNS`` that are filled.
    points_yx, points_mm_yx : ndarray, (N, 2)
        Positions in pixels and in mm, NaN where missing.

    Raises
    ------
    GeometryError
        If the values make no sense.
    ValueError
        If a cell does not hold numbers.
    """
    if not all(column in cells for column in SIZE_COLUMNS):
        return None
    frame = {c: _numbers(cells[c], 3) for c in FRAME_COLUMNS if c in cells}
    shape_yx = (_whole(cells["height_px"]), _whole(cells["width_px"]))
    geometry = Geometry(shape_yx, **frame)  # type: ignore[arg-type]
    if SPACING_COLUMN in cells:
        return geometry.with_spacing(_numbers(cells[SPACING_COLUMN], 2))
    return geometry.with_spacing(spacing_between(points_yx, points_mm_yx))


def spacing_between(
    points_yx: NDArray[np.float64], points_mm_yx: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Return the spacing that leads from pixels to mm; None if no single one does.

    Parameters
    ----------
    points_yx, points_mm_yx : ndarray, (N, 2)
        Positions from pixel (0, 0), NaN where missing.
    """
    spacing = []
    for px, mm in zip(points_yx.T, points_mm_yx.T, strict=True):
        # A millionth of a pixel says nothing of a ratio, and may vanish in it.
        usable = np.isfinite(px) & np.isfinite(mm) & (np.abs(px) > 1e-6)
        if not usable.any():
            return None
        px, mm = px[usable], mm[usable]
        if np.abs(mm).max() > _FARTHEST_MM:
            return None
        ratio = float(px @ mm / (px @ px))
        # The shortest number that gives these millimetres is the one meant.
        shorter = (float(f"{ratio:.{digits}g}") for digits in range(1, 18))
        exact = [value for value in shorter if np.array_equal(px * value, mm)]
        if exact:
            ratio = exact[0]
        elif not np.allclose(px * ratio, mm, rtol=1e-3, atol=0.01):
            return None
        spacing.append(ratio)
    return spacing[0], spacing[1]


def _text(values: tuple[float, ...]) -> str:
    return " ".join(repr(value) for value in values)


def _whole(cell: str) -> int:
    """Read a whole number; spreadsheet programs may have made 600.0 of it."""
    (value,) = _numbers(cell, 1)
    if not value.is_integer():
        raise ValueError(f"{cell!r} is not a whole number")
    return int(value)


def _numbers(cell: str, count: int) -> tuple[float, ...]:
    values = tuple(float(part) for part in cell.split())
    if len(values) != count or not np.all(np.isfinite(values)):
        raise ValueError(f"{cell!r} is not {count} finite numbers")
    return values
