"""Maps of where landmarks are, as log-similarities, and the targets that they are trained with.

Cell (i, j) of a map is centred on pixel ``stride * (i + 0.5) - 0.5`` of the network's grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.crops import gaussian_maps
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork

ELSEWHERE = 0.05
"""Probability that a landmark may be anywhere, whatever a network says: the shape step and the
other maps can overrule it."""


def log_heatmaps(logits: Tensor) -> Tensor:
    """Return the log of the probability of each cell, (..., h, w) float32.

    The softmax over a map's cells, mixed with `ELSEWHERE` parts of the same for all cells.

    Examples
    --------
    >>> log_heatmaps(torch.tensor([[[9.0, -99.0], [-99.0, -99.0]]])).exp().round(decimals=4)
    tensor([[[0.9625, 0.0125],
             [0.0125, 0.0125]]])
    """
    seen = logits.float().flatten(-2).log_softmax(-1) + math.log1p(-ELSEWHERE)
    anywhere = seen.new_tensor(math.log(ELSEWHERE / seen.shape[-1]))
    return torch.logaddexp(seen, anywhere).view(logits.shape)


def heatmap_log_similarity(
    network: HeatmapNetwork,
    maps: Sequence[Tensor],
    channels: Sequence[int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return what takes the place of a log-similarity, of one image: (K, H / 2, W / 2) float32.

    ``channels`` are the network's of each landmark; it is in evaluation mode and computes in
    ``dtype``.
    """
    with autocast(maps[0].device, dtype):
        logits = network(maps)
    return log_heatmaps(logits[0, list(channels)])


def cell_targets(points_yx: Tensor, shape_yx: Sequence[int], sd_cells: float) -> Tensor:
    """Return maps (..., h, w) with sum 1: a Gaussian about each (..., 2) point, network pixels."""
    return gaussian_maps((points_yx + 0.5) / STRIDES[0] - 0.5, shape_yx, sd_cells)
