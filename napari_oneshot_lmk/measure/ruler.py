"""Pixel spacing from lines of known length, as along the ruler on a radiograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from napari_oneshot_lmk.errors import GeometryError


@dataclass(frozen=True)
class RulerLine:
    """A line on an image whose length is known."""

    start_yx: tuple[float, float]
    """(row, column) in pixels of the image."""
    end_yx: tuple[float, float]
    length_mm: float

    @property
    def length_px(self) -> float:
        """Length in pixels."""
        rows, columns = (a - b for a, b in zip(self.start_yx, self.end_yx, strict=True))
        return hypot(rows, columns)


@dataclass(frozen=True)
class RulerSpacing:
    """The spacing that lines give together, for square pixels."""

    mm: float
    """Millimetres per pixel."""
    largest_deviation: float
    """Of a single line from it, relative: 0.01 is one percent."""


def spacing_from_lines(lines: Sequence[RulerLine]) -> RulerSpacing:
    """Average the spacing over lines; a longer line counts more.

    It is all millimetres by all pixels: an end is clicked with the same error on a short line.

    Raises
    ------
    GeometryError
        If there is no line, or one has no length.

    Examples
    --------
    >>> lines = [RulerLine((0, 0), (0, 100), 10), RulerLine((0, 0), (51, 0), 5)]
    >>> round(spacing_from_lines(lines).mm, 4)
    0.0993
    """
    if not lines or min(min(line.length_px, line.length_mm) for line in lines) <= 0:
        raise GeometryError(
            "a line has no length", remedy="draw it along the ruler, and type its length in mm"
        )
    mm = sum(line.length_mm for line in lines) / sum(line.length_px for line in lines)
    each = [line.length_mm / line.length_px for line in lines]
    return RulerSpacing(mm, max(abs(one / mm - 1) for one in each))
