"""One measurement between landmarks: how it is defined, and what it is on an image.

Lengths are in millimetres, or in pixels where the spacing is unknown; angles are computed
on the image's plane, so pixels that are not square do not bend them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_oneshot_lmk.landmarks.landmarks import Landmarks

Point = NDArray[np.float64]
"""(row, column), in millimetres or pixels."""


class Kind(StrEnum):
    """What is measured between the points a, b, c, d of a measurement."""

    DISTANCE = "distance"
    """Length of a–b."""
    PATH = "path"
    """Length of the line a–b–c–… through all points in their order; two at least."""
    ANGLE = "angle"
    """Between a and c as seen from b, 0..180 degrees."""
    LINES = "lines"
    """Between the directions a → b and c → d, 0..180 degrees."""
    BEND = "bend"
    """By how much a–b–c turns at b, in degrees; positive where b lies on d's side of the line
    a–c."""
    PROJECTION = "projection"
    """Length of a → b along the direction c → d; negative against it."""
    OFFSET = "offset"
    """Distance of a from the line b–c; positive on d's side of it."""
    RATIO = "ratio"
    """Length of a–b in percent of the length of c–d."""
    DIFFERENCE = "difference"
    """One measurement less another one; both are named instead of points."""


POINTS: dict[Kind, int | None] = {
    Kind.DISTANCE: 2,
    Kind.PATH: None,
    Kind.ANGLE: 3,
    Kind.LINES: 4,
    Kind.BEND: 4,
    Kind.PROJECTION: 4,
    Kind.OFFSET: 4,
    Kind.RATIO: 4,
    Kind.DIFFERENCE: 0,
}
"""How many points each kind takes; None for two or more."""
LENGTHS = {Kind.DISTANCE, Kind.PATH, Kind.PROJECTION, Kind.OFFSET}


class Norm(BaseModel):
    """What was published for a population."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    sd: float | None = Field(default=None, gt=0)
    """Standard deviation; None where none is known."""
    population: str
    source: str


class Measurement(BaseModel):
    """A measurement: its name, its kind, and the landmarks that it is taken between."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    kind: Kind
    points: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    """Names of the two measurements of a difference."""
    definition: str = ""
    """In words, with the sign's meaning."""
    source: str = ""
    norm: Norm | None = None

    @model_validator(mode="after")
    def _check_points(self) -> Measurement:
        wanted, given = POINTS[self.kind], len(self.points)
        if wanted is None and given < 2:
            raise ValueError(f"{self.name}: {self.kind} takes two points or more")
        if wanted is not None and given != wanted:
            raise ValueError(f"{self.name}: {self.kind} takes {wanted} points")
        if len(self.of) != (2 if self.kind is Kind.DIFFERENCE else 0):
            raise ValueError(f"{self.name}: only a difference is of two other measurements")
        return self


@dataclass(frozen=True)
class Value:
    """A measurement on one image."""

    measurement: Measurement
    value: float | None
    """None where it cannot be taken."""
    unit: str
    """"mm", "px", "°" or "%"."""
    missing: str = ""
    """Why there is no value."""

    @property
    def deviation(self) -> float | None:
        """By how much it is larger than the norm, in ``unit``; None where there is no norm.

        Lengths in pixels are compared with nothing.
        """
        norm = self.measurement.norm
        if norm is None or self.value is None or self.unit == "px":
            return None
        return self.value - norm.mean

    @property
    def deviation_sd(self) -> float | None:
        """`deviation` in standard deviations of the norm; None where it has none."""
        norm, deviation = self.measurement.norm, self.deviation
        if norm is None or norm.sd is None or deviation is None:
            return None
        return deviation / norm.sd


def measure(
    landmarks: Landmarks,
    measurements: Sequence[Measurement],
    spacing_mm_yx: tuple[float, float] | None = None,
) -> tuple[Value, ...]:
    """Take measurements on one image.

    Parameters
    ----------
    landmarks : Landmarks
        Of the image, with its spacing where that is known.
    measurements : sequence of Measurement
        A difference finds the measurements that it is of among those before it.
    spacing_mm_yx : tuple of float, optional
        Millimetres per pixel along (row, column), instead of what the landmarks say.
    """
    spacing = spacing_mm_yx or (landmarks.geometry and landmarks.geometry.spacing_mm_yx)
    scale_yx = np.array(spacing or (1.0, 1.0))
    places = {point.name: np.array(point.position_yx) * scale_yx for point in landmarks.placed}
    taken: dict[str, Value] = {}
    for measurement in measurements:
        taken[measurement.name] = _take(measurement, places, taken, spacing is not None)
    return tuple(taken.values())


def _take(
    measurement: Measurement, places: Mapping[str, Point], taken: Mapping[str, Value], in_mm: bool
) -> Value:
    kind = measurement.kind
    unit = "%" if kind is Kind.RATIO else "°"
    if kind in LENGTHS:
        unit = "mm" if in_mm else "px"
    if kind is Kind.DIFFERENCE:
        first, second = (taken.get(name) for name in measurement.of)
        if first is None or second is None:
            return Value(measurement, None, "", f"needs {' and '.join(measurement.of)} before it")
        if first.value is None or second.value is None:
            return Value(measurement, None, first.unit, first.missing or second.missing)
        return Value(measurement, first.value - second.value, first.unit)
    lacking = [name for name in measurement.points if name not in places]
    if lacking:
        return Value(measurement, None, unit, f"{', '.join(dict.fromkeys(lacking))} not placed")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(_FORMULAS[kind](*(places[name] for name in measurement.points)))
    if not np.isfinite(value):
        return Value(measurement, None, unit, "its points coincide")
    return Value(measurement, value, unit)


def _cross(first: Point, second: Point) -> Any:
    return first[0] * second[1] - first[1] * second[0]


def _angle(first: Point, second: Point) -> Any:
    """Between two directions, in degrees; NaN where one has no length."""
    if not first.any() or not second.any():
        return np.nan
    return np.degrees(np.arctan2(abs(_cross(first, second)), first @ second))


def _offset(a: Point, b: Point, c: Point, d: Point) -> Any:
    return _cross(c - b, a - b) / np.linalg.norm(c - b) * np.sign(_cross(c - b, d - b))


_FORMULAS: dict[Kind, Callable[..., Any]] = {
    Kind.DISTANCE: lambda a, b: np.linalg.norm(b - a),
    Kind.PATH: lambda *points: sum(np.linalg.norm(b - a) for a, b in pairwise(points)),
    Kind.ANGLE: lambda a, b, c: _angle(a - b, c - b),
    Kind.LINES: lambda a, b, c, d: _angle(b - a, d - c),
    Kind.BEND: lambda a, b, c, d: np.sign(_offset(b, a, c, d)) * _angle(b - a, c - b),
    Kind.PROJECTION: lambda a, b, c, d: (b - a) @ (d - c) / np.linalg.norm(d - c),
    Kind.OFFSET: _offset,
    Kind.RATIO: lambda a, b, c, d: 100 * np.linalg.norm(b - a) / np.linalg.norm(d - c),
}
