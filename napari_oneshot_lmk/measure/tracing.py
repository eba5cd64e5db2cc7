"""The lines that belong to a set of measurements, on one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement import Kind, Measurement, Point
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet

PERPENDICULARS = "perpendiculars"
"""Name of the lines from points to the line that they are projected on."""


@dataclass(frozen=True)
class TracingLine:
    """A line through two points or more."""

    name: str
    """Of the tracing, else of the first measurement that it belongs to."""
    points_yx: tuple[tuple[float, float], ...]
    """(row, column) in pixels of the image, in order."""
    measured: bool = False
    """Whether it is there only because something is measured on it."""


def tracing_lines(
    landmarks: Landmarks,
    chosen: MeasurementSet,
    spacing_mm_yx: tuple[float, float] | None = None,
) -> tuple[TracingLine, ...]:
    """Return the lines of a set on an image: its tracing, then what it measures along.

    A line is left out where one of its landmarks is not placed. Two landmarks are joined once.

    Parameters
    ----------
    landmarks : Landmarks
        Of the image, positions in its pixels.
    chosen : MeasurementSet
    spacing_mm_yx : tuple of float, optional
        Millimetres per pixel along (row, column), instead of what the landmarks say; where
        pixels are not square, it says where a right angle is.
    """
    spacing = spacing_mm_yx or (landmarks.geometry and landmarks.geometry.spacing_mm_yx)
    scale_yx = np.array(spacing or (1.0, 1.0))
    places = {p.name: np.array(p.position_yx, dtype=float) for p in landmarks.placed}
    found: list[TracingLine] = []
    joined: set[frozenset[str]] = set()
    for tracing in chosen.tracing:
        if all(name in places for name in tracing.points):
            joined |= _joins(tracing.points)
            found.append(_line(tracing.name, [places[name] for name in tracing.points]))
    for each in chosen.measurement:
        for names in _LINES.get(each.kind, _through_all)(each):
            if all(name in places for name in names):
                new = [pair for pair in pairwise(names) if frozenset(pair) not in joined]
                joined |= _joins(names)
                found += [_line(each.name, [places[n] for n in pair], True) for pair in new]
        found += _perpendiculars(each, places, scale_yx)
    return tuple(found)


def _line(name: str, points: list[Point], measured: bool = False) -> TracingLine:
    pairs = [(row, column) for row, column in np.array(points).tolist()]
    return TracingLine(name, tuple(pairs), measured)


def _joins(names: tuple[str, ...]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in pairwise(names)}


def _perpendiculars(
    measurement: Measurement, places: Mapping[str, Point], scale_yx: Point
) -> Iterator[TracingLine]:
    """Drop the points of a projection or an offset on their line."""
    if measurement.kind not in (Kind.PROJECTION, Kind.OFFSET):
        return
    if any(name not in places for name in measurement.points):
        return
    a, b, c, d = (places[name] * scale_yx for name in measurement.points)
    dropped, start, end = ([a, b], c, d) if measurement.kind is Kind.PROJECTION else ([a], b, c)
    along = end - start
    if not along.any():
        return
    for point in dropped:
        foot = start + (point - start) @ along / (along @ along) * along
        yield _line(PERPENDICULARS, [point / scale_yx, foot / scale_yx], True)


def _through_all(measurement: Measurement) -> list[tuple[str, ...]]:
    return [measurement.points] if measurement.points else []


def _two_lines(measurement: Measurement) -> list[tuple[str, ...]]:
    return [measurement.points[:2], measurement.points[2:]]


_LINES: dict[Kind, Callable[[Measurement], list[tuple[str, ...]]]] = {
    Kind.LINES: _two_lines,
    Kind.RATIO: _two_lines,
    # The last landmark only says which side is meant.
    Kind.BEND: lambda measurement: [measurement.points[:3]],
    Kind.OFFSET: lambda measurement: [measurement.points[1:3]],
    Kind.PROJECTION: lambda measurement: [measurement.points[2:]],
}
"""What is drawn; of other kinds a line through all their landmarks."""
