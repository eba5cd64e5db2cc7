"""Where texts go on a page, and how much of them fits; in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

MM_PER_POINT = 25.4 / 72
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Yu Gothic", "Microsoft YaHei")
"""The first comes with matplotlib; the others are for names in letters that it lacks."""
DIRECTIONS_YX = ((-1, 1), (1, 1), (-1, -1), (1, -1), (0, 1), (0, -1), (-1, 0), (1, 0))
"""From a point to its name, the first that is free."""
DOT_MM = 0.9
"""Half the side of what a point covers."""


@cache
def font_families() -> tuple[str, ...]:
    """Return those of `FONTS` that this computer has."""
    from matplotlib.font_manager import get_font_names

    known = set(get_font_names())
    return tuple(name for name in FONTS if name in known)


@cache
def _font(size_pt: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(
        family=list(font_families()), size=size_pt, weight="bold" if bold else "normal"
    )


def text_width_mm(text: str, size_pt: float, bold: bool = False) -> float:
    """Return how wide a line of text is."""
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size_pt, bold), False)
    return float(width) * MM_PER_POINT


def elided(text: str, width_mm: float, size_pt: float, bold: bool = False) -> str:
    """Cut the middle out of a text that is too long: what differs stands at both ends."""
    text = " ".join(text.split())
    if text_width_mm(text, size_pt, bold) <= width_mm:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if text_width_mm(_cut(text, kept), size_pt, bold) <= width_mm:
            low = kept
        else:
            high = kept - 1
    return _cut(text, low)


def _cut(text: str, kept: int) -> str:
    end = kept // 2
    return f"{text[: kept - end]}…{text[len(text) - end :]}"


def wrapped(text: str, width_mm: float, size_pt: float, lines: int) -> list[str]:
    """Break a text into at most so many lines; what is left over is cut out of the last one."""
    found = [""]
    words = text.split()
    for number, word in enumerate(words):
        longer = f"{found[-1]} {word}".strip()
        if text_width_mm(longer, size_pt) <= width_mm or not found[-1]:
            found[-1] = longer
        elif len(found) < lines:
            found.append(word)
        else:
            found[-1] = " ".join([found[-1], *words[number:]])
            break
    return [elided(line, width_mm, size_pt) for line in found]


def name_places(
    points_mm: NDArray[np.float64],
    sizes_mm: Sequence[tuple[float, float]],
    box_mm: tuple[float, float],
    gap_mm: float,
) -> NDArray[np.float64]:
    """Find a place for each point's name beside it, where little else lies.

    Parameters
    ----------
    points_mm : ndarray, (N, 2)
        (row, column) from the upper left corner of the picture.
    sizes_mm : sequence of (height, width)
        Of each name.
    box_mm : tuple of float
        Height and width of the picture, which names do not leave where they need not.
    gap_mm : float
        Between a point and its name.

    Returns
    -------
    ndarray, (N, 2)
        Upper left corner of each name, (row, column).
    """
    taken: list[NDArray[np.float64]] = []
    dots = np.hstack([points_mm - DOT_MM, points_mm + DOT_MM])
    for point, (height, width) in zip(points_mm, sizes_mm, strict=True):
        best, least = np.zeros(4), np.inf
        ways = product((1, 3, 5, 8), DIRECTIONS_YX)
        for order, (far, (down, right)) in enumerate(ways):
            top = point[0] + down * far * gap_mm + (down - 1) / 2 * height
            left = point[1] + right * far * gap_mm + (right - 1) / 2 * width
            box = np.array([top, left, top + height, left + width])
            outside = max(0, -top, -left, box[2] - box_mm[0], box[3] - box_mm[1])
            others = np.array([*taken, *dots])
            cost = _overlap(box, others).sum() + outside + 0.01 * order
            if cost < least:
                best, least = box, cost
        taken.append(best)
    return np.array(taken).reshape(-1, 4)[:, :2]


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area that a box (top, left, bottom, right) shares with each of others, (N, 4)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=1)
    return shared
