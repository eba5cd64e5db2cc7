"""Images and landmarks that do not fit to the others of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.measure.morphometrics.procrustes import Alignment
from napari_oneshot_lmk.measure.morphometrics.shapes import Floats

THRESHOLD = 3.5
"""Of the robust score, as Iglewicz and Hoaglin recommend."""
LEAST_IMAGES = 5
"""Fewer say nothing of what is usual."""
_OF_MEDIAN, _OF_MEAN = 0.6745, 0.7979
"""What a median and a mean absolute deviation are of a standard deviation, if normal."""


@dataclass(frozen=True)
class LandmarkOutlier:
    """One landmark on one image, with its distance from where the mean shape has it."""

    image: str
    landmark: str
    residual: float
    unit: str
    score: float


@dataclass(frozen=True)
class Outliers:
    """How unusual the images of an alignment are."""

    alignment: Alignment
    threshold: float
    image_scores: Floats
    """(images,) robust score of the Procrustes distance."""
    landmark_scores: Floats
    """(images, landmarks) robust score of the residual, among the same landmark on all images;
    NaN where not placed."""

    @property
    def images(self) -> tuple[str, ...]:
        """Images whose whole shape is unusual, the most unusual first."""
        order = np.argsort(-self.image_scores)
        names = self.alignment.shapes.images
        return tuple(names[n] for n in order if self.image_scores[n] > self.threshold)

    @property
    def landmarks(self) -> tuple[LandmarkOutlier, ...]:
        """Unusual landmarks, the most unusual first."""
        shapes, residuals = self.alignment.shapes, self.alignment.residuals
        found = [
            LandmarkOutlier(
                shapes.images[image],
                shapes.landmarks[landmark],
                float(residuals[image, landmark]),
                shapes.units[image],
                float(self.landmark_scores[image, landmark]),
            )
            for image, landmark in np.argwhere(self.landmark_scores > self.threshold)
        ]
        return tuple(sorted(found, key=lambda each: -each.score))


def find_outliers(alignment: Alignment, *, threshold: float = THRESHOLD) -> Outliers:
    """Score the Procrustes distances of images and the residuals of landmarks.

    Parameters
    ----------
    alignment : Alignment
        Of `LEAST_IMAGES` or more.
    threshold : float
        Robust score from which on something is an outlier.

    Raises
    ------
    UsageError
        If there are too few images.
    """
    count = len(alignment.shapes.images)
    if count < LEAST_IMAGES:
        what = f"{count} images do not say what is usual"
        raise UsageError(what, remedy=f"use {LEAST_IMAGES} or more")
    residuals = alignment.residuals
    scores = np.stack([robust_scores(column) for column in residuals.T], axis=1)
    return Outliers(alignment, threshold, robust_scores(alignment.distances), scores)


def robust_scores(values: Floats) -> Floats:
    """Return (N,) modified z-scores; NaN where a value is.

    0.6745 (x − median) / MAD, where MAD is the median absolute deviation from the median. Where
    that is zero, because more than half of the values are the same, the mean absolute
    deviation takes its place: 0.7979 (x − median) / mean absolute deviation.

    References
    ----------
    Iglewicz and Hoaglin, "How to Detect and Handle Outliers", ASQC, 1993, for the score and the
    threshold 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> robust_scores(np.array([1.0, 2.0, 3.0, 4.0, 50.0])).round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 31.7]
    """
    known = np.isfinite(values)
    scores = np.full(values.shape, np.nan)
    if not known.any():
        return scores
    apart = values - np.median(values[known])
    away = np.abs(apart[known])
    spread, factor = float(np.median(away)), _OF_MEDIAN
    # What is only rounding is no spread.
    least = 1e-9 * float(np.abs(values[known]).max())
    if spread <= least:
        spread, factor = float(away.mean()), _OF_MEAN
    scores[known] = factor * apart[known] / spread if spread > least else 0.0
    return scores
