"""The contrastive loss of CC2D with its relative-distance bias.

For one landmark and level: cross-entropy that distinguishes the right cell of the image from
the others in a window around it. A cell's logit is its cosine similarity with the anchor, plus
a bias that grows with the distance from the right cell: far cells have to be less similar than
near ones (Relative distance matters for one-shot landmark detection, arXiv 2203.01687).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.network.windows import Window

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.preset import LossSettings

SHORTEST = 1e-6
"""Length below which a vector counts as zero."""
LEAST_TARGET = 0.5
"""Share of a soft target that has to lie in the window for it to count."""


def level_losses(
    anchors: Tensor, window: Window, points_yx: Tensor, stride: int, settings: LossSettings
) -> Tensor:
    """Loss of each landmark on one level.

    Parameters
    ----------
    anchors : Tensor, (B, K, E)
        Embedding that each landmark's cells are compared with.
    window : Window
        Embeddings (B, K, E, h, w) of the cells that compete.
    points_yx : Tensor, (B, K, 2)
        True positions, pixels of the network's grid.
    stride : int
        Network pixels per cell.
    settings : LossSettings
        Temperature, bias, width of the target.

    Returns
    -------
    Tensor, (B, K), float32
        Zero where the true position is outside of the window: there is nothing to learn then.
    """
    unit = F.normalize(anchors.float(), dim=-1)
    cosine: Tensor = _Cosine.apply(window.embeddings, unit)  # type: ignore[no-untyped-call]
    distance2 = _squared_distances(window, points_yx, stride, settings.soft_sigma_cells > 0)
    target, known = _target(distance2, settings.soft_sigma_cells)
    bias = (settings.bias_per_cell * distance2.sqrt()).clamp(max=settings.bias_cap)
    logits = settings.temperature * (cosine + bias).flatten(2)
    loss = torch.logsumexp(logits, -1) - (target.flatten(2) * logits).sum(-1)
    return torch.where(known, loss, torch.zeros_like(loss))


class _Cosine(torch.autograd.Function):
    """Cosine (B, K, h, w), float32, of embeddings (B, K, E, h, w) with unit vectors (B, K, E).

    Its gradient in one pass over the embeddings, where those of a product, a norm and a
    division take a dozen: the embeddings are the largest maps of a step.
    """

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, unit: Tensor) -> Tensor:
        maps = embeddings.float()
        length = torch.linalg.vector_norm(maps, dim=2).clamp_min(SHORTEST)
        cosine: Tensor = torch.einsum("bke,bkehw->bkhw", unit, maps) / length
        ctx.save_for_backward(embeddings, unit, length, cosine)
        return cosine

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        embeddings, unit, length, cosine = ctx.saved_tensors
        maps = embeddings.float()
        scale = gradient / length
        # d cosine / d e = (u - cosine e / |e|) / |e|
        towards = scale[:, :, None] * unit[..., None, None]
        inwards = (scale * cosine / length)[:, :, None]
        to_embeddings = torch.addcmul(towards, maps, inwards, value=-1).to(embeddings.dtype)
        return to_embeddings, torch.einsum("bkhw,bkehw->bke", scale, maps)


def total_loss(
    anchors: tuple[Tensor, ...],
    windows: tuple[Window, ...],
    points_yx: Tensor,
    weights: Tensor,
    strides: tuple[int, ...],
    settings: LossSettings,
    total_weight: Tensor | None = None,
) -> Tensor:
    """Sum over levels of the weighted mean over landmarks and images.

    Anchors, windows and strides are one per level, see `level_losses`. The sum, with weights
    (B, K) of each landmark in each image, is divided by ``total_weight``; by default by the
    weights' sum, so that smaller weights do not make the loss smaller.
    """
    losses = [
        level_losses(anchor, window, points_yx, stride, settings)
        for anchor, window, stride in zip(anchors, windows, strides, strict=True)
    ]
    each = torch.stack(losses).sum(0)
    total = weights.sum() if total_weight is None else total_weight
    return (each * weights).sum() / total.clamp_min(SHORTEST)


def _squared_distances(window: Window, points_yx: Tensor, stride: int, sub_pixel: bool) -> Tensor:
    """Squared distance (B, K, h, w) in cells from the true position.

    The published target is a cell: the one that holds the point.
    """
    right_yx = (points_yx + 0.5) / stride
    right_yx = right_yx - 0.5 if sub_pixel else right_yx.floor()
    squared = []
    for axis in (0, 1):
        count = window.embeddings.shape[3 + axis]
        cells = torch.arange(count, device=points_yx.device, dtype=torch.float32)
        first = window.origin_yx[..., axis, None].to(torch.float32)
        squared.append((first + cells - right_yx[..., axis, None].float()) ** 2)
    return squared[0][..., :, None] + squared[1][..., None, :]


def _target(distance2: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Probability (B, K, h, w) of each cell, and whether there is one (B, K)."""
    target = torch.exp(-distance2 / (2 * sigma**2)) if sigma > 0 else (distance2 == 0).float()
    # What a Gaussian of this width sums to on a grid without borders.
    whole = max(2 * torch.pi * sigma**2, 1.0)
    total = target.sum((-2, -1), keepdim=True)
    known = (total > LEAST_TARGET * whole)[..., 0, 0]
    return target / total.clamp_min(SHORTEST), known
