"""Two pictures with known correspondence, and the points at which it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

POINTS = 96
"""Corresponding points of a pair, at most."""
MARGIN = 4
"""Pixels that they keep from the border of the second picture."""


@dataclass(frozen=True)
class Pair:
    """Two pictures and points that correspond.

    Parameters
    ----------
    first, second : Tensor, (1, 1, S, S)
        Grey in 0..1.
    points_yx, partners_yx : Tensor, (N, 2)
        Pixels of ``first`` and where their content lies in ``second``.
    """

    first: Tensor
    second: Tensor
    points_yx: Tensor
    partners_yx: Tensor


def sampled(field: Tensor, points_yx: Tensor) -> Tensor:
    """Bilinear values of (1, C, S, S) at (N, 2) pixels: (N, C)."""
    size = field.new_tensor(field.shape[-2:])
    unit_xy = ((2 * points_yx + 1) / size - 1).flip(-1)
    values = F.grid_sample(field, unit_xy[None, None], padding_mode="border", align_corners=False)
    return values[0, :, 0].T


def uniform(low: float, high: float, source: Generator) -> float:
    """Draw one number between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=source))


def points_on_structure(
    picture: Tensor, flow_yx: Tensor, source: Generator
) -> tuple[Tensor, Tensor]:
    """Draw points of a picture, mostly where grey values change, and their partners.

    ``flow_yx`` is (1, 2, S, S): where the content of each pixel lies in the other picture, as a
    displacement in pixels.
    """
    side = picture.shape[-1]
    smooth = F.avg_pool2d(picture, 3, 1, 1)
    slope_y = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    slope_x = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    strength = F.pad(torch.hypot(slope_y, slope_x), (1, 1, 1, 1)).flatten().sqrt()
    drawn = torch.multinomial(strength + 1e-3, 3 * POINTS, generator=source)
    points = torch.stack([drawn // side, drawn % side], 1).float()
    partners = points + sampled(flow_yx, points)
    inside = ((partners > MARGIN) & (partners < side - 1 - MARGIN)).all(1)
    return points[inside][:POINTS], partners[inside][:POINTS]
