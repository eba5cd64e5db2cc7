"""Ambiguity: whether the whole body would lie nearly as well in another place.

Vertebrae, teeth and fingers repeat. Found one part off, all their landmarks confirm one another:
each peak is sharp, and the shape fits. What tells it is another solution that is as good.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_oneshot_lmk.matching.peaks import nearest_cells, pool_maxima
from napari_oneshot_lmk.matching.poses import POOLED_CELLS
from napari_oneshot_lmk.matching.shape import Decided, ShapeModel, tracing

# Lengths are in template sizes. What was looked at to choose these constants:
# docs/benchmarks/score.md.
REACH = 0.6
"""How far the body is moved to look for another place."""
ELSEWHERE = 0.1
"""Distance from which on a place counts as another one."""
PLAUSIBLE = 1.1
"""Log-similarity that the moved body may lose, per landmark, to be looked at at all."""
CLEAR = 0.4
"""By so much more consistent per landmark that moves (log), the chance to be right is 1 - 1/e."""


def estimate_clarity(
    shape: ShapeModel,
    log_maps: Tensor,
    stride: int,
    points_yx: Tensor,
    decided: Decided | None = None,
) -> Tensor:
    """Estimate how clearly points lie where they do and not, together, somewhere else.

    The points are moved as a whole to where they match best elsewhere, and fitted again from
    there. A landmark whose second place is a different one is as clear as the first solution is
    more consistent than the second.

    Parameters
    ----------
    shape : ShapeModel
    log_maps : Tensor, (N, h, w)
        Log-similarity that compares all places alike.
    stride : int
        Network pixels per cell.
    points_yx : Tensor, (N, 2), float64
        Pixels of the network's grid.
    decided : Decided, optional
        Landmarks that a person has placed, or said to be absent: these are clear, and the
        others are moved without them.

    Returns
    -------
    Tensor, (N, 2), float64
        The clarity in 0..1, 1 where no other place was found, and the distance to the other place
        in template sizes, 0 where none was found.
    """
    count = len(points_yx)
    ones = torch.ones(count, dtype=torch.float64)
    alone = torch.stack((ones, torch.zeros_like(ones)), 1)
    free, searched, start = ones > 0, log_maps, points_yx
    if decided is not None:
        free = ~(decided.held | decided.left_out)
        if not free.any():
            return alone
        searched, start = log_maps[free], points_yx[free]
        log_maps = decided.show(log_maps, stride)
    moves, losses = _moves(shape, searched, stride, start)
    if not len(losses):
        # A body of a few cells: no place of the coarse grid is elsewhere.
        return alone
    best = losses.argmin()[None]
    loss = losses.index_select(0, best)
    if not tracing() and not bool(loss < PLAUSIBLE):
        return alone
    elsewhere = points_yx + moves.index_select(0, best) / shape.pixel_size_yx
    starts = torch.stack((points_yx, elsewhere))
    ends, consistencies = shape.fit_each(log_maps, stride, starts, decided=decided)
    first, second = ends
    apart = ((second - first) * shape.pixel_size_yx).norm(dim=1)
    moved = free & (apart > ELSEWHERE * shape.size)
    gain = (consistencies[0] - consistencies[1]).clamp_min(0) / moved.sum().clamp_min(1)
    clarity = (1 - (-gain / CLEAR).exp()).expand(count)
    other = (moved & (loss < PLAUSIBLE))[:, None]
    return torch.where(other, torch.stack((clarity, apart / shape.size), 1), alone)


def _moves(
    shape: ShapeModel, log_maps: Tensor, stride: int, points_yx: Tensor
) -> tuple[Tensor, Tensor]:
    """Return moves to other places, (M, 2) in the template's plane, and what each loses, (M,)."""
    size, cell_yx = float(shape.size), stride * POOLED_CELLS * shape.pixel_size_yx
    reach = int(REACH * size / float(cell_yx.min()))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    moves = torch.cartesian_prod(steps * cell_yx[0], steps * cell_yx[1])
    lengths = moves.norm(dim=1)
    moves, lengths = moves[lengths <= REACH * size], lengths[lengths <= REACH * size]
    # Each landmark may lie a little beside its place in the moved body.
    pooled = pool_maxima(log_maps, POOLED_CELLS)
    places = points_yx + moves[:, None] / shape.pixel_size_yx
    rows, columns = nearest_cells(places, stride * POOLED_CELLS, pooled)
    each = torch.arange(len(points_yx))[None]
    similar = pooled.cpu()[each, rows, columns].double().mean(1)
    here = lengths <= ELSEWHERE * size
    return moves[~here], similar[here].amax() - similar[~here]
