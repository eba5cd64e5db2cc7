"""FM-OSD's coarse stage: a convolution over frozen features, trained on template copies alone.

Miao et al., FM-OSD: Foundation Model-Enabled One-Shot Detection of Anatomical Landmarks
(MICCAI 2024, arXiv 2407.05412). It sees no unlabelled image. On DINO's ViT-S/8, whose weights
the user has to give, or as a variant of ours on VGG19.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import SMALLEST_WIDTH
from napari_oneshot_lmk.training.augmentation import TemplateAugmentation
from napari_oneshot_lmk.training.preset import TemplateCopySettings
from rivals.dino import CHANNELS, DinoKeys, with_neighbours
from rivals.loop import Schedule
from rivals.matching import cell_of, match_both_ways
from rivals.rival import Options, Rival
from rivals.study import SIDE, Query, Study

FEATURES = 256
SHORTER_SIDE = 224
"""Pixels to which DINO's input is resized."""
SPREAD = 5.0
"""Standard deviation of a target, in pixels of an image with that side."""
TAPS = 9


class Frozen:
    """Frozen features at a stride of 4 pixels, and the grid that they are brought to."""

    channels: int
    grid_yx: tuple[int, int]
    """That the decoder's output has, for the whole image."""

    def whole(self, pixels: Tensor) -> Tensor:
        """Return (1, C, h, w) features of an image (1, 1, 384, 384)."""
        raise NotImplementedError

    def crops(self, pixels: Tensor) -> Tensor:
        """Return (B, C, h, w) features of crops (B, 1, S, S)."""
        raise NotImplementedError


class FrozenDino(Frozen):
    """Keys of DINO with their neighbours, of an image in its own proportions."""

    channels = 17 * CHANNELS

    def __init__(self, study: Study, options: Options, side: int = SHORTER_SIDE) -> None:
        self._keys = DinoKeys.load(options.dino_weights).to(study.device)
        height, width = study.template.image.geometry.image_shape_yx
        scale = side / min(height, width)
        self.grid_yx = round(height * scale), round(width * scale)

    @torch.no_grad()
    def whole(self, pixels: Tensor) -> Tensor:
        """Return (1, 6528, h, w) features."""
        resized = F.interpolate(pixels, self.grid_yx, mode="bilinear", antialias=True)
        return with_neighbours(self._keys(resized))

    @torch.no_grad()
    def crops(self, pixels: Tensor) -> Tensor:
        """Return (B, 6528, h, w) features."""
        return with_neighbours(self._keys(pixels))


class FrozenVGG19(Frozen):
    """VGG19's maps of strides 4, 8 and 16 on the grid of the first, each of length one."""

    grid_yx = (SIDE // 2, SIDE // 2)
    levels = slice(1, 4)

    def __init__(self, study: Study) -> None:
        self._study = study
        self.channels = sum(study.channels[self.levels])

    def whole(self, pixels: Tensor) -> Tensor:
        """Return (1, 896, 96, 96) features."""
        return self._joined(self._study.kept_maps(pixels))

    def crops(self, pixels: Tensor) -> Tensor:
        """Return (B, 896, h, w) features."""
        return self._joined(self._study.maps(pixels))

    def _joined(self, maps: list[Tensor]) -> Tensor:
        chosen = maps[self.levels]
        size = chosen[0].shape[-2:]
        units = [F.normalize(each, dim=1) for each in chosen]
        return torch.cat(
            [F.interpolate(each, size, mode="bilinear", align_corners=False) for each in units], 1
        )


class GlobalDecoder(nn.Module):
    """Interpolation to a finer grid, then a 3 x 3 convolution.

    Its nine taps are computed as 1 x 1 convolutions before the interpolation, which is the
    same and many times quicker.
    """

    def __init__(self, in_channels: int, width: float) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, features_of(width), 3)
        self.weight, self.bias = conv.weight, cast(nn.Parameter, conv.bias)

    def forward(self, features: Tensor, size_yx: tuple[int, int]) -> Tensor:
        """Return (B, E, H, W) of (B, C, h, w)."""
        weight = self.weight.permute(2, 3, 0, 1).flatten(0, 2)[..., None, None]
        taps = F.conv2d(features, weight)
        height, width = size_yx
        total = torch.zeros(())
        for tap, each in enumerate(taps.chunk(TAPS, 1)):
            finer = F.interpolate(each, size_yx, mode="bilinear", align_corners=False)
            down, right = divmod(tap, 3)
            padded = F.pad(finer, (1, 1, 1, 1))
            total = total.to(finer) + padded[..., down : down + height, right : right + width]
        return total + self.bias[:, None, None]


