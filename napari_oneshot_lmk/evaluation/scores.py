"""Whether scores and ``unsure`` point at the errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_oneshot_lmk.evaluation.error_table import ErrorTable, Outcome

FAR_MM = 4.0
"""The largest distance of the published tables: beyond it a point is wrong."""


def score_quality(table: ErrorTable) -> dict[str, Any] | None:
    """Say how well scores order errors.

    Returns
    -------
    dict or None
        ``auc_4mm``: the chance that a point within 4 mm has a higher score than
        one farther off (1 is perfect order, 0.5 is none; None where all points
        are on one side); ``unsure_percent``: share of points marked unsure;
        ``unsure_of_far_percent``: share of the points farther off than 4 mm
        that are marked; ``far_of_unsure_percent``: share of the marked points
        that are farther off. None where no scored point has a score.
    """
    scored = [
        (point.score, point.native_mm >= FAR_MM, point.unsure)
        for point in table.points
        if point.outcome is Outcome.SCORED
        and point.native_mm is not None
        and point.score is not None
    ]
    if not scored:
        return None
    scores, far, unsure = (np.array(column) for column in zip(*scored, strict=True))
    return {
        "auc_4mm": _chance_higher(scores[~far], scores[far]),
        "unsure_percent": 100 * float(unsure.mean()),
        "unsure_of_far_percent": _percent(unsure[far]),
        "far_of_unsure_percent": _percent(far[unsure]),
    }


def _chance_higher(good: np.ndarray[Any, Any], bad: np.ndarray[Any, Any]) -> float | None:
    """Return P(good > bad) + P(good = bad) / 2, from ranks."""
    if good.size == 0 or bad.size == 0:
        return None
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left")
    not_above = np.searchsorted(ordered, good, side="right")
    return float((below + not_above).mean() / 2 / bad.size)


def _percent(marked: np.ndarray[Any, Any]) -> float | None:
    return 100 * float(marked.mean()) if marked.size else None
