"""How far to trust a point: a score in 0..1 that orders errors."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_oneshot_lmk.matching.shape import Expectation

NEAR = 0.06
"""Radius, as a fraction of the template's size, that counts as "here"."""
SHARPNESS = 2.0
"""Factor on the log-posterior before it is read as a probability.

This and the other constants here were chosen on generated phantoms, where they
order errors best (docs/benchmarks/score.md)."""
SURPRISE_SCALE = 4.0
"""Squared standardised shape residual that costs a factor of e."""
UNSURE_BELOW = 0.4
"""Scores below it are shown as unsure."""


def scores(
    posterior: Tensor,
    points_yx: Tensor,
    expectation: Expectation,
    pixel_size_yx: Tensor,
    stride: int,
    size: Tensor,
) -> Tensor:
    """Confidence in each point, from its map and from the other landmarks.

    Parameters
    ----------
    posterior : Tensor, (N, h, w)
        Log-similarity plus shape.
    points_yx : Tensor, (N, 2), float64
        Found points, pixels of the network's grid.
    expectation : Expectation
        Where the others expect them.
    pixel_size_yx : Tensor, (2,), float64
        Size of a network pixel.
    stride : int
        Network pixels per cell of the maps.
    size : Tensor, ()
        The template's size, in the unit of ``pixel_size_yx``.

    Returns
    -------
    Tensor, (N,), float64
        In 0..1; larger means a smaller error is expected.
    """
    sharp = concentration(posterior, points_yx, pixel_size_yx, stride, NEAR * size)
    away = (points_yx - expectation.points_yx) * pixel_size_yx
    surprise = (away**2).sum(1) / expectation.sd**2
    return sharp * (-surprise / SURPRISE_SCALE).exp()


def concentration(
    posterior: Tensor, points_yx: Tensor, pixel_size_yx: Tensor, stride: int, radius: Tensor
) -> Tensor:
    """Share of each landmark's posterior that lies around its point.

    Near 1 where one sharp peak stands alone, small where several places look
    alike or the match is blurred.

    Parameters
    ----------
    posterior : Tensor, (N, h, w)
        Log-similarity plus shape.
    points_yx : Tensor, (N, 2), float64
        Found points, pixels of the network's grid.
    pixel_size_yx : Tensor, (2,), float64
        Size of a network pixel.
    stride : int
        Network pixels per cell.
    radius : Tensor, ()
        In the unit of ``pixel_size_yx``.

    Returns
    -------
    Tensor, (N,), float64
        In 0..1.
    """
    share = torch.softmax(SHARPNESS * posterior.flatten(1), dim=1).view_as(posterior)
    squared = []
    for axis, cells in enumerate(posterior.shape[-2:]):
        centres = stride * (torch.arange(cells, dtype=torch.float64) + 0.5) - 0.5
        away = (centres[None] - points_yx[:, axis, None]) * pixel_size_yx[axis] / radius
        squared.append((away**2).float().to(posterior.device))
    near = squared[0][:, :, None] + squared[1][:, None, :] <= 1
    total = torch.where(near, share, torch.zeros_like(share)).sum((1, 2))
    return total.clamp(0, 1).double().cpu()