class FMOSDCoarse(Rival):
    """FM-OSD's global branch on DINO."""

    name = "fm-osd-coarse"
    title = "FM-OSD, coarse"
    source = "arXiv 2407.05412"
    schedule = Schedule(20000, 4, 2e-4)
    needs_dino: ClassVar[bool] = True

    network: GlobalDecoder
    frozen: Frozen

    def build(self, trained: Callable[[str], Rival] | None) -> GlobalDecoder:
        """Return the decoder."""
        self.frozen = FrozenDino(self.study, self.options)
        return self._decoder()

    def _decoder(self) -> GlobalDecoder:
        settings = TemplateCopySettings(count=self.options.copies)
        self.copies = TemplateAugmentation(self.study.template, settings, self.study.seed)
        return GlobalDecoder(self.frozen.channels, self.options.width)

    def features(self, pixels: Tensor) -> Tensor:
        """Return the decoder's features (1, E, H, W) of an image (1, 1, 384, 384)."""
        frozen = self.frozen.whole(pixels)
        with self.study.autocast():
            decoded: Tensor = self.network(frozen, self.frozen.grid_yx)
        return decoded.float()

    def loss(self, generator: torch.Generator) -> Tensor:
        """Return the distance-aware loss on copies of the template."""
        chosen = torch.randint(len(self.copies), (self.batch,), generator=generator)
        losses = []
        for index in chosen.tolist():
            copy = self.copies.copy(index)
            # In 8 bits as other images are, so that features are kept.
            pixels = (copy.image * 255).round() / 255
            features = self.features(pixels.to(self.study.device))
            points = self._on_grid(copy.points_yx[copy.inside].to(features.device))
            spread = SPREAD * min(self.frozen.grid_yx) / SHORTER_SIDE
            losses.append(distance_aware_loss(features[0], points, spread))
        return torch.stack(losses).mean()

    def locate(self, query: Query) -> Tensor:
        """Return the cells that match the template's in both directions."""
        features = self.map_of(query.pixels)[0]
        template, cells = self._template
        per_cell = self._pixels_per_cell(features.device)
        found = match_both_ways(features, template, cells, self.options.candidates, per_cell)
        return (found + 0.5) * per_cell - 0.5

    @torch.no_grad()
    def map_of(self, pixels: Tensor) -> Tensor:
        """Return `features`, without a gradient."""
        return self.features(pixels)

    @property
    def _template(self) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "_kept"):
            features = self.map_of(self.study.template_pixels)[0]
            each = 1 / self._pixels_per_cell(features.device)
            cells = cell_of(self.study.template_yx, each, features.shape[-2:])
            self._kept = features, cells
        return self._kept

    def _on_grid(self, points_yx: Tensor) -> Tensor:
        return (points_yx + 0.5) / self._pixels_per_cell(points_yx.device) - 0.5

    def _pixels_per_cell(self, device: torch.device) -> Tensor:
        return SIDE / torch.tensor(self.frozen.grid_yx, device=device)


class FMOSDCoarseVGG19(FMOSDCoarse):
    """The same on VGG19's maps: a variant of ours."""

    name = "fm-osd-coarse-vgg19"
    title = "FM-OSD, coarse, on VGG19 (our variant)"
    needs_dino = False

    def build(self, trained: Callable[[str], Rival] | None) -> GlobalDecoder:
        """Return the decoder."""
        self.frozen = FrozenVGG19(self.study)
        return self._decoder()


def features_of(width: float) -> int:
    """Return the channels of a decoder's output."""
    return max(SMALLEST_WIDTH, round(FEATURES * width))


def distance_aware_loss(features: Tensor, points_yx: Tensor, spread: float) -> Tensor:
    """Return how far similarities with a landmark's own cell are from a Gaussian around it.

    Parameters
    ----------
    features : Tensor, (E, H, W)
    points_yx : Tensor, (N, 2)
        Cells of the features, not rounded.
    spread : float
        Standard deviation in cells.

    Returns
    -------
    Tensor, ()
        Mean squared difference of cosine and Gaussian, over all cells and landmarks.
    """
    units = F.normalize(features, dim=0)
    last = torch.tensor(features.shape[-2:], device=features.device) - 1
    cells = torch.minimum(points_yx.round().long().clamp_min(0), last)
    anchors = units[:, cells[:, 0], cells[:, 1]]
    cosine = torch.einsum("en,ehw->nhw", anchors, units)
    along = [
        torch.arange(n, device=features.device) - cells[:, axis, None]
        for axis, n in enumerate(features.shape[-2:])
    ]
    distance2 = along[0][:, :, None] ** 2 + along[1][:, None] ** 2
    return F.mse_loss(cosine, torch.exp(-distance2 / (2 * spread**2)))
