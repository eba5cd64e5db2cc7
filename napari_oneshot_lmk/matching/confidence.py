"""Confidence in a point: a number in 0..1, larger where a sharp peak lies where others expect it.

Whether an image is mirrored or turned is decided by it; what a user is told of a point is of
`matching.uncertainty`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_oneshot_lmk.matching.shape import Expectation, ShapeModel, squared_offsets

# These constants were chosen on generated phantoms, where they order errors best
# (docs/benchmarks/score.md).
NEAR = 0.06
"""Radius around the point, as a fraction of the template's size."""
SHARPNESS = 2.0
"""Factor on the log-posterior before it is read as a probability."""
SURPRISE_SCALE = 4.0
"""Squared standardised shape residual that costs a factor of e."""


def estimate_confidence(
    posterior: Tensor, points_yx: Tensor, expectation: Expectation, shape: ShapeModel, stride: int
) -> Tensor:
    """Estimate the confidence in each point, from its map and from the other landmarks.

    It is the share of the posterior that lies around the point (near 1 where one sharp
    peak stands alone, small where several places look alike or the match is blurred),
    multiplied by a factor that falls with the point's shape residual.

    Posterior, points and expectation are those of `ShapeModel.fit`. The result is (N,)
    float64 in 0..1; larger means a smaller error is expected.
    """
    share = torch.softmax(SHARPNESS * posterior.flatten(1), dim=1).view_as(posterior)
    radius = NEAR * shape.size
    offsets = squared_offsets(points_yx, shape.pixel_size_yx, radius, posterior.shape, stride)
    rows, columns = (offset.float().to(posterior.device) for offset in offsets)
    near = rows[:, :, None] + columns[:, None, :] <= 1
    around = torch.where(near, share, torch.zeros_like(share)).sum((1, 2))
    residual = (points_yx - expectation.points_yx) * shape.pixel_size_yx
    surprise = (residual**2).sum(1) / expectation.sd**2
    return around.clamp(0, 1).double().cpu() * (-surprise / SURPRISE_SCALE).exp()
