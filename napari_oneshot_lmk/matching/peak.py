"""From a log-similarity map to one sub-pixel point."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def peaks(log_maps: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Highest point of each map, refined between cells.

    A parabola through the peak and its two neighbours along each axis gives
    the offset, at most half a cell.

    Parameters
    ----------
    log_maps : Tensor, (N, h, w)
        Log-similarity, cell (i, j) centred on pixel ``stride * (i + 0.5) - 0.5``.
    stride : int
        Network pixels per cell.

    Returns
    -------
    points_yx : Tensor, (N, 2), float64
        Pixels of the network's grid.
    heights : Tensor, (N,)
        Map values at the peaks' cells.
    """
    count, _, width = log_maps.shape
    best = log_maps.flatten(1).argmax(1)
    rows, columns = best // width, best % width
    padded = F.pad(log_maps[None], (1, 1, 1, 1), mode="replicate")[0]
    each = torch.arange(count, device=log_maps.device)
    centre = padded[each, rows + 1, columns + 1]
    offsets = [
        _vertex(
            padded[each, rows + 1 - step_y, columns + 1 - step_x],
            centre,
            padded[each, rows + 1 + step_y, columns + 1 + step_x],
        )
        for step_y, step_x in ((1, 0), (0, 1))
    ]
    cells_yx = torch.stack([rows, columns], 1).double() + torch.stack(offsets, 1)
    return stride * (cells_yx + 0.5) - 0.5, centre


def _vertex(before: Tensor, centre: Tensor, after: Tensor) -> Tensor:
    """Offset in cells of the vertex of the parabola through three values."""
    bend = before + after - 2 * centre
    # At the image's border the replicated neighbour equals the centre; a flat
    # top has no vertex. Both stay on the cell.
    curved = bend < -1e-6
    offset = 0.5 * (before - after) / torch.where(curved, bend, -torch.ones_like(bend))
    return (
        torch.where(curved, offset, torch.zeros_like(offset)).clamp(-0.5, 0.5).double()
    )
