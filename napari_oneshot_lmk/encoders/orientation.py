"""Dense gradient-orientation descriptors: an encoder without any weights.

The descriptor is that of SIFT (Lowe, IJCV 60(2), 2004), computed densely and at
five scales: the direction of the grey gradient in soft bins, pooled over cells,
stacked over a neighbourhood of cells, and normalised. Cosine similarity of the
square roots of normalised histograms is their Hellinger kernel (Arandjelovic and
Zisserman, CVPR 2012), which lets no single strong edge decide alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level

STRIDES = (2, 4, 8, 16, 32)
DIRECTIONS = 8
REACH_CELLS = 2
IMAGE_BLUR_CELLS = 0.7
"""Smoothing before the gradient, in pixels of the level's half-stride image."""


class OrientationEncoder:
    """Multi-scale histograms of gradient direction.

    Parameters
    ----------
    device : torch.device
        Where it computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        stacked = DIRECTIONS * (2 * REACH_CELLS + 1) ** 2
        self._card = EncoderCard(
            name="orientation",
            title="Gradient orientations (no weights)",
            weights_sha256="",
            levels=tuple(Level(f"orientation{s}", s, stacked) for s in STRIDES),
        )

    @property
    def card(self) -> EncoderCard:
        """Identity and levels."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1; H, W multiples of 32."""
        images = images.to(self._device, torch.float32)
        maps = tuple(_descriptors(images, level.stride) for level in self._card.levels)
        return FeaturePyramid(maps, self._card.levels)


def _descriptors(images: Tensor, stride: int) -> Tensor:
    """Return (B, C, H / stride, W / stride) centred root histograms."""
    half = F.avg_pool2d(images, stride // 2) if stride > 2 else images
    directions = _directions(_blurred(half, IMAGE_BLUR_CELLS))
    cells = F.avg_pool2d(_blurred(directions, 1.0), 2)
    stacked = _neighbourhood(cells, REACH_CELLS)
    roots = F.normalize(stacked, p=1.0, dim=1).sqrt()
    return roots - roots.mean(dim=1, keepdim=True)


def _directions(images: Tensor) -> Tensor:
    """Split the gradient of (B, 1, H, W) into soft direction bins."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    gradient_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gradient_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    magnitude = (gradient_x**2 + gradient_y**2 + 1e-12).sqrt()
    angles = torch.arange(DIRECTIONS, device=images.device) * (2 * math.pi / DIRECTIONS)
    cosines, sines = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along = (gradient_x * cosines + gradient_y * sines).clamp_min(0)
    # The cube makes a bin about as wide as the step between neighbouring bins.
    return (along / magnitude) ** 3 * magnitude


def _neighbourhood(cells: Tensor, reach: int) -> Tensor:
    """Stack each cell's (2 reach + 1)^2 neighbours along the channels."""
    height, width = cells.shape[-2:]
    padded = F.pad(cells, (reach,) * 4, mode="replicate")
    steps = range(2 * reach + 1)
    return torch.cat(
        [padded[..., y : y + height, x : x + width] for y in steps for x in steps],
        dim=1,
    )


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Smooth each channel of (B, C, H, W) with a Gaussian of ``sigma`` pixels."""
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    groups = images.shape[1]
    rows = F.conv2d(padded, kernel, groups=groups)
    return F.conv2d(rows, kernel.transpose(-1, -2), groups=groups)
