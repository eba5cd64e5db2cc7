"""Peaks of log-similarity maps: the highest one as a sub-pixel point, and candidates.

Cell (i, j) of a map is centred on pixel ``stride * (i + 0.5) - 0.5`` of the network's grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cell_centres(cells: Tensor, stride: int) -> Tensor:
    """Return the network pixels of cells."""
    return stride * (cells + 0.5) - 0.5


def nearest_cells(points_yx: Tensor, stride: int, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column of the cell of (N, h, w) maps nearest to each (..., 2) point."""
    cells = ((points_yx + 0.5) / stride - 0.5).round().long()
    height, width = maps.shape[-2:]
    return cells[..., 0].clamp(0, height - 1), cells[..., 1].clamp(0, width - 1)


def find_peaks(log_maps: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Find the highest point of each map, refined between cells.

    A parabola through the peak and its two neighbours along each axis gives
    the offset, at most half a cell.

    Returns the points of (N, h, w) maps, (N, 2) float64 in pixels of the network's grid,
    and the map values at the peaks' cells, (N,).

    Examples
    --------
    >>> log_map = torch.tensor([[-9.0, -9, -9, -9], [-9, -3, -1, -2], [-9, -9, -9, -9]])
    >>> points_yx, heights = find_peaks(log_map[None], stride=2)
    >>> points_yx  # the peak lies a sixth of a cell to the right of cell (1, 2)
    tensor([[2.5000, 4.8333]], dtype=torch.float64)
    >>> heights
    tensor([-1.])
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
        _parabola_vertex(value(-step_y, -step_x), centre, value(step_y, step_x))
        for step_y, step_x in ((1, 0), (0, 1))
    ]
    cells_yx = torch.stack([rows, columns], 1).double() + torch.stack(offsets, 1)
    return cell_centres(cells_yx, stride), centre


def _parabola_vertex(before: Tensor, centre: Tensor, after: Tensor) -> Tensor:
    """Offset in cells of the vertex of the parabola through three values."""
    bend = before + after - 2 * centre
    # At the image's border the replicated neighbour equals the centre; a flat
    # top has no vertex. Both stay on the cell.
    curved = bend < -1e-6
    offset = 0.5 * (before - after) / torch.where(curved, bend, -torch.ones_like(bend))
    return torch.where(curved, offset, torch.zeros_like(offset)).clamp(-0.5, 0.5).double()


def find_candidates(log_maps: Tensor, stride: int, count: int) -> Tensor:
    """Find the highest local maxima of each (h, w) map, at least four cells apart.

    Returns their cell centres, (N, count, 2) float64 on the CPU, highest first, in pixels
    of the network's grid.
    """
    # A square maximum is two maxima along lines, at a fourth of the cost.
    in_columns = F.max_pool2d(log_maps[None], (9, 1), stride=1, padding=(4, 0))
    highest_around = F.max_pool2d(in_columns, (1, 9), stride=1, padding=(0, 4))[0]
    lowest = log_maps.amin((1, 2), keepdim=True) - 1
    maxima = torch.where(log_maps == highest_around, log_maps, lowest)
    cells = maxima.flatten(1).topk(count).indices.cpu()
    width = log_maps.shape[-1]
    rows = torch.div(cells, width, rounding_mode="floor")
    return cell_centres(torch.stack([rows, cells - rows * width], -1).double(), stride)
