"""Crops around points, at several magnifications, and points in their maps.

A crop's pixel (i, j) lies ``(i - c, j - c)`` pixels from its centre, c half of its side less one.
All is tensor code without a branch on a tensor's value, to be exported as TorchScript.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_image(image: Tensor, factors: Sequence[int]) -> list[Tensor]:
    """Return a (1, 1, H, W) image averaged over squares of so many pixels a side, one by one.

    Cell (i, j) is centred on pixel ``factor * (i + 0.5) - 0.5`` of the image. Where squares
    reach beyond the border, their other pixels are averaged.
    """
    return [
        F.avg_pool2d(image, factor, ceil_mode=True, count_include_pad=False) for factor in factors
    ]


def cut_crops(
    pooled: Sequence[Tensor],
    factors: Sequence[int],
    centres_yx: Tensor,
    side: int,
    turns: Tensor | None = None,
) -> Tensor:
    """Cut crops about points from one image, sampled bilinearly, black beyond the image.

    Parameters
    ----------
    pooled : sequence of Tensor
        The image from `pool_image`, with its ``factors``.
    centres_yx : Tensor, (B, 2)
        Pixels of the image.
    side : int
        Of a crop in pixels; those of channel k are ``factors[k]`` times as large.
    turns : Tensor, (B, 2, 2), optional
        Maps offsets (row, column) in a crop to offsets in the image; by default the identity.

    Returns
    -------
    Tensor, (B, len(factors), side, side)
    """
    steps = torch.arange(side, dtype=torch.float32, device=centres_yx.device) - (side - 1) / 2
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    count = centres_yx.shape[0]
    if turns is None:
        offsets = offsets.expand(count, side, side, 2)
    else:
        offsets = torch.einsum("bkl,ijl->bijk", turns.to(offsets), offsets)
    channels = []
    for image, factor in zip(pooled, factors, strict=True):
        # As fractions of the image: the same on all of its sizes.
        places = centres_yx.to(offsets)[:, None, None] + factor * offsets
        size_yx = image_size_yx(image) * factor
        grid = (2 * (places + 0.5) / size_yx - 1).flip(-1)
        # One tall picture: no copy of the image for each crop.
        tall = grid.reshape(1, count * side, side, 2)
        sampled = F.grid_sample(image, tall, mode="bilinear", align_corners=False)
        channels.append(sampled.view(count, side, side))
    return torch.stack(channels, 1)


def image_size_yx(image: Tensor) -> Tensor:
    """Return the size (2,) of a (1, 1, H, W) image; TorchScript records it for any size."""
    ones = torch.ones_like(image[0, 0])
    return torch.stack((ones[:, 0].sum(), ones[0].sum()))


def gaussian_targets(offsets_yx: Tensor, side: int, sd_px: float | Tensor) -> Tensor:
    """Return a map per crop, (B, side, side) with sum 1: a Gaussian about (B, 2) offsets.

    Offsets are from the crop's centre, in its pixels, as is the standard deviation, one for all
    or (B,).
    """
    return gaussian_maps(offsets_yx + (side - 1) / 2, (side, side), sd_px)


def log_gaussian(offsets_yx: Tensor, side: int, sd_px: float) -> Tensor:
    """Return the logarithm of a Gaussian about each of (B, 2) offsets, (B, side, side).

    As `gaussian_targets`, but 0 at the offset and without an end: it does not underflow.
    """
    steps = torch.arange(side, dtype=offsets_yx.dtype, device=offsets_yx.device) - (side - 1) / 2
    rows = (steps - offsets_yx[:, :1]) ** 2
    columns = (steps - offsets_yx[:, 1:]) ** 2
    return (rows[:, :, None] + columns[:, None, :]) / (-2 * sd_px**2)


def gaussian_maps(cells_yx: Tensor, shape_yx: Sequence[int], sd: float | Tensor) -> Tensor:
    """Return maps (..., h, w) with sum 1: a Gaussian about each of (..., 2) points, in cells.

    Its standard deviation is one for all, or (...).
    """
    sd = sd[..., None] if isinstance(sd, Tensor) else sd
    rows, columns = (
        (-0.5 * ((_steps(length, cells_yx) - cells_yx[..., axis, None]) / sd) ** 2).softmax(-1)
        for axis, length in enumerate(shape_yx)
    )
    return rows[..., :, None] * columns[..., None, :]


def _steps(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device)


def soft_argmax(maps: Tensor, window: int) -> Tensor:
    """Return the offsets (B, 2) of the peaks of maps (B, S, S) from their centres.

    The mean place, by the softmax, of the ``window`` x ``window`` cells around the highest one.

    Examples
    --------
    >>> maps = torch.full((1, 5, 5), -9.0)
    >>> maps[0, 1, 2:4] = 3.0  # two equal cells, one row above the centre
    >>> soft_argmax(maps, 3).round(decimals=2)
    tensor([[-1.0000,  0.5000]])
    """
    side, reach = maps.shape[-1], window // 2
    padded = F.pad(maps, (reach,) * 4, value=float("-inf"))
    best = maps.flatten(1).argmax(1)
    rows, columns = torch.div(best, side, rounding_mode="floor"), best % side
    near = torch.arange(window, device=maps.device)
    each = torch.arange(maps.shape[0], device=maps.device)[:, None, None]
    around = padded[each, (rows[:, None] + near)[:, :, None], (columns[:, None] + near)[:, None]]
    share = around.flatten(1).softmax(1).view_as(around)
    steps = (near - reach).to(maps.dtype)
    inner = torch.stack(((share.sum(2) * steps).sum(1), (share.sum(1) * steps).sum(1)), 1)
    return torch.stack((rows, columns), 1) - (side - 1) / 2 + inner
