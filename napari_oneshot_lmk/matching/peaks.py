"""Peaks of log-similarity maps: the highest one as a sub-pixel point, and candidates.

Cell (i, j) of a map is centred on pixel ``stride * (i + 0.5) - 0.5`` of the network's grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 4
"""Cells around a candidate along each axis in which nothing is higher."""
BLOCK = 4
"""Cells along a side of the blocks that maps are bounded in."""
LOOKED_AT = 8
"""Blocks that are looked at before all of them."""


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
    width = log_maps.shape[-1]
    best = log_maps.flatten(1).argmax(1)
    each = torch.arange(len(log_maps), device=log_maps.device)

    def value(rows: Tensor, columns: Tensor) -> Tensor:
        return log_maps[each, rows, columns]

    cells = (best // width, best % width)
    return _refined(*cells, value, log_maps.shape, stride), value(*cells)


def _refined(
    rows: Tensor,
    columns: Tensor,
    value: Callable[[Tensor, Tensor], Tensor],
    shape: torch.Size,
    stride: int,
) -> Tensor:
    """Points of the parabolas through the values at cells and beside them, (..., 2) float64.

    Beyond the border of maps of ``shape`` the values are those of the border.
    """
    height, width = shape[-2:]
    centre = value(rows, columns)
    before_y, after_y = (value((rows + i).clamp(0, height - 1), columns) for i in (-1, 1))
    before_x, after_x = (value(rows, (columns + i).clamp(0, width - 1)) for i in (-1, 1))
    offset_yx = torch.stack(
        [_parabola_vertex(before_y, centre, after_y), _parabola_vertex(before_x, centre, after_x)],
        -1,
    )
    return cell_centres(torch.stack([rows, columns], -1).double() + offset_yx, stride)


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
    highest_around = _running_maxima(_running_maxima(log_maps, 1), 2)
    lowest = log_maps.amin((1, 2), keepdim=True) - 1
    maxima = torch.where(log_maps == highest_around, log_maps, lowest)
    cells = maxima.flatten(1).topk(count).indices.cpu()
    width = log_maps.shape[-1]
    rows = torch.div(cells, width, rounding_mode="floor")
    return cell_centres(torch.stack([rows, cells - rows * width], -1).double(), stride)


def _running_maxima(maps: Tensor, axis: int) -> Tensor:
    """Largest value within `REACH` cells along an axis of each cell.

    Maxima of two, four and eight neighbours in turn: pooling compares each with eight.
    """
    length = maps.shape[axis]
    borders = [0, 0] * (maps.ndim - 1 - axis) + [REACH, REACH]
    padded = F.pad(maps, borders, value=-math.inf)
    widest, reached = padded, 1
    while 2 * reached <= 2 * REACH + 1:
        count = widest.shape[axis] - reached
        widest = torch.maximum(widest.narrow(axis, 0, count), widest.narrow(axis, reached, count))
        reached *= 2
    last = 2 * REACH + 1 - reached
    return torch.maximum(widest.narrow(axis, 0, length), widest.narrow(axis, last, length))


def pool_maxima(maps: Tensor, side: int) -> Tensor:
    """Largest value of each block of ``side`` x ``side`` cells of (N, h, w) maps.

    As max pooling, which takes several times as long; cells beyond the last whole block are left
    out.
    """
    count, height, width = maps.shape
    rows, columns = height // side, width // side
    blocks = maps[:, : rows * side, : columns * side].reshape(count, rows, side, columns * side)
    return blocks.amax(2).reshape(count, rows, columns, side).amax(3)


class MapsUnderPriors:
    """Maps whose peaks are looked for again and again, each time under another prior.

    A prior is a sum over rows and columns. Its sum with a map is bounded in each block of cells,
    so that few blocks have to be looked at; the result is that of adding the prior to the whole
    map.

    Parameters
    ----------
    log_maps : Tensor, (N, h, w)
    stride : int
        Network pixels per cell.
    whole : bool
        Add priors to whole maps: where TorchScript is recorded, no step depends on a value. On a
        GPU it is faster, too.
    """

    def __init__(self, log_maps: Tensor, stride: int, *, whole: bool = False) -> None:
        self.log_maps, self.stride = log_maps, stride
        height, width = log_maps.shape[-2:]
        in_blocks = height % BLOCK == 0 and width % BLOCK == 0
        in_blocks = in_blocks and height * width > LOOKED_AT * BLOCK**2
        self._whole = whole or log_maps.is_cuda or not in_blocks
        self._blocks = log_maps[:0] if self._whole else pool_maxima(log_maps, BLOCK)

    def highest(self) -> Tensor:
        """Return the peaks of the maps themselves, (N, 2) float64 on the CPU."""
        count, height, width = self.log_maps.shape
        rows, columns = (self.log_maps.new_zeros(1, count, n) for n in (height, width))
        return self.peaks(rows, columns)[0]

    def peaks(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the peaks of the maps plus each of S priors, (S, N, 2) float64 on the CPU.

        The priors are (S, N, h) and (S, N, w) float32. Peaks are those of `find_peaks`.
        """
        rows, columns = rows.to(self.log_maps.device), columns.to(self.log_maps.device)
        cells = (self._cells_of_all if self._whole else self._cells_of_blocks)(rows, columns)
        width = self.log_maps.shape[-1]
        best = (torch.div(cells, width, rounding_mode="floor"), cells % width)

        def value(at_row: Tensor, at_column: Tensor) -> Tensor:
            return self._values(rows, columns, at_row[..., None], at_column[..., None])[..., 0]

        return _refined(*best, value, self.log_maps.shape, self.stride).cpu()

    def _values(self, rows: Tensor, columns: Tensor, at_row: Tensor, at_column: Tensor) -> Tensor:
        """Return maps plus priors at (S, N, K) cells."""
        each = torch.arange(len(self.log_maps), device=self.log_maps.device)[:, None]
        prior = rows.gather(2, at_row) + columns.gather(2, at_column)
        return self.log_maps[each, at_row, at_column] + prior

    def _cells_of_all(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the first highest cell of each map plus prior, (S, N), counted along rows."""
        each = [
            (self.log_maps + (row[:, :, None] + column[:, None, :])).flatten(1).argmax(1)
            for row, column in zip(rows, columns, strict=True)
        ]
        return torch.stack(each)

    def _cells_of_blocks(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the same, from the blocks in which the sum may be highest."""
        height, width = self.log_maps.shape[-2:]
        above, aside = (
            axis.reshape(*axis.shape[:2], -1, BLOCK).amax(3) for axis in (rows, columns)
        )
        # Rounding keeps the order: no cell of a block is above its bound.
        bounds = self._blocks + (above[..., :, None] + aside[..., None, :])
        highest, blocks = bounds.flatten(2).topk(LOOKED_AT + 1)
        last, blocks = highest[..., -1], blocks[..., :-1]
        steps = torch.arange(BLOCK)
        first_row, first_column = blocks // (width // BLOCK), blocks % (width // BLOCK)
        at_row = (BLOCK * first_row[..., None, None] + steps[:, None]).expand(
            *blocks.shape, BLOCK, BLOCK
        )
        at_column = (BLOCK * first_column[..., None, None] + steps).expand_as(at_row)
        at_row, at_column = at_row.flatten(2), at_column.flatten(2)
        values = self._values(rows, columns, at_row, at_column)
        best = values.amax(2, keepdim=True)
        cells = at_row * width + at_column
        found = torch.where(values == best, cells, height * width).amin(2)
        # Where another block might hold as much, all are looked at.
        unsure = (last >= best[..., 0]).nonzero()
        for start, landmark in unsure.tolist():
            row, column = rows[start, landmark], columns[start, landmark]
            total = self.log_maps[landmark] + (row[:, None] + column)
            found[start, landmark] = total.argmax()
        return found
