"""Which labels are shown at a zoom; numbers only, no window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FIRST, UNSURE, REST = 0, 1, 2
"""Priorities: selected or next to be placed, unsure, all others."""


def choose_labels(
    boxes: ArrayLike, priority: ArrayLike, marks: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Choose labels that do not overlap, the important ones first.

    Parameters
    ----------
    boxes : (N, 4) array
        Each label's (top, left, bottom, right) on the screen, in pixels.
    priority : (N,) array
        Lower comes first; of equals the earlier row.
    marks : (N, 4) array, optional
        The mark of each row. A label is not drawn over the mark of another row,
        except one of priority ``FIRST``, which gives way to earlier labels only.

    Returns
    -------
    (N,) array of bool
        Which labels to show. No two of them overlap; boxes that only touch do not.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    priority = np.asarray(priority).reshape(-1)
    shown = np.zeros(len(boxes), dtype=bool)
    free = np.ones(len(boxes), dtype=bool)
    if marks is not None and len(boxes):
        marks = np.asarray(marks, dtype=float).reshape(-1, 4)
        covers = _overlap(boxes[:, None], marks[None])
        np.fill_diagonal(covers, False)
        free = ~covers.any(axis=1) | (priority == FIRST)
    for row in np.argsort(priority, kind="stable"):
        if free[row]:
            shown[row] = True
            free &= ~_overlap(boxes, boxes[row])
    return shown


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes have more than an edge in common; (..., 4) each, broadcast."""
    overlap: NDArray[np.bool_] = (
        (one[..., 0] < other[..., 2])
        & (other[..., 0] < one[..., 2])
        & (one[..., 1] < other[..., 3])
        & (other[..., 1] < one[..., 3])
    )
    return overlap
