"""Error of repeated digitisation: one reader twice, or several readers, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.lookup import LandmarkLookup
from napari_oneshot_lmk.measure.measurement import Measurement, measure
from napari_oneshot_lmk.measure.morphometrics.agreement import (
    intraclass_correlation,
    pairwise_distances,
    technical_error,
)
from napari_oneshot_lmk.measure.morphometrics.shapes import Floats


@dataclass(frozen=True)
class Reading:
    """The landmarks that one reader has placed on some images, once."""

    name: str
    """What it is called in messages: its file, for example."""
    images: tuple[Landmarks, ...]


@dataclass(frozen=True)
class LandmarkAgreement:
    """How far readings of one landmark, or of all, lie apart; in the unit of the comparison."""

    landmark: str
    """Empty for all landmarks together."""
    n: int
    """Points that are placed in all readings."""
    mre: float
    """Mean distance between the points of two readings, over all pairs of readings."""
    sd: float
    """Of these distances, with divisor n."""
    maximum: float
    dahlberg_y: float
    """Dahlberg's error along rows; of more than two readings the technical error."""
    dahlberg_x: float
    bias_y: float
    """How much farther down the last reading is than the first, on average."""
    bias_x: float


@dataclass(frozen=True)
class MeasurementAgreement:
    """How far readings of one measurement differ."""

    measurement: str
    unit: str
    n: int
    """Images on which it was taken in all readings."""
    mean: float
    technical_error: float
    relative_error_percent: float
    """Of the mean; NaN for angles, whose zero is arbitrary."""
    bias: float
    """How much larger it is in the last reading than in the first, on average."""
    icc: float
    """ICC(2,1); NaN where it was taken on fewer than two images."""


@dataclass(frozen=True)
class Agreement:
    """What a comparison of readings has shown."""

    readings: tuple[str, ...]
    images: tuple[str, ...]
    """In all readings."""
    unit: str
    """"mm" where the spacing of all images is known, else "px"."""
    landmarks: tuple[LandmarkAgreement, ...]
    overall: LandmarkAgreement
    measurements: tuple[MeasurementAgreement, ...]
    only_in: dict[str, tuple[str, ...]]
    """Reading -> its images that are not in all readings."""
    landmarks_only_in: dict[str, tuple[str, ...]]
    """Reading -> its landmarks that are not in all readings."""
    partly: tuple[tuple[str, str], ...]
    """(image, landmark) placed in some readings only."""
    spacing_unknown: tuple[str, ...]
    """Images whose spacing no reading states."""


def compare_readings(
    readings: Sequence[Reading],
    measurements: Sequence[Measurement] = (),
    spacing_mm_yx: tuple[float, float] | None = None,
) -> Agreement:
    """Compare two or more readings of the same images.

    Parameters
    ----------
    readings : sequence of Reading
        Of one reader for the intra-observer error, of several for the inter-observer error.
    measurements : sequence of Measurement
        Those that can be taken in all readings are compared, too.
    spacing_mm_yx : tuple of float, optional
        Millimetres per pixel along (row, column), instead of what the readings say.

    Raises
    ------
    UsageError
        If there are fewer than two readings, or they have no image or no placed landmark in
        common.
    GeometryError
        If readings describe images of different sizes.
    """
    if len(readings) < 2:
        raise UsageError("there is nothing to compare with", remedy="name two or more readings")
    images, only_in = _same_images(readings)
    spacings = [spacing_mm_yx or _spacing(sets) for sets in images]
    in_mm = all(spacing is not None for spacing in spacings)
    names = tuple(dict.fromkeys(n for sets in images for each in sets for n in each.names))
    named_by_all = [n for n in names if all(_names_it(images, r, n) for r in range(len(readings)))]
    points: dict[str, Floats] = {}
    partly: list[tuple[str, str]] = []
    for name in named_by_all:
        placed = []
        for sets, spacing in zip(images, spacings, strict=True):
            positions = np.array([_position(each, name) for each in sets])
            positions = positions * ((spacing if in_mm else None) or (1.0, 1.0))
            known = np.isfinite(positions).all(axis=1)
            if known.all():
                placed.append(positions)
            elif known.any():
                partly.append((sets[0].image, name))
        points[name] = np.array(placed).reshape(-1, len(readings), 2)
    everything = np.concatenate([*points.values(), np.empty((0, len(readings), 2))])
    if not len(everything):
        what = "no landmark is placed in all readings of an image"
        raise UsageError(what, remedy="check that the landmarks have the same names")
    return Agreement(
        tuple(reading.name for reading in readings),
        tuple(sets[0].image for sets in images),
        "mm" if in_mm else "px",
        tuple(_of_landmark(name, each) for name, each in points.items()),
        _of_landmark("", everything),
        _of_measurements(images, measurements, spacings if in_mm else [None] * len(images)),
        only_in,
        _landmarks_only_in(readings, images, named_by_all),
        tuple(partly),
        tuple(s[0].image for s, mm in zip(images, spacings, strict=True) if mm is None),
    )


