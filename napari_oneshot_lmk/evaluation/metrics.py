"""Mean radial error and success detection rates, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.evaluation.error_table import ErrorTable, Floats

THRESHOLDS_MM = (2.0, 2.5, 3.0, 4.0)
"""Distances of the success detection rate, as in the ISBI 2015 challenge."""
FAR_MM = 4.0
"""The largest distance of the published tables: beyond it a point is wrong."""

REPLICATES = 2000
# Keeps the cumulative weights of the resampled medians within about 64 MB.
MOST_ELEMENTS = 8_000_000


@dataclass(frozen=True)
class Accuracy:
    """Mean radial error and success detection rates of ``n`` errors; NaN where there is none."""

    mre_mm: float
    sd_mm: float
    """With divisor n."""
    median_mm: float
    sdr_percent: tuple[float, ...]
    """Share of errors *strictly* below each of `THRESHOLDS_MM`."""
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return the members as ``summary.json`` has them; NaN becomes None."""
        return _json_of(self) | {"n": self.n}


@dataclass(frozen=True)
class Intervals:
    """95 % intervals (low, high) of the members of an `Accuracy`.

    All NaN where there are fewer than two images to resample.
    """

    mre_mm: tuple[float, float]
    sd_mm: tuple[float, float]
    median_mm: tuple[float, float]
    sdr_percent: tuple[tuple[float, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the members as ``summary.json`` has them; NaN becomes None."""
        return _json_of(self)


def sdr_keys() -> tuple[str, ...]:
    """Return the names of the thresholds: ``"2.0"``, ``"2.5"`` and so on."""
    return tuple(f"{threshold:.1f}" for threshold in THRESHOLDS_MM)


def accuracy(errors_mm: Floats) -> Accuracy:
    """Summarise radial errors in mm, an array of any shape in which NaN is ignored."""
    values = errors_mm[np.isfinite(errors_mm)]
    if values.size == 0:
        nan = float("nan")
        return Accuracy(nan, nan, nan, (nan,) * len(THRESHOLDS_MM), 0)
    return Accuracy(
        float(values.mean()),
        float(values.std()),
        float(np.median(values)),
        tuple(100 * float((values < limit).mean()) for limit in THRESHOLDS_MM),
        int(values.size),
    )


def bootstrap_intervals(
    errors_mm: Floats, *, replicates: int = REPLICATES, seed: int = 0
) -> Intervals:
    """Return percentile bootstrap intervals, resampling whole images.

    The points of one image are not independent (one bad pose spoils many), so images
    are drawn with replacement, each with all its errors.

    Parameters
    ----------
    errors_mm : ndarray, (images, landmarks)
        Radial errors in mm, NaN where there is none.
    replicates : int
        Number of resamples; a UsageError if it is not positive.
    seed : int
        The same one draws the same images for every method, landmark and scoring.
    """
    if replicates < 1:
        raise UsageError(f"{replicates} bootstrap replicates make no interval")
    known = np.isfinite(errors_mm)
    images = len(errors_mm)
    if images < 2 or not known.any():
        nan = (float("nan"), float("nan"))
        return Intervals(nan, nan, nan, (nan,) * len(THRESHOLDS_MM))
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(images, np.full(images, 1 / images), replicates)
    values = np.where(known, errors_mm, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = drawn @ known.sum(axis=1)
        mean = drawn @ values.sum(axis=1) / n
        variance = drawn @ (values**2).sum(axis=1) / n - mean**2
        below = [
            100 * (drawn @ ((errors_mm < limit) & known).sum(axis=1)) / n for limit in THRESHOLDS_MM
        ]
    return Intervals(
        _interval(mean),
        _interval(np.sqrt(np.maximum(variance, 0.0))),
        _interval(_resampled_medians(errors_mm, known, drawn)),
        tuple(_interval(share) for share in below),
    )


def _resampled_medians(
    errors_mm: Floats, known: NDArray[np.bool_], drawn: NDArray[np.int64]
) -> Floats:
    """Return the median of each resample without building the resamples."""
    of_image = np.nonzero(known)[0]
    values = errors_mm[known]
    order = np.argsort(values, kind="stable")
    values, of_image = values[order], of_image[order]
    medians = np.full(len(drawn), np.nan)
    step = max(1, MOST_ELEMENTS // len(values))
    for start in range(0, len(drawn), step):
        # Each of the sorted errors counts as often as its image was drawn.
        places = np.cumsum(drawn[start : start + step, of_image], axis=1)
        n = places[:, -1]
        low = (places > ((n - 1) // 2)[:, None]).argmax(axis=1)
        high = (places > (n // 2)[:, None]).argmax(axis=1)
        middle = (values[low] + values[high]) / 2
        medians[start : start + step] = np.where(n > 0, middle, np.nan)
    return medians


def _interval(resampled: Floats) -> tuple[float, float]:
    finite = resampled[np.isfinite(resampled)]
    if finite.size == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


def _json_of(metrics: Accuracy | Intervals) -> dict[str, Any]:
    plain = {key: _finite(getattr(metrics, key)) for key in ("mre_mm", "sd_mm", "median_mm")}
    rates = zip(sdr_keys(), metrics.sdr_percent, strict=True)
    return {**plain, "sdr_percent": {key: _finite(rate) for key, rate in rates}}


def _finite(value: Any) -> float | list[float] | None:
    """Return a number or an interval for JSON, None where it is NaN."""
    if not np.all(np.isfinite(value)):
        return None
    return list(value) if isinstance(value, tuple) else float(value)


def confidence_quality(table: ErrorTable) -> dict[str, Any] | None:
    """Return how well confidence predicts errors; None where no point has a confidence.

    ``auc_4mm`` is the probability that a point within 4 mm has a higher confidence
    than one farther off (None where all points are on one side), ``unsure_percent`` the
    share of points marked unsure, ``unsure_of_far_percent`` the share of the points
    farther off than 4 mm that are marked, ``far_of_unsure_percent`` the share of the
    marked points that are farther off, ``far_and_sure_percent`` the share of all points that are
    farther off and not marked. ``far_in_least_sure_10_percent`` and ``…_20_percent`` say how many
    of the points farther off are among the tenth and the fifth with the lowest confidence, and
    ``within_radius_percent`` how many of the true points lie within the radius that is to hold
    90 %.
    """
    scored = [
        (point.score, point.native_mm >= FAR_MM, point.unsure, point.native_mm, point.radius_90_mm)
        for point in table.points
        if point.native_mm is not None and point.score is not None
    ]
    if not scored:
        return None
    scores, far, unsure, errors, radii = (np.array(each) for each in zip(*scored, strict=True))
    radii = radii.astype(float)
    known = np.isfinite(radii)
    least_sure = far[np.argsort(scores, kind="stable")]
    return {
        "auc_4mm": _auc(scores[~far], scores[far]),
        "unsure_percent": _percent(unsure),
        "unsure_of_far_percent": _percent(unsure[far]),
        "far_of_unsure_percent": _percent(far[unsure]),
        "far_and_sure_percent": _percent(far & ~unsure),
        "far_in_least_sure_10_percent": _share_of_first(least_sure, 0.1),
        "far_in_least_sure_20_percent": _share_of_first(least_sure, 0.2),
        "within_radius_percent": _percent(errors[known] <= radii[known]),
    }


def _share_of_first(marked: NDArray[Any], part: float) -> float | None:
    """Return how many of the marked ones are in the first part, in per cent."""
    first = marked[: round(part * marked.size)]
    return 100 * float(first.sum() / marked.sum()) if marked.any() else None


def _auc(good: NDArray[Any], bad: NDArray[Any]) -> float | None:
    """Return P(good > bad) + P(good = bad) / 2, from ranks."""
    if good.size == 0 or bad.size == 0:
        return None
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left")
    not_above = np.searchsorted(ordered, good, side="right")
    return float((below + not_above).mean() / 2 / bad.size)


def _percent(marked: NDArray[Any]) -> float | None:
    return 100 * float(marked.mean()) if marked.size else None
