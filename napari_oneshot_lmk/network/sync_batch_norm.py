"""Batch norm whose statistics come from the samples of several processes.

torch's own `SyncBatchNorm` needs GPUs and counts all samples alike. Here a sample may
count less: one that each of W processes holds counts 1 / W in each, padding counts 0. So
W processes have the statistics, running statistics and gradients of one process with all
samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class SampleWeights:
    """How much the samples of a batch count."""

    weights: Tensor
    """(B,), of this process's samples."""
    total: float
    """Sum over all processes."""


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of this process alone, or inside `shared_statistics` of several."""

    sample_weights: SampleWeights | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise (B or B * K, C, h, w) maps."""
        samples = self.sample_weights
        if samples is None or not self.training:
            return super().forward(maps)
        # So many maps in a row are one sample's.
        times = len(maps) // len(samples.weights)
        repeated = SampleWeights(samples.weights.repeat_interleave(times), times * samples.total)
        return sync_batch_norm([self], maps, repeated)


@contextmanager
def shared_statistics(network: nn.Module, weights: Tensor) -> Iterator[None]:
    """Let a network's batch norms see the batches of all processes as one.

    ``weights``, (B,), are those of this process's samples, at least one. All processes
    have to enter it, and pass the network the same number of times. In evaluation mode it
    makes no difference.
    """
    total = weights.double().sum()
    dist.all_reduce(total)
    samples = SampleWeights(weights, float(total))
    norms = [norm for norm in network.modules() if isinstance(norm, BatchNorm)]
    for norm in norms:
        norm.sample_weights = samples
    try:
        yield
    finally:
        for norm in norms:
            norm.sample_weights = None


def sync_batch_norm(
    norms: Sequence[nn.BatchNorm2d], maps: Tensor, samples: SampleWeights
) -> Tensor:
    """Normalise maps by statistics of all processes, and update the running statistics.

    The maps are (B, C of all norms, h, w), ``samples`` the weights of the B samples.
    """
    first = norms[0]
    count = samples.total * maps[0, 0].numel()
    normed: Tensor
    normed, means, variances = _SyncBatchNorm.apply(  # type: ignore[no-untyped-call]
        maps,
        torch.cat([norm.weight for norm in norms]),
        torch.cat([norm.bias for norm in norms]),
        samples.weights,
        count,
        first.eps,
    )
    unbiased = variances * (count / max(count - 1, 1))
    with torch.no_grad():
        sizes = [norm.num_features for norm in norms]
        for norm, mean, variance in zip(
            norms, means.split(sizes), unbiased.split(sizes), strict=True
        ):
            for name, new in (("running_mean", mean), ("running_var", variance)):
                running = norm.get_buffer(name)
                running.lerp_(new.to(running.dtype), first.momentum or 0.0)
            norm.get_buffer("num_batches_tracked").add_(1)
    return normed


class _SyncBatchNorm(torch.autograd.Function):
    """Keeps the maps alone for its gradient, as torch's batch norm does.

    With weights w, their sum N over samples and cells, and y = gain * z + offset,
    z = (x - mean) / deviation: dx = gain / deviation * (dy - w / N * (sum of dy +
    z * sum of dy * z)), the sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        gain: Tensor,
        offset: Tensor,
        weights: Tensor,
        count: float,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = maps.to(gain.dtype)
        weights = weights.to(gain.dtype)
        mean = weights @ wide.sum((2, 3))
        dist.all_reduce(mean)
        mean /= count
        # A second pass: the difference of two large sums would lose precision.
        variance = weights @ (wide - _along(mean)).square().sum((2, 3))
        dist.all_reduce(variance)
        variance /= count
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(maps, gain, mean, inverse, weights)
        ctx.count = count
        ctx.mark_non_differentiable(mean, variance)
        normed = (wide - _along(mean)) * _along(inverse * gain) + _along(offset)
        return normed.to(maps.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, gain, mean, inverse, weights = ctx.saved_tensors
        gradient = gradients[0].to(gain.dtype)
        standard = (maps.to(gain.dtype) - _along(mean)) * _along(inverse)
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * standard).sum((0, 2, 3))])
        own_offset, own_gain = sums.clone()
        dist.all_reduce(sums)
        towards = (_along(sums[0]) + standard * _along(sums[1])) / ctx.count
        given = gradient - weights[:, None, None, None] * towards
        given = (given * _along(gain * inverse)).to(maps.dtype)
        return given, own_gain, own_offset, None, None, None


def _along(values: Tensor) -> Tensor:
    """(C,) as (1, C, 1, 1)."""
    return values[None, :, None, None]
