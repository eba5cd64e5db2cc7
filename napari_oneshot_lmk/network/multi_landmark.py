"""Convolutions and batch norms over maps of several landmarks at once.

Maps of K landmarks are (B, K, C, h, w); K is 1 while nothing depends on the landmark.
A concatenation along C is kept as its parts: a convolution of it is the sum of the parts'
convolutions, so parts that are the same for all landmarks are convolved once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.sync_batch_norm import BatchNorm, sync_batch_norm
from napari_oneshot_lmk.network.windows import Region


@dataclass(frozen=True)
class WholeMaps:
    """A part that is convolved whole, of which each landmark's region is taken afterwards.

    That is less work than convolving the regions where these have more cells than the map.
    """

    maps: Tensor
    """(B, 1, C, h, w)."""
    region: Region
    """Of what the convolution makes of them."""

    @property
    def shape(self) -> torch.Size:
        """That of the maps."""
        return self.maps.shape


ChannelParts = Sequence[Tensor | WholeMaps]
"""Maps to be concatenated along C: each (B, K or 1, C, h, w)."""


def _fold_into_batch(maps: Tensor) -> Tensor:
    """(B, K, C, h, w) as (B * K, C, h, w), channels last in memory."""
    return maps.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)


def _unfold_batch(maps: Tensor, batch: int) -> Tensor:
    """(B * K, C, h, w) as (B, K, C, h, w)."""
    return maps.reshape(batch, -1, *maps.shape[1:])


def _fold_into_channels(maps: Tensor) -> Tensor:
    """(B, K, C, h, w) as (B, K * C, h, w), channels last in memory."""
    return maps.permute(0, 3, 4, 1, 2).flatten(3).permute(0, 3, 1, 2)


def _unfold_channels(maps: Tensor, num_landmarks: int) -> Tensor:
    """(B, K * C, h, w) as (B, K, C, h, w)."""
    return maps.reshape(len(maps), num_landmarks, -1, *maps.shape[2:])


@dataclass(frozen=True)
class ConvWeights:
    """Parameters of one convolution, or of one per landmark, concatenated."""

    weights: tuple[Tensor, ...]
    """(C' or K * C', C, rows, columns), by the parts of the C channels that are read."""
    bias: Tensor | None
    """(C' or K * C',)."""
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, convs: Sequence[nn.Conv2d], *, padded: bool = True) -> ConvWeights:
        """Return those of convolutions of one size; without padding the maps shrink."""
        biases = [conv.bias for conv in convs if conv.bias is not None]
        return cls(
            (torch.cat([conv.weight for conv in convs]),),
            torch.cat(biases) if biases else None,
            tuple(int(p) for p in convs[0].padding) if padded else (0, 0),
            convs[0].dilation,
        )

    def fuse(self, norms: Sequence[nn.BatchNorm2d]) -> ConvWeights:
        """Include batch norms in evaluation mode, which are affine."""
        variance = torch.cat([norm.get_buffer("running_var") for norm in norms])
        mean = torch.cat([norm.get_buffer("running_mean") for norm in norms])
        gain = torch.cat([norm.weight for norm in norms])
        gain = gain * (variance + norms[0].eps).rsqrt()
        offset = -mean if self.bias is None else self.bias - mean
        bias = offset * gain + torch.cat([norm.bias for norm in norms])
        weights = tuple(weight * gain[:, None, None, None] for weight in self.weights)
        return replace(self, weights=weights, bias=bias)

    @property
    def full_padding(self) -> tuple[int, ...]:
        """With which a map keeps its size."""
        sizes = zip(self.weights[0].shape[-2:], self.dilation, strict=True)
        return tuple(length // 2 * dilation for length, dilation in sizes)

    def split(self, parts: ChannelParts) -> ConvWeights:
        """Return the weights by the parts that they apply to."""
        [whole] = self.weights
        weights = torch.split(whole, [part.shape[2] for part in parts], dim=1)
        return replace(self, weights=tuple(weights))

    def converted(self, dtype: torch.dtype) -> ConvWeights:
        """Return them as convolutions of channels-last maps read them."""
        weights = tuple(
            weight.to(dtype, memory_format=torch.channels_last) for weight in self.weights
        )
        bias = None if self.bias is None else self.bias.to(dtype)
        return replace(self, weights=weights, bias=bias)


def shared_conv(conv: ConvWeights, parts: ChannelParts) -> Tensor:
    """Apply one convolution to all landmarks' maps: (B, K or 1, C', h, w).

    Its weights are split by the parts.
    """
    totals: dict[int, Tensor] = {}
    for part, weight in zip(parts, conv.weights, strict=True):
        bias = None if totals else conv.bias
        if isinstance(part, WholeMaps):
            whole = F.conv2d(
                _fold_into_batch(part.maps), weight, bias, 1, conv.full_padding, conv.dilation
            )
            flat = _fold_into_batch(part.region.crop(whole[:, None]))
            num_landmarks = part.region.origin_yx.shape[1]
        else:
            flat = F.conv2d(_fold_into_batch(part), weight, bias, 1, conv.padding, conv.dilation)
            num_landmarks = part.shape[1]
        # In place: no gradient needs the output of a convolution.
        known = totals.get(num_landmarks)
        totals[num_landmarks] = flat if known is None else known.add_(flat)
    first, *others = [_unfold_batch(total, parts[0].shape[0]) for total in totals.values()]
    return sum(others, first)


def grouped_conv(conv: ConvWeights, parts: ChannelParts, num_landmarks: int) -> Tensor:
    """Apply each landmark's own convolution to its maps: (B, K, C', h, w).

    Its weights are split by the parts.
    """
    total: Tensor | None = None
    for part, weight in zip(parts, conv.weights, strict=True):
        bias = conv.bias if total is None else None
        # One group, so one dense convolution, where all landmarks read the same map.
        groups = part.shape[1]
        if isinstance(part, WholeMaps):
            maps = _fold_into_channels(part.maps)
            whole = F.conv2d(maps, weight, bias, 1, conv.full_padding, conv.dilation)
            flat = _fold_into_channels(part.region.crop(_unfold_channels(whole, num_landmarks)))
        else:
            maps = _fold_into_channels(part)
            flat = F.conv2d(maps, weight, bias, 1, conv.padding, conv.dilation, groups)
        total = flat if total is None else total.add_(flat)
    assert total is not None
    return _unfold_channels(total, num_landmarks)


class LandmarkNorm(nn.Module):
    """Batch norm that is shared by all landmarks, each landmark's own, or absent."""

    def __init__(self, channels: int, normalisation: Normalisation, num_landmarks: int) -> None:
        super().__init__()
        count = {"batch": 1, "landmark": num_landmarks, "none": 0}[normalisation]
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(count))
        self.present = count > 0
        self.per_landmark = normalisation == "landmark"

    def for_landmark(self, landmark: int) -> BatchNorm:
        """Return the batch norm that a landmark's maps go through."""
        norm = self.norms[landmark if self.per_landmark else 0]
        assert isinstance(norm, BatchNorm)
        return norm

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Normalise (B, C, h, w) maps of one landmark."""
        if not self.present:
            return maps
        normed: Tensor = self.for_landmark(landmark)(maps)
        return normed

    def forward_landmarks(self, maps: Tensor, landmarks: Sequence[int]) -> Tensor:
        """Normalise (B, K or 1, C, h, w) maps; a shared norm sees them as one batch."""
        if not self.present:
            return maps
        if self.per_landmark:
            return grouped_norm([self.for_landmark(landmark) for landmark in landmarks], maps)
        return _unfold_batch(self.for_landmark(0)(_fold_into_batch(maps)), maps.shape[0])


def grouped_norm(norms: Sequence[BatchNorm], maps: Tensor) -> Tensor:
    """Normalise (B, K or 1, C, h, w) maps by one batch norm per landmark, in one call.

    In training their running statistics are updated.
    """
    first = norms[0]
    maps = _fold_into_channels(maps.expand(-1, len(norms), -1, -1, -1))
    if first.training and first.sample_weights is not None:
        normed = sync_batch_norm(norms, maps, first.sample_weights)
        return _unfold_channels(normed, len(norms))
    means = [norm.get_buffer("running_mean") for norm in norms]
    variances = [norm.get_buffer("running_var") for norm in norms]
    mean, variance = torch.cat(means), torch.cat(variances)
    normed = F.batch_norm(
        maps,
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
    return _unfold_channels(normed, len(norms))
