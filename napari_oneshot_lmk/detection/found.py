"""From numbers to the landmarks of a template's list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.matching.confidence import UNSURE_BELOW

Array = NDArray[np.float64]


def found_points(
    wanted: Landmarks,
    image_shape_yx: tuple[int, int],
    points_yx: Array,
    scores: Array,
    residuals_mm: Array | None,
) -> tuple[Landmark, ...]:
    """Return all landmarks of a list: those that it places with what was found.

    Parameters
    ----------
    wanted : Landmarks
        The template's, N of them placed.
    image_shape_yx : tuple of int
        Of the image that was looked at.
    points_yx : ndarray, (N, 2)
        In its pixels.
    scores : ndarray, (N,)
        In 0..1.
    residuals_mm : ndarray, (N,), optional
        Distances from where the other landmarks expect each.
    """
    # A peak on the border may be refined half a cell past the last pixel.
    points_yx = np.clip(points_yx, 0.0, np.array(image_shape_yx) - 1.0)
    found, row = [], 0
    for landmark in wanted:
        if landmark.state is not State.PLACED:
            found.append(
                Landmark(landmark.name, None, landmark.state, description=landmark.description)
            )
            continue
        score = float(scores[row])
        found.append(
            Landmark(
                landmark.name,
                (float(points_yx[row, 0]), float(points_yx[row, 1])),
                score=score,
                unsure=score < UNSURE_BELOW,
                shape_residual_mm=None if residuals_mm is None else float(residuals_mm[row]),
                description=landmark.description,
                source=Source.DETECTED,
            )
        )
        row += 1
    return tuple(found)