Images = list[tuple[Landmarks, ...]]
"""For each image that all readings have: its landmarks in each reading."""


def _same_images(readings: Sequence[Reading]) -> tuple[Images, dict[str, tuple[str, ...]]]:
    first, *others = readings
    lookups = [LandmarkLookup(reading.images, reading.name) for reading in others]
    LandmarkLookup(first.images, first.name)
    images: Images = []
    for landmarks in first.images:
        found = [lookup.find(landmarks.image) for lookup in lookups]
        if all(each is not None for each in found):
            images.append((landmarks, *(each for each in found if each is not None)))
    for number, reading in enumerate(others, start=1):
        taken = [sets[number].image for sets in images]
        twice = next((image for image in taken if taken.count(image) > 1), None)
        if twice is not None:
            what = f"several images of {first.name} could be {twice!r} of {reading.name}"
            raise UsageError(what, remedy="write the same file names in both")
    if not images:
        names = " and ".join(reading.name for reading in readings)
        what = f"no image is in all of {names}"
        raise UsageError(what, remedy="check that the image columns hold the same file names")
    for sets in images:
        shapes = {s.geometry.image_shape_yx for s in sets if s.geometry is not None}
        if len(shapes) > 1:
            sizes = " and ".join(f"{columns} x {rows}" for rows, columns in sorted(shapes))
            raise GeometryError(
                f"was read as images of {sizes} pixels",
                file=sets[0].image,
                remedy="place the landmarks on the same version of the image",
            )
    compared = [{sets[n].image for sets in images} for n in range(len(readings))]
    only_in = {
        reading.name: tuple(la.image for la in reading.images if la.image not in names)
        for reading, names in zip(readings, compared, strict=True)
    }
    return images, {name: left for name, left in only_in.items() if left}


def _landmarks_only_in(
    readings: Sequence[Reading], images: Images, in_all: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    left = {}
    for number, reading in enumerate(readings):
        names = dict.fromkeys(name for sets in images for name in sets[number].names)
        if others := tuple(name for name in names if name not in in_all):
            left[reading.name] = others
    return left


def _names_it(images: Images, reading: int, name: str) -> bool:
    return any(name in sets[reading] for sets in images)


def _position(landmarks: Landmarks, name: str) -> tuple[float, float]:
    position = landmarks[name].position_yx if name in landmarks else None
    return position or (np.nan, np.nan)


def _spacing(sets: Sequence[Landmarks]) -> tuple[float, float] | None:
    known = (each.geometry.spacing_mm_yx for each in sets if each.geometry is not None)
    return next((spacing for spacing in known if spacing is not None), None)


def _of_landmark(name: str, points: Floats) -> LandmarkAgreement:
    """Summarise (n, readings, 2) points in (row, column)."""
    if not len(points):
        return LandmarkAgreement(name, 0, *[float("nan")] * 7)
    apart = pairwise_distances(points)
    bias = (points[:, -1] - points[:, 0]).mean(axis=0)
    return LandmarkAgreement(
        name,
        len(points),
        float(apart.mean()),
        float(apart.std()),
        float(apart.max()),
        technical_error(points[..., 0]),
        technical_error(points[..., 1]),
        float(bias[0]),
        float(bias[1]),
    )


def _of_measurements(
    images: Images,
    measurements: Sequence[Measurement],
    spacings: Sequence[tuple[float, float] | None],
) -> tuple[MeasurementAgreement, ...]:
    readings = len(images[0])
    taken: dict[str, list[list[float]]] = {each.name: [] for each in measurements}
    units: dict[str, str] = {}
    for sets, spacing in zip(images, spacings, strict=True):
        values = [measure(_on_grid(each, spacing), measurements) for each in sets]
        for of_readings in zip(*values, strict=True):
            numbers = [each.value for each in of_readings if each.value is not None]
            if len(numbers) == readings:
                name = of_readings[0].measurement.name
                units[name] = of_readings[0].unit
                taken[name].append(numbers)
    return tuple(
        _of_measurement(name, units[name], np.array(values))
        for name, values in taken.items()
        if values
    )


def _on_grid(landmarks: Landmarks, spacing: tuple[float, float] | None) -> Landmarks:
    """Return landmarks with the spacing that their image has in this comparison."""
    grid = landmarks.geometry or Geometry((1, 1))
    return landmarks.with_geometry(grid.with_spacing(spacing))


def _of_measurement(name: str, unit: str, values: Floats) -> MeasurementAgreement:
    mean, error = float(values.mean()), technical_error(values)
    has_zero = unit != "°" and mean != 0
    return MeasurementAgreement(
        name,
        unit,
        len(values),
        mean,
        error,
        100 * error / abs(mean) if has_zero else float("nan"),
        float((values[:, -1] - values[:, 0]).mean()),
        intraclass_correlation(values),
    )
