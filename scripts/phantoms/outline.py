"""Drawn curves: control points in millimetres, smooth between corners.

A drawing is a list of ``(x, y)`` or ``(x, y, tag)``. The tag names the control
point as a landmark; an exclamation mark at its end makes a corner, and ``"!"``
alone is a corner without a name. x grows to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Points = NDArray[np.float64]
Drawing = Sequence[tuple[float, float] | tuple[float, float, str]]

STEP_MM = 0.12
"""Distance between the points of a dense curve: well under half a pixel."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A curve through control points.

    Parameters
    ----------
    points_xy : ndarray, (N, 2)
        Control points in mm. The curve passes through each of them exactly, so
        a named one is a landmark that lies on the drawn contour.
    names : dict of str to int
        Index of the named control points.
    corners : tuple of int
        Control points where the curve may bend sharply.
    closed : bool
        Whether the last point is joined to the first.
    """

    points_xy: Points
    names: dict[str, int]
    corners: tuple[int, ...]
    closed: bool

    def dense(self) -> Points:
        """Return (M, 2) points along the curve; a closed one ends where it began."""
        points = self.points_xy
        if not self.closed:
            ends = sorted({0, *self.corners, len(points) - 1})
        elif not self.corners:
            return _closed_spline(points)
        else:
            # Turning the list round to begin at a corner leaves open pieces only.
            first = self.corners[0]
            points = np.roll(points, -first, axis=0)
            points = np.vstack([points, points[:1]])
            ends = sorted({*(c - first for c in self.corners), len(points) - 1})
        pieces = [_open_spline(points[a : b + 1])[:-1] for a, b in pairwise(ends)]
        return np.vstack([*pieces, points[-1:]])

    def turned(self, about_xy: Points, angle: float) -> Outline:
        """Return the outline turned clockwise about a point, in radians."""
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        points = (self.points_xy - about_xy) @ turn.T + about_xy
        return Outline(points, self.names, self.corners, self.closed)

    def landmarks(self) -> dict[str, Points]:
        """Return the named control points."""
        return {name: self.points_xy[i] for name, i in self.names.items()}


def make_outline(drawing: Drawing, closed: bool = True) -> Outline:
    """Make an outline from a drawing."""
    names: dict[str, int] = {}
    corners: list[int] = []
    for i, point in enumerate(drawing):
        tag = point[2] if len(point) == 3 else ""
        if tag.endswith("!"):
            corners.append(i)
        if tag.rstrip("!"):
            names[tag.rstrip("!")] = i
    points_xy = np.array([point[:2] for point in drawing], dtype=float)
    return Outline(points_xy, names, tuple(corners), closed)


def _knots(points: Points) -> Points:
    # Centripetal spacing keeps a cubic spline from looping at uneven points.
    steps = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))
    return np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-6))])


def _sampled(spline: CubicSpline, points: Points, knots: Points) -> Points:
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    pieces = [
        np.linspace(a, b, max(2, int(np.ceil(length / STEP_MM))), endpoint=False)
        for a, b, length in zip(knots[:-1], knots[1:], lengths, strict=True)
    ]
    return np.asarray(spline(np.concatenate([*pieces, knots[-1:]])))


def _open_spline(points: Points) -> Points:
    knots = _knots(points)
    if len(points) == 2:
        count = max(2, int(np.ceil(np.linalg.norm(points[1] - points[0]) / STEP_MM)))
        return np.linspace(points[0], points[1], count + 1)
    return _sampled(CubicSpline(knots, points, bc_type="natural"), points, knots)


def _closed_spline(points: Points) -> Points:
    around = np.vstack([points, points[:1]])
    knots = _knots(around)
    return _sampled(CubicSpline(knots, around, bc_type="periodic"), around, knots)
