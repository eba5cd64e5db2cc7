"""Convolutions over maps of several landmarks at once.

Maps of several landmarks are (B, K, C, h, w). Where nothing depends on the
landmark yet, the axis K has length 1, and what is computed of such maps is
computed once. A concatenation along C is kept as its parts: a convolution of a
concatenation is the sum of the parts' convolutions, so parts that are the same
for all landmarks are convolved once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.sync_batch_norm import BatchNorm, normalised_together

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


@dataclass(frozen=True)
class Kernel:
    """What a convolution does, or those of several landmarks, one after the other.

    Parameters
    ----------
    weight : Tensor, (C' or K * C', C, rows, columns)
        Of the one, or of each.
    bias : Tensor, (C' or K * C',), optional
        None for none.
    padding, dilation : tuple of int
        Rows and columns.
    """

    weight: Tensor
    bias: Tensor | None
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, convs: Sequence[nn.Conv2d]) -> Kernel:
        """Return that of a convolution, or of several that are alike."""
        first = convs[0]
        biases = [conv.bias for conv in convs if conv.bias is not None]
        return cls(
            torch.cat([conv.weight for conv in convs]),
            torch.cat(biases) if biases else None,
            tuple(int(p) for p in first.padding),
            first.dilation,
        )

    def unpadded(self) -> Kernel:
        """Return the same without zero padding: the maps shrink."""
        return replace(self, padding=(0, 0))

    def followed_by(self, norms: Sequence[nn.BatchNorm2d]) -> Kernel:
        """Return the same with batch norms in evaluation mode, which are affine."""
        variance = torch.cat([norm.get_buffer("running_var") for norm in norms])
        mean = torch.cat([norm.get_buffer("running_mean") for norm in norms])
        gain = torch.cat([norm.weight for norm in norms])
        gain = gain * (variance + norms[0].eps).rsqrt()
        offset = -mean if self.bias is None else self.bias - mean
        bias = offset * gain + torch.cat([norm.bias for norm in norms])
        return replace(self, weight=self.weight * gain[:, None, None, None], bias=bias)


def convolved(kernel: Kernel, parts: Parts) -> Tensor:
    """Apply one convolution to the maps of all landmarks.

    Parameters
    ----------
    kernel : Kernel
        Shared by the landmarks.
    parts : sequence of Tensor, (B, K or 1, C, h, w)
        Of the concatenation that it reads.

    Returns
    -------
    Tensor, (B, K or 1, C', h, w)
    """
    weights = torch.split(kernel.weight, [part.shape[2] for part in parts], dim=1)
    totals: dict[int, Tensor] = {}
    for part, weight in zip(parts, weights, strict=True):
        bias = None if totals else kernel.bias
        flat = F.conv2d(one_batch(part), weight, bias, 1, kernel.padding, kernel.dilation)
        landmarks = part.shape[1]
        # In place: no gradient needs what a convolution made.
        known = totals.get(landmarks)
        totals[landmarks] = flat if known is None else known.add_(flat)
    first, *others = [as_before(total, len(parts[0])) for total in totals.values()]
    return sum(others, first)


def convolved_each(kernel: Kernel, parts: Parts, landmarks: int) -> Tensor:
    """Apply each landmark's own convolution to its maps.

    Parameters
    ----------
    kernel : Kernel
        Of as many landmarks.
    parts : sequence of Tensor, (B, K or 1, C, h, w)
        Of the concatenation that they read.
    landmarks : int
        K.

    Returns
    -------
    Tensor, (B, K, C', h, w)
    """
    weights = torch.split(kernel.weight, [part.shape[2] for part in parts], dim=1)
    total: Tensor | None = None
    for part, weight in zip(parts, weights, strict=True):
        bias = kernel.bias if total is None else None
        # The same input for all: one dense convolution with all their outputs.
        groups = part.shape[1]
        maps = one_group_each(part)
        flat = F.conv2d(maps, weight, bias, 1, kernel.padding, kernel.dilation, groups)
        total = flat if total is None else total.add_(flat)
    assert total is not None
    return with_landmark_axis(total, landmarks)


class Normed(nn.Module):
    """Batch normalisation that is shared by all landmarks, own to each, or absent.

    Parameters
    ----------
    channels : int
        Of the maps.
    normalisation : {"batch", "landmark", "none"}
        Which of the three.
    landmarks : int
        How many there are.
    """

    def __init__(self, channels: int, normalisation: Normalisation, landmarks: int) -> None:
        super().__init__()
        count = {"batch": 1, "landmark": landmarks, "none": 0}[normalisation]
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(count))
        self.own_to_each = normalisation == "landmark"

    @property
    def present(self) -> bool:
        """Whether there is any."""
        return len(self.norms) > 0

    def of(self, landmark: int) -> BatchNorm:
        """Return the batch norm of a landmark."""
        norm = self.norms[landmark if self.own_to_each else 0]
        assert isinstance(norm, BatchNorm)
        return norm

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Normalise (B, C, h, w) maps of one landmark."""
        if not self.present:
            return maps
        normed: Tensor = self.of(landmark)(maps)
        return normed

    def together(self, maps: Tensor, landmarks: Sequence[int]) -> Tensor:
        """Normalise (B, K or 1, C, h, w) maps of several landmarks.

        A shared norm sees all landmarks' maps as one batch.
        """
        if not self.present:
            return maps
        if self.own_to_each:
            return norm_each([self.of(landmark) for landmark in landmarks], maps)
        return as_before(self.of(0)(one_batch(maps)), maps.shape[0])


def norm_each(norms: Sequence[BatchNorm], maps: Tensor) -> Tensor:
    """Normalise each landmark's maps by its own batch norm, all in one call.

    Parameters
    ----------
    norms : sequence of BatchNorm
        One a landmark. In training their running statistics move.
    maps : Tensor, (B, K or 1, C, h, w)

    Returns
    -------
    Tensor, (B, K, C, h, w)
    """
    first = norms[0]
    maps = maps.expand(-1, len(norms), -1, -1, -1)
    if first.training and first.shares is not None:
        normed = normalised_together(norms, one_group_each(maps), first.shares)
        return with_landmark_axis(normed, len(norms))
    means = [norm.get_buffer("running_mean") for norm in norms]
    variances = [norm.get_buffer("running_var") for norm in norms]
    mean, variance = torch.cat(means), torch.cat(variances)
    normed = F.batch_norm(
        one_group_each(maps),
        mean,
        variance,
        torch.cat([norm.weight for norm in norms]),
        torch.cat([norm.bias for norm in norms]),
        training=first.training,
        momentum=first.momentum or 0.0,
        eps=first.eps,
    )
    if first.training:
        with torch.no_grad():
            torch._foreach_copy_(means, list(mean.chunk(len(norms))))
            torch._foreach_copy_(variances, list(variance.chunk(len(norms))))
            torch._foreach_add_([norm.get_buffer("num_batches_tracked") for norm in norms], 1)
    return with_landmark_axis(normed, len(norms))
