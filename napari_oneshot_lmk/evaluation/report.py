"""Evaluates found against true landmarks: the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_oneshot_lmk.evaluation.error_table import ErrorTable, Floats, Outcome
from napari_oneshot_lmk.evaluation.errors import Pairing, measure_errors, pair_images
from napari_oneshot_lmk.evaluation.metrics import (
    REPLICATES,
    Accuracy,
    Intervals,
    accuracy,
    bootstrap_intervals,
    confidence_quality,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmarks


@dataclass(frozen=True)
class Scoring:
    """Accuracy and intervals of one scoring, overall and per landmark."""

    overall: Accuracy
    overall_ci95: Intervals
    per_landmark: dict[str, Accuracy]
    per_landmark_ci95: dict[str, Intervals]


@dataclass(frozen=True)
class Report:
    """The result of an evaluation, summarised from a table of errors."""

    table: ErrorTable
    unmatched: dict[str, list[str]]
    """``predicted``, ``truth``: image names on one side only; ``predicted_landmarks``,
    ``truth_landmarks``: landmark names."""
    provenance: dict[str, list[str]]
    """``methods``, ``encoders``, ``templates`` of the predictions."""
    seed: int = 0
    """Of the bootstrap, like ``replicates``."""
    replicates: int = REPLICATES
    native: Scoring = field(init=False)
    """At the images' own resolution."""
    grid384: Scoring | None = field(init=False)
    """On the grid of the published tables; None where image sizes are unknown."""

    def __post_init__(self) -> None:
        """Summarise the errors."""
        grid = self.table.grid384_mm()
        object.__setattr__(self, "native", self._scored(self.table.native_mm()))
        object.__setattr__(self, "grid384", None if grid is None else self._scored(grid))

    def _scored(self, errors_mm: Floats) -> Scoring:
        columns = {n: errors_mm[:, [i]] for i, n in enumerate(self.table.landmarks)}

        def intervals(part: Floats) -> Intervals:
            return bootstrap_intervals(part, replicates=self.replicates, seed=self.seed)

        return Scoring(
            accuracy(errors_mm),
            intervals(errors_mm),
            {name: accuracy(column) for name, column in columns.items()},
            {name: intervals(column) for name, column in columns.items()},
        )

    def scoring(self, name: str) -> Scoring | None:
        """Return the scoring called ``"native"`` or ``"grid384"``."""
        return {"native": self.native, "grid384": self.grid384}[name]

    @property
    def grid384_reason(self) -> str | None:
        """Why there is no accuracy on the 384 grid; None where there is."""
        unknown = self.table.sizes_unknown
        if not unknown:
            return None
        return (
            f"neither file says the size in pixels of {len(unknown)} of "
            f"{len(self.table.images)} images (columns height_px, width_px)"
        )

    def summary(self) -> dict[str, Any]:
        """Return the content of ``summary.json``.

        ``per_landmark`` is native. ``grid384`` is None where image sizes are unknown;
        ``grid384_reason`` then says so.
        """
        grid = self.grid384
        return {
            "native": self.native.overall.as_dict(),
            "grid384": grid.overall.as_dict() if grid else None,
            "grid384_reason": self.grid384_reason,
            "per_landmark": _dicts(self.native.per_landmark),
            "per_landmark_grid384": _dicts(grid.per_landmark) if grid else None,
            "ci95": {
                "native": self.native.overall_ci95.as_dict(),
                "grid384": grid.overall_ci95.as_dict() if grid else None,
                "per_landmark": _dicts(self.native.per_landmark_ci95),
                "per_landmark_grid384": _dicts(grid.per_landmark_ci95) if grid else None,
            },
            "bootstrap": {
                "resampled": "images",
                "interval": "percentile",
                "replicates": self.replicates,
                "seed": self.seed,
            },
            "images": len(self.table.images),
            "outcomes": {str(o): self.table.count(o) for o in Outcome},
            "unmatched": self.unmatched,
            "scores": confidence_quality(self.table),
            "spacing_source": sorted(str(s) for s in self.table.spacing_sources),
            **self.provenance,
        }

    def without(self, images: Sequence[str]) -> Report:
        """Return the report of the same evaluation without some images."""
        return replace(self, table=self.table.without(images))


def evaluate(
    predicted: Sequence[Landmarks],
    truth: Sequence[Landmarks],
    *,
    spacing_mm_yx: float | tuple[float, float] | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Report:
    """Compare found landmarks with true ones.

    Parameters
    ----------
    predicted, truth : sequence of Landmarks
        One entry per image; see `pair_images`.
    spacing_mm_yx : float or pair of float, optional
        Of all images; see `measure_errors`.
    seed, replicates : int
        Of the bootstrap.

    Raises
    ------
    UsageError
        If pairing is ambiguous, or there is nothing to compare.
    GeometryError
        If a pixel spacing is unknown or makes no sense, or sizes contradict each other.
    """
    pairing = pair_images(predicted, truth)
    table = measure_errors(pairing, spacing_mm_yx)
    return Report(table, _unmatched(pairing), _provenance(pairing), seed, replicates)


def _unmatched(pairing: Pairing) -> dict[str, list[str]]:
    predicted = dict.fromkeys(n for p in pairing.pairs for n in p.predicted.names)
    truth = dict.fromkeys(n for p in pairing.pairs for n in p.truth.names)
    return {
        "predicted": list(pairing.unmatched_predicted),
        "truth": list(pairing.unmatched_truth),
        "predicted_landmarks": [name for name in predicted if name not in truth],
        "truth_landmarks": [name for name in truth if name not in predicted],
    }


def _provenance(pairing: Pairing) -> dict[str, list[str]]:
    sources = [pair.predicted.provenance for pair in pairing.pairs]
    return {
        f"{key}s": sorted({getattr(source, key) for source in sources} - {""})
        for key in ("method", "encoder", "template")
    }


def _dicts(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part.as_dict() for name, part in parts.items()}
