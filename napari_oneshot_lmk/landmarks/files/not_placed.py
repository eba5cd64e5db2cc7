"""Numbers that stand for "no position" in files of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_oneshot_lmk.landmarks.landmark import Landmark, State

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
