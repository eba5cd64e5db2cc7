"""All errors of an evaluation, image by image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Outcome(StrEnum):
    """How the prediction of one landmark compares with the truth."""

    SCORED = "scored"
    """Placed by both; it has an error."""
    MISSED = "missed"
    """True position known, nothing found: skipped, or not in the predictions."""
    FALSE_ABSENT = "false_absent"
    """True position known, but said to be absent."""
    FALSE_FOUND = "false_found"
    """Absent in truth, but a position was found."""
    RIGHTLY_ABSENT = "rightly_absent"
    """Absent in truth, and no position was found."""
    NOT_ANNOTATED = "not_annotated"
    """Not annotated in truth."""


class SpacingSource(StrEnum):
    """Where the pixel spacing of an image is from."""

    GIVEN = "given"
    TRUTH = "truth file"
    PREDICTED = "predicted file"


@dataclass(frozen=True)
class PointError:
    """One landmark on one image.

    Parameters
    ----------
    image, landmark : str
        Names as in the truth.
    outcome : Outcome
        Only SCORED points have errors.
    native_mm, grid384_mm : float, optional
        The latter is None where the image's size is unknown.
    found_yx, true_yx : tuple of float, optional
        (row, column) in image pixels.
    score : float, optional
        Confidence of the found point.
    unsure : bool
        Whether the detector marked it as unsure.
    """

    image: str
    landmark: str
    outcome: Outcome
    native_mm: float | None = None
    grid384_mm: float | None = None
    found_yx: tuple[float, float] | None = None
    true_yx: tuple[float, float] | None = None
    score: float | None = None
    unsure: bool = False


@dataclass(frozen=True)
class ErrorTable:
    """All errors of an evaluation, image by image.

    Parameters
    ----------
    points : tuple of PointError
        One for each image and landmark of the truth.
    images, landmarks : tuple of str
        Names, in order.
    spacing_sources : frozenset of SpacingSource
        Where the pixel spacings are from.
    sizes_unknown : tuple of str
        Images whose size in pixels no file says.
    """

    points: tuple[PointError, ...]
    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    spacing_sources: frozenset[SpacingSource] = frozenset()
    sizes_unknown: tuple[str, ...] = ()

    def native_mm(self) -> Floats:
        """Return the (images, landmarks) native errors, NaN where not scored."""
        return self._matrix([p.native_mm for p in self.points])

    def grid384_mm(self) -> Floats | None:
        """Return the (images, landmarks) errors on the 384 grid.

        None where any image's size is unknown: a mean over the other images
        would look comparable with the native one and would not be.
        """
        if self.sizes_unknown:
            return None
        return self._matrix([p.grid384_mm for p in self.points])

    def count(self, outcome: Outcome, landmark: str | None = None) -> int:
        """Count an outcome, overall or for one landmark."""
        return sum(p.outcome is outcome and landmark in (None, p.landmark) for p in self.points)

    def without(self, images: Iterable[str]) -> ErrorTable:
        """Return the table without some images."""
        left_out = set(images)
        return ErrorTable(
            tuple(p for p in self.points if p.image not in left_out),
            tuple(image for image in self.images if image not in left_out),
            self.landmarks,
            self.spacing_sources,
            tuple(image for image in self.sizes_unknown if image not in left_out),
        )

    def _matrix(self, values: Iterable[float | None]) -> Floats:
        row = {image: index for index, image in enumerate(self.images)}
        column = {name: index for index, name in enumerate(self.landmarks)}
        matrix = np.full((len(self.images), len(self.landmarks)), np.nan)
        for point, value in zip(self.points, values, strict=True):
            if value is not None:
                matrix[row[point.image], column[point.landmark]] = value
        return matrix
