"""Dense gradient-orientation descriptors: an encoder without any weights.

The descriptor is that of SIFT (Lowe, IJCV 60(2), 2004) at every cell of five grids: the
direction of the grey gradient in soft bins, pooled over cells, stacked over a neighbourhood of
cells, and normalised. Square roots of the histograms are compared (Arandjelovic and Zisserman,
CVPR 2012), so that no single strong edge dominates; their mean is subtracted, so that the
cosine of two descriptors is their correlation: about 0 for unrelated places, not 0.7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level

STRIDES = (2, 4, 8, 16, 32)
DIRECTIONS = 6
DIRECTION_SHARPNESS = 2.5
"""Power of the cosine to a bin's direction: bins as wide as their distance."""
REACH_CELLS = 3
"""A descriptor covers (2 * 3 + 1)^2 cells: 14 pixels at stride 2, 224 at 32."""
DESCRIPTOR_CHANNELS = DIRECTIONS * (2 * REACH_CELLS + 1) ** 2
GRADIENTS_PER_CELL = 4
"""Gradients along a cell's side, where the input resolves as many."""
CELL_BLUR = 0.3
"""Overlap of the cells: standard deviation of a Gaussian, in cells."""


class OrientationEncoder(nn.Module):
    """Multi-scale histograms of gradient direction.

    Invariant to any gain and offset of the grey values, and to slow changes of
    either. Not invariant to inverted grey values or to rotation.

    Parameters
    ----------
    device : torch.device
    note : str
        Of its card.
    strides : tuple of int
        Of its levels, fine to coarse; fewer cost less.
    """

    def __init__(
        self, device: torch.device, note: str = "", strides: tuple[int, ...] = STRIDES
    ) -> None:
        super().__init__()
        self.device = device
        self.card = orientation_card(note, strides)

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1; H, W multiples of 32."""
        images = images.to(self.device, torch.float32)
        strides = [level.stride for level in self.card.levels]
        cells = root_histograms_of(images, strides)
        maps = tuple(stack_neighbours(cells[stride]) for stride in strides)
        return FeaturePyramid(maps, self.card.levels)


def orientation_card(note: str = "", strides: tuple[int, ...] = STRIDES) -> EncoderCard:
    """Return the card of an `OrientationEncoder`."""
    return EncoderCard(
        name="orientation",
        title="Gradient orientations (no weights)",
        weights_sha256="",
        levels=tuple(Level(f"orientation{s}", s, DESCRIPTOR_CHANNELS) for s in strides),
        note=note,
    )


def root_histograms(images: Tensor, stride: int) -> Tensor:
    """Return the square roots of the direction histograms of cells of ``stride`` pixels a side.

    (B, 1, H, W) grey images give (B, DIRECTIONS, H / stride, W / stride).
    """
    return root_histograms_of(images, (stride,))[stride]


def root_histograms_of(images: Tensor, strides: Sequence[int]) -> dict[int, Tensor]:
    """Return `root_histograms` for each stride; those that read the same gradients share them."""
    found, directions = {}, {}
    for stride in strides:
        side = min(GRADIENTS_PER_CELL, stride)
        coarser = stride // side
        if coarser not in directions:
            smaller = images if coarser == 1 else F.avg_pool2d(images, coarser)
            directions[coarser] = direction_bins(smaller)
        found[stride] = _pooled(directions[coarser], side).clamp_min(0).sqrt()
    return found


def _pooled(directions: Tensor, side: int) -> Tensor:
    """Mean of each cell of ``side`` pixels after a Gaussian blur of CELL_BLUR cells.

    Blur and mean are one separable filter, computed only where a cell is.
    """
    gaussian = gaussian_kernel(CELL_BLUR * side, directions)
    kernel = F.conv1d(
        F.pad(gaussian, (side - 1,) * 2)[None, None], gaussian.new_full((1, 1, side), 1 / side)
    )[:, :, None]
    batch, channels = directions.shape[:2]
    reach = gaussian.shape[0] // 2
    # Channels as a batch of single ones: convolutions in groups are slow.
    maps = F.pad(directions, (reach,) * 4, mode="replicate").flatten(0, 1)[:, None]
    rows = F.conv2d(maps, kernel, stride=(1, side))
    cells = F.conv2d(rows, kernel.transpose(-1, -2), stride=(side, 1))
    return cells.reshape(batch, channels, *cells.shape[-2:])


def stack_neighbours(cells: Tensor) -> Tensor:
    """Stack each cell with its K neighbours into one normalised descriptor.

    (B, C, h, w) root histograms give (B, K * C, h, w); each vector has mean 0 and
    length 1, or is 0 where the image is flat.
    """
    batch, channels, height, width = cells.shape
    side = 2 * REACH_CELLS + 1
    padded = F.pad(cells, (REACH_CELLS,) * 4, mode="replicate")
    # Means over the window, from one map each rather than from K * C of them.
    mean = F.avg_pool2d(padded.mean(1, keepdim=True), side, 1)
    variance = F.avg_pool2d(padded.square().mean(1, keepdim=True), side, 1) - mean**2
    length = (variance.clamp_min(0) * (side * side * channels)).sqrt()
    gain = torch.where(length > 1e-4, 1 / length.clamp_min(1e-4), 0.0)
    # Channels last, because matching multiplies whole vectors; a row of neighbours
    # is then one run of memory, and copying it costs little.
    rows = padded.permute(0, 2, 3, 1).flatten(2).unfold(2, side * channels, channels)
    descriptors = cells.new_empty(batch, height, width, side, side * channels)
    mean, gain = mean.permute(0, 2, 3, 1), gain.permute(0, 2, 3, 1)
    for y in range(side):
        part = descriptors[..., y, :]
        torch.sub(rows[:, y : y + height], mean, out=part).mul_(gain)
    return descriptors.flatten(3).permute(0, 3, 1, 2)


def direction_bins(images: Tensor) -> Tensor:
    """Split the gradient of (B, 1, H, W) into DIRECTIONS soft bins."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    gradient_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    gradient_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    magnitude = torch.hypot(gradient_x, gradient_y).clamp_min(1e-9)
    bins = torch.arange(DIRECTIONS, device=images.device, dtype=images.dtype)
    angles = bins * (math.tau / DIRECTIONS)
    cosines, sines = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along = (gradient_x * cosines + gradient_y * sines).clamp_min(0)
    return (along / magnitude) ** DIRECTION_SHARPNESS * magnitude


def gaussian_kernel(sigma: float, like: Tensor) -> Tensor:
    """Return the weights of a Gaussian of ``sigma`` pixels, cut off at three of them."""
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    return kernel / kernel.sum()
