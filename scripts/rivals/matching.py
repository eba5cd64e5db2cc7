"""How the rivals find points in maps: cosine maps, their product, matching in both directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-3
"""Added to the product of two lengths, as CC2D's code does."""


def cosine_maps(features: Tensor, anchors: Tensor) -> Tensor:
    """Return the cosine of N anchors, (N, E), with every cell of (E, h, w): (N, h, w)."""
    product = torch.einsum("ne,ehw->nhw", anchors.float(), features.float())
    lengths = anchors.float().norm(dim=1)[:, None, None] * features.float().norm(dim=0)
    cosine: Tensor = product / (lengths + TINY)
    return cosine


def product_of_cosines(
    levels: Sequence[Tensor], anchors: Sequence[Tensor], size_yx: tuple[int, int]
) -> Tensor:
    """Return CC2D's similarity (N, H, W): the levels' cosines in 0..1, upsampled and multiplied.

    ``levels`` are (E, h, w) each, ``anchors`` (N, E) each.
    """
    total = torch.ones(len(anchors[0]), *size_yx, device=levels[0].device)
    for features, anchor in zip(levels, anchors, strict=True):
        cosine = cosine_maps(features, anchor).clamp(0, 1)[:, None]
        total *= F.interpolate(cosine, size_yx, mode="bilinear", align_corners=False)[:, 0]
    return total


def highest_cells(maps: Tensor) -> Tensor:
    """Return the cell (row, column) of the highest value of (N, H, W) maps: (N, 2) int64."""
    best = maps.flatten(1).argmax(1)
    return torch.stack((best // maps.shape[-1], best % maps.shape[-1]), 1)


def cell_of(points_yx: Tensor, cells_per_pixel_yx: Tensor, size_yx: Sequence[int]) -> Tensor:
    """Return the cell that holds each point (..., 2) of the network's grid, inside the map."""
    cells = ((points_yx + 0.5) * cells_per_pixel_yx).floor().long()
    last = torch.tensor(tuple(size_yx), device=cells.device) - 1
    return torch.minimum(cells.clamp_min(0), last)


def match_both_ways(
    query: Tensor, template: Tensor, cells_yx: Tensor, candidates: int, cell_size_yx: Tensor
) -> Tensor:
    """Return the cells (N, 2) of a query that match a template's cells in both directions.

    FM-OSD's rule: of the few cells of the query that are most similar to the template's cell,
    the one whose own best match in the template lies nearest to that cell; the more similar
    one where two are as near.

    Parameters
    ----------
    query, template : Tensor, (E, H, W) and (E, h, w)
        Features; one template for all N points.
    cells_yx : Tensor, (N, 2) int64
        Of the template.
    candidates : int
        Cells of the query that are tried.
    cell_size_yx : Tensor, (2,)
        Height and width of the template's cells, to measure distances.
    """
    units = F.normalize(query.float().flatten(1), dim=0)
    own = F.normalize(template.float().flatten(1), dim=0)
    columns, width = query.shape[-1], template.shape[-1]
    anchors = own[:, cells_yx[:, 0] * width + cells_yx[:, 1]]
    tried = (anchors.T @ units).topk(candidates, dim=1).indices
    found = []
    for cell_yx, options in zip(cells_yx, tried, strict=True):
        back = (units[:, options].T @ own).argmax(1)
        back_yx = torch.stack((back // width, back % width), 1)
        distance = (((back_yx - cell_yx) * cell_size_yx) ** 2).sum(1)
        # argmin of a sorted list: the first of equals is the most similar.
        found.append(options[int(distance.argmin())])
    best = torch.stack(found)
    return torch.stack((best // columns, best % columns), 1)
