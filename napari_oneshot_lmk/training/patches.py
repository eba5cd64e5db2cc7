"""Augmented patches around points: the other half of each pair that is compared.

As CC2D trains and the paper goes on with it: a square of the image about the point,
brightness and contrast changed, then turned about its middle, black where nothing
is left. The point is followed by the formula of the rotation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.settings import STRIDE, PatchSettings


class Patches(NamedTuple):
    """One patch an image."""

    images: Tensor
    """(B, 1, S, S) float32, grey values 0..1."""
    points_yx: Tensor
    """(B, 2) float32, pixels of the patch; always inside."""
    corners_yx: Tensor
    """(B, 2) int64: the image's pixel that was the patch's first, before turning."""
    angles: Tensor
    """(B,) float32, radians: how far the patch was turned about its middle."""

    def tracked(self, points_yx: Tensor) -> Tensor:
        """Map other points of the images, (B, M, 2) network pixels, to the patch."""
        middle = (self.images.shape[-1] - 1) / 2
        offsets = points_yx - self.corners_yx[:, None] - middle
        turned = _turned(offsets.flatten(0, 1), self.angles.repeat_interleave(points_yx.shape[1]))
        return turned.view_as(points_yx) + middle


def cut_patches(
    images: Tensor,
    points_yx: Tensor,
    settings: PatchSettings,
    generator: torch.Generator | None = None,
    *,
    spread: Tensor | None = None,
) -> Patches:
    """Cut one patch from each image and augment it.

    Parameters
    ----------
    images : Tensor, (B, 1, H, W)
        On the network's grid, grey values 0..1.
    points_yx : Tensor, (B, 2)
        Network pixels, inside the images.
    settings : PatchSettings
        Size, place and augmentation.
    generator : torch.Generator, optional
        Of the processor; by default torch's own.
    spread : Tensor, (B, 5), optional
        From `random_spread`, where it was drawn before.

    Returns
    -------
    Patches
        On the images' device.

    Raises
    ------
    UsageError
        If the images are smaller than a patch.
    """
    if min(images.shape[-2:]) < settings.size:
        raise UsageError(
            f"patches of {settings.size} pixels do not fit into images of "
            f"{images.shape[-2]} x {images.shape[-1]}",
            remedy="make patch.size smaller",
        )
    # Random numbers come from the processor wherever the images lie: the same ones.
    points_yx = points_yx.detach().to("cpu", torch.float32)
    if spread is None:
        spread = random_spread(len(images), generator)
    corners = corners_yx(points_yx, images.shape, settings, spread[:, :2])
    in_patch = points_yx - corners
    angles = spread[:, 2] * math.radians(settings.rotation_deg)
    middle = (settings.size - 1) / 2
    turned = _turned(in_patch - middle, angles) + middle
    # Near a corner of the patch a point could be turned out of it: rather not.
    kept = ((turned >= -0.5) & (turned <= settings.size - 0.5)).all(-1)
    angles = torch.where(kept, angles, 0.0)
    turned = torch.where(kept[:, None], turned, in_patch)
    pixels = torch.stack(
        [
            image[:, y : y + settings.size, x : x + settings.size]
            for image, (y, x) in zip(images, corners.tolist(), strict=True)
        ]
    )
    factors = 1 + spread[:, 3:] * torch.tensor([settings.brightness, settings.contrast])
    pixels = recoloured(pixels, *factors.to(pixels.device).unbind(1))
    return Patches(
        rotated(pixels, angles.to(pixels.device)),
        turned.to(pixels.device),
        corners.to(pixels.device),
        angles.to(pixels.device),
    )


def random_spread(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw all that is random in so many patches, (B, 5) in -1..1."""
    return 2 * torch.rand(count, 5, generator=generator) - 1


def corners_yx(
    points_yx: Tensor, shape: torch.Size | tuple[int, ...], settings: PatchSettings, spread: Tensor
) -> Tensor:
    """Choose where patches begin.

    Parameters
    ----------
    points_yx : Tensor, (B, 2)
        Network pixels.
    shape : sequence of int
        Of the images, rows and columns last.
    settings : PatchSettings
        ``"centred"`` puts the point's pixel right and below of the middle, on a
        corner of cells at every level; ``"jittered"`` moves that by whole pixels;
        ``"aligned"`` takes the multiple of 32 nearest to it, so that the cells of
        patch and image coincide.
    spread : Tensor, (B, 2)
        Uniform in -1..1, for the jitter.

    Returns
    -------
    Tensor, (B, 2), int64
        At borders patches are shifted inwards.
    """
    corners = (points_yx + 0.5).floor() - settings.size // 2
    if settings.placement == "jittered":
        corners = corners + (spread * (settings.jitter_px + 0.5)).round().clamp(
            -settings.jitter_px, settings.jitter_px
        )
    elif settings.placement == "aligned":
        corners = (corners / STRIDE).round() * STRIDE
    last = torch.tensor([shape[-2] - settings.size, shape[-1] - settings.size])
    if settings.placement == "aligned":
        last = last // STRIDE * STRIDE
    return corners.long().clamp_min(0).minimum(last)


def recoloured(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiply grey values, then their distances from each image's mean.

    Parameters
    ----------
    images : Tensor, (B, 1, H, W)
        Grey values 0..1, to which the result is cut as well.
    brightness, contrast : Tensor, (B,)
        Factors.
    """
    bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
    mean = bright.mean((1, 2, 3), keepdim=True)
    return (mean + (bright - mean) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Turn (B, 1, S, S) images about their middles, black where nothing is left.

    Parameters
    ----------
    images : Tensor, (B, 1, S, S)
        Squares.
    angles : Tensor, (B,)
        Radians; positive turns the row axis towards the column axis.
    """
    cosine, sine, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Where a pixel of the result comes from, as (column, row) of units that are the
    # same on both axes: the inverse rotation.
    rows = [torch.stack(row, 1) for row in ((cosine, -sine, none), (sine, cosine, none))]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    # Cubic, as published: linear interpolation would blur every turned patch.
    turned = F.grid_sample(images, grid, "bicubic", "zeros", align_corners=False)
    return turned.clamp(0, 1)


def _turned(offsets_yx: Tensor, angles: Tensor) -> Tensor:
    """Turn (B, 2) offsets from the middle as `rotated` turns the pixels."""
    y, x = offsets_yx.unbind(1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((cosine * y - sine * x, sine * y + cosine * x), 1)
