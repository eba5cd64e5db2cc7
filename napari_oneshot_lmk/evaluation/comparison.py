"""Found and true landmarks compared in millimetres, or in pixels where spacing is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.evaluation.error_table import Floats, Outcome, PointError
from napari_oneshot_lmk.evaluation.errors import Pairing, measure_errors, pair_images
from napari_oneshot_lmk.evaluation.metrics import THRESHOLDS_MM, accuracy
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
    import pandas as pd

FENCE = 1.5
"""Interquartile ranges above the upper quartile from which on an error is an outlier."""
RADII = THRESHOLDS_MM
"""Of the success detection rates, in the unit of a comparison."""


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of one landmark, or of all, in the unit of the comparison; NaN where there is none."""

    landmark: str
    """Empty for all landmarks together."""
    n: int
    mre: float
    """Mean radial error."""
    sd: float
    """With divisor n."""
    median: float
    sdr_percent: tuple[float, ...]
    """Share of errors strictly below each of `RADII`."""


@dataclass(frozen=True)
class ComparedPoint:
    """One landmark of the truth on one image."""

    image: str
    """As the predictions call it."""
    landmark: str
    outcome: Outcome
    error: float | None
    """In the unit of the comparison; None where it is not scored."""
    found_yx: tuple[float, float] | None
    """(row, column) in pixels."""
    true_yx: tuple[float, float] | None
    is_outlier: bool = False


@dataclass(frozen=True)
class Comparison:
    """What comparing found with true landmarks has shown."""

    unit: str
    """"mm" where the spacing of all compared images is known, else "px"."""
    images: tuple[str, ...]
    """In both, as the predictions call them."""
    points: tuple[ComparedPoint, ...]
    landmarks: tuple[ErrorSummary, ...]
    overall: ErrorSummary
    fence: float
    """Errors above it are outliers; NaN where there is none."""
    without_truth: tuple[str, ...]
    """Images that were predicted only."""
    without_prediction: tuple[str, ...]
    """Images of the truth only."""

    @cached_property
    def worst_first(self) -> tuple[ComparedPoint, ...]:
        """Points that were scored, the largest error first, then those found or lost wrongly."""
        scored = [point for point in self.points if point.error is not None]
        wrong = (Outcome.MISSED, Outcome.FALSE_ABSENT, Outcome.FALSE_FOUND)
        lost = [point for point in self.points if point.outcome in wrong]
        return (*sorted(scored, key=lambda point: -(point.error or 0.0)), *lost)

    def errors(self, landmark: str = "") -> Floats:
        """Return the errors of a landmark, or of all, in no particular order."""
        return self._errors[landmark]

    @cached_property
    def _errors(self) -> dict[str, Floats]:
        # Plots ask for them whenever they are drawn.
        found: dict[str, list[float]] = {"": [], **{each.landmark: [] for each in self.landmarks}}
        for point in self.points:
            if point.error is not None:
                found[""].append(point.error)
                found[point.landmark].append(point.error)
        return {name: np.array(errors, dtype=np.float64) for name, errors in found.items()}


def compare(
    predicted: Sequence[Landmarks],
    truth: Sequence[Landmarks],
    spacing_mm_yx: float | tuple[float, float] | None = None,
    *,
    pixels: bool = False,
) -> Comparison:
    """Compare found landmarks with true ones.

    Outliers are errors above Tukey's fence, the upper quartile plus 1.5 interquartile ranges.

    Parameters
    ----------
    predicted, truth : sequence of Landmarks
        One entry per image; paired as by `pair_images`.
    spacing_mm_yx : float or pair of float, optional
        Millimetres per pixel, (row, column), of all images.
    pixels : bool
        Count pixels although the spacing is known.

    Raises
    ------
    UsageError
        If pairing is ambiguous, or there is nothing to compare.
    GeometryError
        If a pixel spacing makes no sense, or sizes contradict each other.

    References
    ----------
    Tukey, "Exploratory Data Analysis", 1977, for the fence.
    """
    pairing = pair_images(predicted, truth)
    known_mm = spacing_mm_yx is not None or all(map(_has_spacing, _sides(pairing)))
    in_mm = known_mm and not pixels
    # One millimetre per pixel makes a distance in millimetres one in pixels.
    table = measure_errors(pairing, spacing_mm_yx if in_mm else 1.0)
    errors = table.native_mm()
    known = errors[np.isfinite(errors)]
    fence = _fence(known)
    called = {pair.truth.image: pair.predicted.image for pair in pairing.pairs}
    return Comparison(
        "mm" if in_mm else "px",
        tuple(called[image] for image in table.images),
        tuple(_compared(point, called[point.image], fence) for point in table.points),
        tuple(
            _summary(name, column) for name, column in zip(table.landmarks, errors.T, strict=True)
        ),
        _summary("", errors),
        fence,
        pairing.unmatched_predicted,
        pairing.unmatched_truth,
    )


def _sides(pairing: Pairing) -> list[tuple[Landmarks, Landmarks]]:
    return [(pair.truth, pair.predicted) for pair in pairing.pairs]


def _has_spacing(sides: tuple[Landmarks, Landmarks]) -> bool:
    return any(side.geometry and side.geometry.spacing_mm_yx for side in sides)


def _fence(errors: Floats) -> float:
    if errors.size == 0:
        return float("nan")
    lower, upper = np.percentile(errors, (25, 75))
    return float(upper + FENCE * (upper - lower))


def _compared(point: PointError, image: str, fence: float) -> ComparedPoint:
    error = point.native_mm
    return ComparedPoint(
        image,
        point.landmark,
        point.outcome,
        error,
        point.found_yx,
        point.true_yx,
        error is not None and error > fence,
    )


def _summary(landmark: str, errors: Floats) -> ErrorSummary:
    part = accuracy(errors)
    return ErrorSummary(landmark, part.n, part.mre_mm, part.sd_mm, part.median_mm, part.sdr_percent)


def landmark_rows(comparison: Comparison) -> pd.DataFrame:
    """Return a table with a row per landmark and one for all."""
    import pandas as pd

    unit = comparison.unit
    rows = []
    for each in (comparison.overall, *comparison.landmarks):
        rates = zip(RADII, each.sdr_percent, strict=True)
        rows.append(
            {
                "landmark": each.landmark or "all",
                "n": each.n,
                f"mre_{unit}": each.mre,
                f"sd_{unit}": each.sd,
                f"median_{unit}": each.median,
                **{f"sdr_{radius:.1f}_{unit}": rate for radius, rate in rates},
            }
        )
    return pd.DataFrame(rows)


def point_rows(comparison: Comparison) -> pd.DataFrame:
    """Return a table with a row per image and landmark of the truth."""
    import pandas as pd

    nowhere = (None, None)
    return pd.DataFrame(
        [
            {
                "image": point.image,
                "landmark": point.landmark,
                "outcome": str(point.outcome),
                f"error_{comparison.unit}": point.error,
                "found_x_px": (point.found_yx or nowhere)[1],
                "found_y_px": (point.found_yx or nowhere)[0],
                "true_x_px": (point.true_yx or nowhere)[1],
                "true_y_px": (point.true_yx or nowhere)[0],
                "outlier": int(point.is_outlier),
            }
            for point in comparison.points
        ]
    )
