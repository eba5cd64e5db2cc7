"""The pixel spacing that the rows of a table agree on, and the rows that do not.

A person who corrects a point in a spreadsheet changes its pixels and leaves its millimetres, or
the other way round; the other rows still tell the spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.geometry import Points

# Farther from the first pixel lies no landmark; products of such numbers overflow.
_FARTHEST_MM = 1e12
# A spreadsheet program keeps 15 digits; a person may have rounded to two decimals.
_AS_COMPUTED = (1e-9, 1e-9)
_AS_ROUNDED = (1e-3, 0.01)  # of the number, and in mm

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class RowSpacing:
    """What the rows of one image say of its pixel spacing."""

    spacing_mm_yx: tuple[float, float] | None
    """What most rows agree on; None where no row tells it or they do not agree."""
    differing: Rows
    """The rows whose millimetres do not follow from their pixels; all (N,) false where none."""

    @property
    def is_contradictory(self) -> bool:
        """Whether rows differ and no spacing is that of most of them."""
        return self.spacing_mm_yx is None and bool(self.differing.any())


def row_spacing(
    points_yx: Points, points_mm_yx: Points, known_mm_yx: tuple[float, float] | None = None
) -> RowSpacing:
    """Compare (N, 2) positions in pixels with those in mm, both from pixel (0, 0).

    NaN stands for what is missing. With ``known_mm_yx`` rows differ that do not follow it.
    """
    if known_mm_yx is not None:
        return RowSpacing(known_mm_yx, _not_following(points_yx * known_mm_yx, points_mm_yx))
    differing = np.zeros(len(points_yx), bool)
    spacing: list[float] = []
    contradictory = False
    for px, mm in zip(points_yx.T, points_mm_yx.T, strict=True):
        # A millionth of a pixel says nothing of a ratio, and may vanish in it.
        usable = np.isfinite(px) & np.isfinite(mm) & (np.abs(px) > 1e-6)
        if not usable.any():
            continue
        ratio, differs = _ratio(px[usable], mm[usable])
        differing[usable] |= differs
        contradictory = contradictory or ratio is None
        spacing += [] if ratio is None else [ratio]
    if contradictory:
        return RowSpacing(None, differing)
    if len(spacing) < 2:
        return RowSpacing(None, np.zeros(len(points_yx), bool))
    return RowSpacing((spacing[0], spacing[1]), differing)


def _not_following(computed_mm_yx: Points, points_mm_yx: Points) -> Rows:
    compared = np.isfinite(computed_mm_yx) & np.isfinite(points_mm_yx)
    exactly = ~compared | np.isclose(computed_mm_yx, points_mm_yx, *_AS_COMPUTED)
    about = ~compared | np.isclose(computed_mm_yx, points_mm_yx, *_AS_ROUNDED)
    follows: Rows = np.all(exactly, axis=1)
    if 2 * follows.sum() <= len(follows):
        follows = np.all(about, axis=1)
    return ~follows


def _ratio(px: NDArray[np.float64], mm: NDArray[np.float64]) -> tuple[float | None, Rows]:
    """Return the mm of one pixel on which most agree, None if there is none, and who differs.

    Where most agree, the median of the ratios is among theirs.
    """
    if np.abs(mm).max() > _FARTHEST_MM:
        return None, np.abs(mm) > _FARTHEST_MM
    middle = float(np.median(mm / px))
    agree = np.isclose(px * middle, mm, *_AS_COMPUTED)
    if 2 * agree.sum() > len(px):
        return _shortest(px[agree], mm[agree]), ~agree
    for rows in (np.ones(len(px), bool), np.isclose(px * middle, mm, *_AS_ROUNDED)):
        if not rows.any():
            break
        ratio = _fitted(px[rows], mm[rows])
        agree = np.isclose(px * ratio, mm, *_AS_ROUNDED)
        if agree[rows].all() and 2 * agree.sum() > len(px):
            return _shortest(px[agree], mm[agree]), ~agree
    return None, ~np.isclose(px * middle, mm, *_AS_ROUNDED)


def _fitted(px: NDArray[np.float64], mm: NDArray[np.float64]) -> float:
    return float(px @ mm / (px @ px))


def _shortest(px: NDArray[np.float64], mm: NDArray[np.float64]) -> float:
    """Return the shortest number that gives these millimetres: it is the one meant."""
    ratio = _fitted(px, mm)
    shorter = (float(f"{ratio:.{digits}g}") for digits in range(1, 18))
    return next((value for value in shorter if np.array_equal(px * value, mm)), ratio)
