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
# What numbers of single precision are off by, of their size.
_SINGLE = 1e-6

Rows = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RowPositions:
    """What the rows of one image state: (N, 2) positions from pixel (0, 0), NaN where missing."""

    yx: Points
    mm_yx: Points
    rounding_yx: Points | float = 0.0
    """How far a position in pixels may be off, since it was rounded."""
    rounding_mm_yx: Points | float = 0.0


@dataclass(frozen=True)
class RowSpacing:
    """What the rows of one image say of its pixel spacing."""

    spacing_mm_yx: tuple[float, float] | None
    """What most rows agree on; None where no row tells it or they do not agree."""
    differing: Rows
    """The (N,) rows whose millimetres do not follow from their pixels."""

    @property
    def is_contradictory(self) -> bool:
        """Whether rows differ and no spacing is that of most of them."""
        return self.spacing_mm_yx is None and bool(self.differing.any())


def row_spacing(rows: RowPositions, known_mm_yx: tuple[float, float] | None = None) -> RowSpacing:
    """Compare positions in pixels with those in mm; with ``known_mm_yx`` by that spacing."""
    differing = np.zeros(len(rows.yx), bool)
    spacing: list[float] = []
    contradictory = False
    roundings = (np.broadcast_to(r, rows.yx.shape) for r in (rows.rounding_yx, rows.rounding_mm_yx))
    columns = (each.T for each in (rows.yx, rows.mm_yx, *roundings))
    for axis, column in enumerate(zip(*columns, strict=True)):
        px, mm = column[:2]
        # A millionth of a pixel says nothing of a ratio, and may vanish in it.
        usable = (
            np.isfinite(px) & np.isfinite(mm) & ((np.abs(px) > 1e-6) | (known_mm_yx is not None))
        )
        if not usable.any():
            continue
        used = [each[usable] for each in column]
        if known_mm_yx is not None:
            differing[usable] |= _differs(known_mm_yx[axis], *used)
            continue
        ratio, differs = _ratio(*used)
        differing[usable] |= differs
        contradictory = contradictory or ratio is None
        spacing += [] if ratio is None else [ratio]
    if known_mm_yx is not None:
        return RowSpacing(known_mm_yx, differing)
    if contradictory:
        return RowSpacing(None, differing)
    if len(spacing) < 2:
        return RowSpacing(None, np.zeros(len(rows.yx), bool))
    return RowSpacing((spacing[0], spacing[1]), differing)


def _ratio(
    px: Numbers, mm: Numbers, rounding: Numbers, rounding_mm: Numbers
) -> tuple[float | None, Rows]:
    """Return the mm of one pixel on which most agree, None if there is none, and who differs."""
    if np.abs(mm).max() > _FARTHEST_MM:
        return None, np.abs(mm) > _FARTHEST_MM
    # Where most agree, the median is among theirs; it is as exact as they are in general.
    middle = float(np.median(mm / px))
    inexact = float(np.median((rounding_mm + abs(middle) * rounding) / np.abs(px)))
    differs = _differs(middle, px, mm, rounding, rounding_mm + 2 * inexact * np.abs(px))
    if 2 * differs.sum() < len(px):
        fitted = _fitted(px[~differs], mm[~differs])
        differs = _differs(fitted, px, mm, rounding, rounding_mm)
    if 2 * differs.sum() >= len(px):
        return None, differs
    return _shortest(px[~differs], mm[~differs]), differs


def _differs(
    ratio: float, px: Numbers, mm: Numbers, rounding: Numbers, rounding_mm: Numbers
) -> Rows:
    """Say which millimetres are further from those of the pixels than rounding explains."""
    explained = 2 * (rounding_mm + abs(ratio) * rounding) + _SINGLE * np.abs(mm)
    return np.asarray(np.abs(px * ratio - mm) > np.maximum(explained, abs(ratio) * _SINGLE))


def _fitted(px: Numbers, mm: Numbers) -> float:
    return float(px @ mm / (px @ px))


def _shortest(px: Numbers, mm: Numbers) -> float:
    """Return the shortest number that gives these millimetres: it is the one meant."""
    ratio = _fitted(px, mm)
    shorter = (float(f"{ratio:.{digits}g}") for digits in range(1, 18))
    return next((value for value in shorter if np.array_equal(px * value, mm)), ratio)
