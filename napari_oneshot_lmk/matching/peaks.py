"""From a log-similarity map to one sub-pixel point."""

from __future__ import annotations

import torch
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
    count, height, width = log_maps.shape
    best = log_maps.flatten(1).argmax(1)
    rows, columns = best // width, best % width
    each = torch.arange(count, device=log_maps.device)

    def value(step_y: int, step_x: int) -> Tensor:
        """Map values beside the peaks; beyond the border that of the border."""
        near_rows = (rows + step_y).clamp(0, height - 1)
        near_columns = (columns + step_x).clamp(0, width - 1)
        return log_maps[each, near_rows, near_columns]

    centre = value(0, 0)
    offsets = [
        _vertex(value(-step_y, -step_x), centre, value(step_y, step_x))
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
    return torch.where(curved, offset, torch.zeros_like(offset)).clamp(-0.5, 0.5).double()
