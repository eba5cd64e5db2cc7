"""Convolutions over maps of several landmarks at once.

Maps of several landmarks are (B, K, C, h, w). Where nothing depends on the
landmark yet, the axis K has length 1, and what is computed of such maps is
computed once. A concatenation along C is kept as its parts: a convolution of a
concatenation is the sum of the parts' convolutions, so parts that are the same
for all landmarks are convolved once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Parts = Sequence[Tensor]
"""Maps to be concatenated along C: each (B, K or 1, C, h, w)."""


def one_batch(maps: Tensor) -> Tensor:
    """(B, K, C, h, w) as (B * K, C, h, w), channels last in memory."""
    return maps.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)


def as_before(maps: Tensor, batch: int) -> Tensor:
    """(B * K, C, h, w) as (B, K, C, h, w)."""
    return maps.reshape(batch, -1, *maps.shape[1:])


def one_group_each(maps: Tensor) -> Tensor:
    """(B, K, C, h, w) as (B, K * C, h, w), channels last in memory."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3).permute(0, 3, 1, 2)


def with_landmark_axis(maps: Tensor, landmarks: int) -> Tensor:
    """(B, K * C, h, w) as (B, K, C, h, w)."""
    return maps.reshape(len(maps), landmarks, -1, *maps.shape[2:])


def convolved(conv: nn.Conv2d, parts: Parts, *, padded: bool = True) -> Tensor:
    """Apply one convolution to the maps of all landmarks.

    Parameters
    ----------
    conv : Conv2d
        Shared by the landmarks.
    parts : sequence of Tensor, (B, K or 1, C, h, w)
        Of the concatenation that it reads.
    padded : bool
        False: without the zero padding, the maps shrink.

    Returns
    -------
    Tensor, (B, K or 1, C', h, w)
    """
    padding = conv.padding if padded else 0
    weights = torch.split(conv.weight, [part.shape[2] for part in parts], dim=1)
    totals: dict[int, Tensor] = {}
    for part, weight in zip(parts, weights, strict=True):
        bias = None if totals else conv.bias
        flat = F.conv2d(one_batch(part), weight, bias, 1, padding, conv.dilation)
        landmarks = part.shape[1]
        # In place: no gradient needs what a convolution made.
        totals[landmarks] = (
            totals[landmarks].add_(flat) if landmarks in totals else flat
        )
    once, *each = [as_before(total, len(parts[0])) for total in totals.values()]
    return sum(each, once)


def convolved_each(
    convs: Sequence[nn.Conv2d], parts: Parts, *, padded: bool = True
) -> Tensor:
    """Apply each landmark's own convolution to its maps.

    Parameters
    ----------
    convs : sequence of Conv2d
        One a landmark, alike but for their parameters.
    parts : sequence of Tensor, (B, K or 1, C, h, w)
        Of the concatenation that they read.
    padded : bool
        False: without the zero padding, the maps shrink.

    Returns
    -------
    Tensor, (B, K, C', h, w)
    """
    first = convs[0]
    padding = first.padding if padded else 0
    stacked = torch.cat([conv.weight for conv in convs])
    biases = [conv.bias for conv in convs if conv.bias is not None]
    weights = torch.split(stacked, [part.shape[2] for part in parts], dim=1)
    total: Tensor | None = None
    for part, weight in zip(parts, weights, strict=True):
        bias = torch.cat(biases) if biases and total is None else None
        # The same input for all: one dense convolution with all their outputs.
        groups = part.shape[1]
        maps = one_group_each(part)
        flat = F.conv2d(maps, weight, bias, 1, padding, first.dilation, groups)
        total = flat if total is None else total.add_(flat)
    assert total is not None
    return with_landmark_axis(total, len(convs))
