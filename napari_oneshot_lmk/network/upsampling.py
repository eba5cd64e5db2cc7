"""CC2D's upsampling: doubled bilinearly, corners aligned, whole or in regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.network.windows import Region


def upsampled(maps: Tensor, size_yx: Sequence[int]) -> Tensor:
    """Double (B, C, h, w) or (B, K, C, h, w) maps.

    Where twice the map is not the size that is asked for (the finer map has an odd
    length) it is padded with zeros, evenly, the odd cell at the end; where it is
    larger, it is cut the same way.
    """
    flat = maps if maps.ndim == 4 else maps.flatten(0, 1)
    doubled = F.interpolate(flat, scale_factor=2, mode="bilinear", align_corners=True)
    (top, bottom), (left, right) = (
        _padding(length, size) for length, size in zip(doubled.shape[-2:], size_yx, strict=True)
    )
    if any((top, bottom, left, right)):
        doubled = F.pad(doubled, (left, right, top, bottom))
    return doubled.reshape(*maps.shape[:-2], *doubled.shape[-2:])


def interpolated(maps: Tensor, held: Region, wanted: Region) -> Tensor:
    """Cells of the doubled map that lie in a region of the next finer level.

    The same as `upsampled`, cut afterwards.

    Parameters
    ----------
    maps : Tensor, (B, K, C, h, w)
        The coarser level's cells in ``held``.
    held, wanted : Region
        Of the coarser and of the finer level.

    Returns
    -------
    Tensor, (B, K, C, rows, columns)
        0 beyond the finer map.
    """
    exact = torch.promote_types(maps.dtype, torch.float32)
    rows, columns = (
        _interpolation(held, wanted, axis, exact).to(maps.device, maps.dtype) for axis in (0, 1)
    )
    # Rows first: each of them is one run of memory, and so are then the columns.
    cells = maps.permute(0, 1, 3, 4, 2)
    down = rows @ cells.flatten(3)
    across = columns[:, :, None] @ down.reshape(*down.shape[:3], *cells.shape[3:])
    return across.permute(0, 1, 4, 2, 3)


def _interpolation(held: Region, wanted: Region, axis: int, dtype: torch.dtype) -> Tensor:
    """Weights of the held cells for each wanted cell, (B, K, wanted, held)."""
    coarse, fine = held.full_yx[axis], wanted.full_yx[axis]
    before, _ = _padding(2 * coarse, fine)
    targets = wanted.cells(axis)
    doubled = targets - before
    known = (targets >= 0) & (targets < fine) & (doubled >= 0) & (doubled < 2 * coarse)
    # Corners aligned: cell u of the doubled map lies at u * (coarse - 1) / steps. In
    # whole numbers up to the division, so that no coordinate is rounded.
    steps = 2 * coarse - 1
    places = doubled[..., :, None] * (coarse - 1)
    apart = places - held.cells(axis)[..., None, :] * steps
    weights = (1 - apart.abs().to(dtype) / steps).clamp_min(0)
    return weights * known[..., None]


def _padding(length: int, size: int) -> tuple[int, int]:
    """Cells to add before and after a length to reach a size; negative: to cut."""
    before = (size - length) // 2
    return before, size - length - before
