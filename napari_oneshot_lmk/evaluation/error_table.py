"""All errors of an evaluation, image by image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Outcome(StrEnum):
    """How the prediction of one landmark compares with the truth."""

    SCORED = "scored"  # placed in both; it has an error
    MISSED = "missed"  # placed in truth, but skipped or not in the predictions
    FALSE_ABSENT = "false_absent"  # placed in truth, predicted absent
    FALSE_FOUND = "false_found"  # absent in truth, but a position was predicted
    RIGHTLY_ABSENT = "rightly_absent"  # absent in truth, no position was predicted
    NOT_ANNOTATED = "not_annotated"  # skipped in truth


class SpacingSource(StrEnum):
    """Where the pixel spacing of an image is from."""

    GIVEN = "given"
    TRUTH = "truth file"
    PREDICTED = "predicted file"


@dataclass(frozen=True)
class PointError:
    """One landmark on one image; only SCORED points have errors.

    Names are those of the truth, positions are (row, column) in image pixels.
    ``grid384_mm`` is None where the size of the image is unknown.
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
    radius_90_mm: float | None = None
    """That was to hold the true point with a probability of 90 %."""


@dataclass(frozen=True)
class ErrorTable:
    """One `PointError` for each image and landmark of the truth, and their names in order."""

    points: tuple[PointError, ...]
    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    spacing_sources: frozenset[SpacingSource] = frozenset()
    sizes_unknown: tuple[str, ...] = ()
    """Images whose size in pixels no file states."""

    def native_mm(self) -> Floats:
        """Return the (images, landmarks) native errors, NaN where not scored."""
        return self._matrix("native_mm")

    def grid384_mm(self) -> Floats | None:
        """Return the (images, landmarks) errors on the 384 grid.

        None where any image's size is unknown: a mean over the other images
        would look comparable with the native one and would not be.
        """
        return None if self.sizes_unknown else self._matrix("grid384_mm")

    def count(self, outcome: Outcome, landmark: str | None = None) -> int:
        """Count an outcome, overall or for one landmark."""
        return sum(p.outcome is outcome and landmark in (None, p.landmark) for p in self.points)

    def without(self, images: Iterable[str]) -> ErrorTable:
        """Return the table without some images."""
        left_out = set(images)
        return replace(
            self,
            points=tuple(p for p in self.points if p.image not in left_out),
            images=tuple(image for image in self.images if image not in left_out),
            sizes_unknown=tuple(i for i in self.sizes_unknown if i not in left_out),
        )

    def _matrix(self, scoring: str) -> Floats:
        errors = {(p.image, p.landmark): getattr(p, scoring) for p in self.points}
        # None becomes NaN.
        rows = [[errors.get((i, name)) for name in self.landmarks] for i in self.images]
        return np.array(rows, dtype=np.float64).reshape(len(self.images), len(self.landmarks))
