"""CC2D, first stage: one network for all landmarks, trained by itself on patches of images.

Yao et al., One-Shot Medical Landmark Detection (MICCAI 2021), with the loss of its sequel
(arXiv 2203.01687), on which the paper's row is built. And its wider variants of the paper's
table 3, with more channels in every layer of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.embeddings import sample_windows
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.augmentation import Patches, cut_patches, draw_patch_params
from napari_oneshot_lmk.training.losses import total_loss
from napari_oneshot_lmk.training.preset import LossSettings, PatchSettings
from rivals.loop import Schedule
from rivals.rival import EmbeddingRival, Rival
from rivals.study import STRIDES

MARGIN = 0.1
"""Of a patch, in which no point is taken."""
READ_CELLS = 4
"""Window around a point of a patch, of which one cell is read."""
CHANNEL_STEP = 16
"""With other numbers of channels, gradients in bfloat16 of dilated convolutions were seen to be
not finite on a processor: such networks compute in float32."""


@dataclass(frozen=True)
class WiderConfig(NetworkConfig):
    """CC2D's decoder with more channels in all of its layers."""

    extra_channels: int = 0

    def shared_channels(self, level: int) -> int:
        """Channels of F_c."""
        extra = 0 if level == LEVELS[-1] else self.extra_channels
        return super().shared_channels(level) + extra

    def rfb_channels(self, level: int) -> int:
        """Channels of the receptive field block."""
        return super().rfb_channels(level) + self.extra_channels


class CC2D(EmbeddingRival):
    """CC2D-SSL: random points of an image against augmented patches of it."""

    name = "cc2d"
    title = "CC2D joint"
    schedule = Schedule(
        # 1650 items an epoch in batches of 8, the last one dropped; 300 epochs.
        steps=300 * 206,
        batch=8,
        learning_rate=1e-3,
        weight_decay=1e-4,
        factor=0.5,
        parts=6,
    )
    source = "arXiv 2103.04527 and 2203.01687"
    extra: ClassVar[int] = 0
    """Channels in each layer of the decoder beside CC2D's."""
    patch = PatchSettings(size=192, placement="centred")
    losses = LossSettings()

    network: LandmarkNetwork

    def build(self, trained: Callable[[str], Rival] | None) -> LandmarkNetwork:
        """Return the decoder of the package, without adapters."""
        channels = self.study.channels
        extra = round(self.extra * self.options.width)
        config = WiderConfig(channels, 1, 0, self.options.width, extra_channels=extra)
        return LandmarkNetwork(config)

    def loss(self, generator: torch.Generator) -> Tensor:
        """Compare points of each patch with the image that it was cut from."""
        chosen = self.study.draw(self.batch, generator)
        pixels = self.study.pixels(chosen)
        patches, points = draw_patches(pixels, self.patch, self.options.points, generator)
        inside = patches.tracked(points)
        last = self.patch.size - 1
        counted = ((inside >= 0) & (inside <= last)).all(-1).float()
        inside = inside.clamp(0, last)
        rows = [0] * self.options.points
        with self._autocast():
            near = self.network.embed_windows(
                self.study.maps(patches.images), rows, inside, READ_CELLS
            )
            windows = self.network.embed_windows(
                self.study.kept_maps(pixels), rows, points, self.losses.window
            )
        anchors = sample_windows(near, inside, sub_pixel=False)
        return total_loss(anchors, windows, points, counted, STRIDES, self.losses)

    def _autocast(self) -> torch.autocast:
        config = self.network.config
        counts = (config.rfb_channels(level) for level in config.rfb_levels)
        narrow = all(count % CHANNEL_STEP == 0 for count in counts)
        return self.study.autocast() if narrow else autocast(self.study.device, torch.float32)

    @torch.inference_mode()
    def _embed(self, pixels: Tensor) -> list[Tensor]:
        with self._autocast():
            return [level[0].float() for level in self.network(self.study.kept_maps(pixels))]


class CC2DPlus16(CC2D):
    """CC2D with 16 channels more."""

    name = "cc2d+16"
    title = "CC2D wider, + 16"
    source = "arXiv 2503.16058, table 3"
    extra = 16


class CC2DPlus304(CC2D):
    """CC2D with as many channels more as 19 adapters have together."""

    name = "cc2d+304"
    title = "CC2D wider, + 16 × 19"
    source = "arXiv 2503.16058, table 3"
    extra = 16 * 19


def draw_patches(
    pixels: Tensor, settings: PatchSettings, count: int, generator: torch.Generator
) -> tuple[Patches, Tensor]:
    """Cut a patch anywhere from each image, and draw points of the images inside it.

    Returns the augmented patches and the points, (B, count, 2) network pixels.
    """
    side, room = settings.size, torch.tensor(pixels.shape[-2:]) - settings.size + 1
    corners = (torch.rand(len(pixels), 2, generator=generator) * room).long()
    params = draw_patch_params(len(pixels), generator)
    patches = cut_patches(pixels, (corners + side // 2).float(), settings, params)
    drawn = torch.rand(len(pixels), count, 2, generator=generator)
    # Whole pixels, as published.
    within = ((MARGIN + (1 - 2 * MARGIN) * drawn) * side).floor()
    return patches, (corners[:, None] + within).to(pixels.device)
