"""Discs that vote: targets, loss and decoding of CC2D's second stage."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def voting_targets(
    points_yx: Tensor, radius: int, size_yx: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return discs around points (N, 2) and, inside, the way to each point.

    Returns
    -------
    Tensor, (N, H, W)
        1 nearer than the radius, 0 elsewhere.
    Tensor, (N, 2, H, W)
        (row, column) from a cell to the point, in radii; 0 outside of the disc.
    """
    rows, columns = (torch.arange(n, device=points_yx.device) for n in size_yx)
    down = points_yx[:, 0, None, None] - rows[:, None]
    right = points_yx[:, 1, None, None] - columns
    down, right = down + torch.zeros_like(right), right + torch.zeros_like(down)
    disc = (down**2 + right**2 < radius**2).float()
    return disc, torch.stack((down, right), 1) / radius * disc[:, None]


def voting_loss(
    logits: Tensor, offsets: Tensor, disc: Tensor, way: Tensor, heat_weight: float = 2.0
) -> Tensor:
    """Return the loss of heat and offsets: two mean absolute errors and a focal term.

    Parameters
    ----------
    logits : Tensor, (B, N, H, W)
        Of the heat.
    offsets : Tensor, (B, N, 2, H, W)
    disc, way : Tensor
        From `voting_targets`, with a batch axis.
    heat_weight : float
        Of the focal term, ``-(1 - p) y log p - p (1 - y) log (1 - p)``.
    """
    heat = logits.sigmoid().clamp(1e-7, 1 - 1e-7)
    focal = -(1 - heat) * disc * heat.log() - heat * (1 - disc) * (1 - heat).log()
    wrong = ((offsets - way).abs() * disc[:, :, None]).sum((0, 1, 3, 4))
    apart = wrong / disc.sum().clamp_min(1)
    return apart.sum() + heat_weight * focal.mean()


def vote(heat: Tensor, offsets: Tensor, radius: int) -> Tensor:
    """Return the cell (N, 2) that most of the hottest cells point to.

    As many cells vote as a disc has, each for the cell that its offset leads to, cut off
    towards zero; heat is (N, H, W), offsets (N, 2, H, W) in radii.
    """
    height, width = heat.shape[-2:]
    count = min(int(3.14 * radius**2), height * width)
    found = []
    for one, way in zip(heat, offsets, strict=True):
        cells = one.flatten().topk(count).indices
        steps = (way.flatten(1)[:, cells] * radius).trunc().long()
        rows = (cells // width + steps[0]).clamp(0, height - 1)
        columns = (cells % width + steps[1]).clamp(0, width - 1)
        votes = torch.bincount(rows * width + columns, minlength=height * width)
        best = int(votes.argmax())
        found.append((math.floor(best / width), best % width))
    return torch.tensor(found, device=heat.device)
