"""Batch normalisation for one landmark, or for several in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.landmark_axis import (
    as_before,
    one_batch,
    one_group_each,
    with_landmark_axis,
)
from napari_oneshot_lmk.network.layout import Normalisation
from napari_oneshot_lmk.network.statistics import BatchNorm, normalised_together


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
