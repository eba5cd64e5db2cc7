"""A training step as one would first write it: the reference that ours must equal.

No cache, one landmark of one image at a time, whole maps at every level, and the
loss spelled out from its definition. It shares the network's
parameters and the encoder with ours and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.preset import LossSettings

STRIDES = (2, 4, 8, 16, 32)


def plain_loss(
    network: LandmarkNetwork,
    encoder: Encoder,
    template: Tensor,
    template_yx: Sequence[tuple[float, float]],
    pictures: Sequence[Tensor],
    points_yx: Sequence[Sequence[tuple[float, float]]],
    settings: LossSettings,
) -> Tensor:
    """Mean loss over images and landmarks, anchors from the plain template.

    Parameters
    ----------
    network : LandmarkNetwork
        In evaluation mode: batch statistics would depend on how work is grouped.
    encoder : Encoder
        Run anew for every landmark of every image.
    template : Tensor, (1, 1, H, W)
        Grey values in 0..1.
    template_yx : sequence of pair of float
        Its landmarks, one an adapter, pixels of the network's grid.
    pictures : sequence of Tensor, (1, 1, H, W)
        Images.
    points_yx : sequence of sequence of pair of float
        For each image the right place of each landmark.
    settings : LossSettings
        With a soft target.

    Returns
    -------
    Tensor, ()
    """
    losses = []
    for picture, places in zip(pictures, points_yx, strict=True):
        for landmark, place in enumerate(places):
            own = _embedded(network, encoder, template, landmark)
            seen = _embedded(network, encoder, picture, landmark)
            levels = [
                _level(_at(one, template_yx[landmark], stride), other, place, stride, settings)
                for one, other, stride in zip(own, seen, STRIDES, strict=True)
            ]
            losses.append(torch.stack(levels).sum())
    return torch.stack(losses).mean()


def _embedded(
    network: LandmarkNetwork, encoder: Encoder, picture: Tensor, landmark: int
) -> tuple[Tensor, ...]:
    maps = [level.float() for level in encoder(picture).after_pooling.maps]
    embedded: tuple[Tensor, ...] = network(maps, landmark)
    return embedded


def _at(embedding: Tensor, place: tuple[float, float], stride: int) -> Tensor:
    """Embedding at a point between four cell centres, (E,)."""
    height, width = embedding.shape[-2:]
    y = min(max((place[0] + 0.5) / stride - 0.5, 0.0), height - 1.0)
    x = min(max((place[1] + 0.5) / stride - 0.5, 0.0), width - 1.0)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    cells = embedding[0]
    upper = cells[:, top, left] * (1 - right) + cells[:, top, left + 1] * right
    lower = cells[:, top + 1, left] * (1 - right) + cells[:, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _level(
    anchor: Tensor,
    embedding: Tensor,
    place: tuple[float, float],
    stride: int,
    settings: LossSettings,
) -> Tensor:
    """Cross-entropy of the right cells among those of the window."""
    height, width = embedding.shape[-2:]
    side = max(height, width) if stride == STRIDES[-1] else settings.window
    rows = _window(place[0], stride, side, height)
    columns = _window(place[1], stride, side, width)
    cells = embedding[0, :, rows.start : rows.stop, columns.start : columns.stop]
    product = (anchor[:, None, None] * cells).sum(0)
    cosine = product / (anchor.norm() * cells.norm(dim=0))
    y, x = ((value + 0.5) / stride - 0.5 for value in place)
    down = torch.tensor([float(row) - y for row in rows])[:, None]
    across = torch.tensor([float(column) - x for column in columns])[None]
    away = (down**2 + across**2).sqrt().to(anchor.device)
    bias = (settings.bias_per_cell * away).clamp(max=settings.bias_cap)
    logits = settings.temperature * (cosine + bias)
    right = torch.exp(-(away**2) / (2 * settings.soft_sigma_cells**2))
    right = right / right.sum()
    return -(right * torch.log_softmax(logits.flatten(), 0).view_as(right)).sum()


def _window(place: float, stride: int, side: int, length: int) -> range:
    if side >= length:
        return range(length)
    cell = min(max(int(place // stride), 0), length - 1)
    first = min(max(cell - side // 2, 0), length - side)
    return range(first, first + side)
