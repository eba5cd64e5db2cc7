"""FM-OSD's fine stage: crops at the image's own resolution around the coarse points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.matching.crops import cut_crops
from napari_oneshot_lmk.training.augmentation import TemplateAugmentation
from napari_oneshot_lmk.training.preset import TemplateCopySettings
from rivals.fmosd import FMOSDCoarse, FMOSDCoarseVGG19, distance_aware_loss, features_of
from rivals.loop import Schedule
from rivals.matching import match_both_ways
from rivals.rival import Rival
from rivals.study import Query, native_grey

REACH = 224
"""Of a crop, in pixels of the published images."""
PUBLISHED_MM, PUBLISHED_AREA = 0.1, 2400 * 1935
"""Side of their pixels, and how many each image had."""
SHIFT = 50.0
"""At most, of a crop's centre from its landmark in training, in those pixels."""
SPREAD = 2.0
"""Standard deviation of a target, in those pixels."""


class LocalDecoder(nn.Module):
    """Two transposed convolutions, interpolation to the crop's grid, a 5 x 5 convolution."""

    def __init__(self, in_channels: int, width: float) -> None:
        super().__init__()
        out = features_of(width)
        self.ups = nn.Sequential(
            nn.ConvTranspose2d(in_channels, out, 2, stride=2),
            *(nn.BatchNorm2d(out), nn.ReLU()),
            *(nn.ConvTranspose2d(out, out, 2, stride=2), nn.ReLU()),
        )
        self.conv = nn.Conv2d(out, out, 5, padding=2)

    def forward(self, features: Tensor, side: int) -> Tensor:
        """Return (B, E, side, side) of (B, C, h, w), four times finer."""
        finer = self.ups(features)
        finer = F.interpolate(finer, (side, side), mode="bilinear", align_corners=False)
        decoded: Tensor = self.conv(finer)
        return decoded


class FMOSDFine(Rival):
    """FM-OSD on DINO with both its stages."""

    name = "fm-osd-fine"
    title = "FM-OSD, fine"
    source = "arXiv 2407.05412"
    schedule = Schedule(1000, 4, 2e-4)
    needs_dino: ClassVar[bool] = True
    coarse_stage: ClassVar[type[FMOSDCoarse]] = FMOSDCoarse
    side: ClassVar[int] = REACH
    """Pixels of a crop."""

    network: LocalDecoder

    def build(self, trained: Callable[[str], Rival] | None) -> LocalDecoder:
        """Return the local decoder; the coarse stage is trained before, where it is not yet."""
        assert trained is not None
        coarse = trained(self.coarse_stage.name)
        assert isinstance(coarse, FMOSDCoarse)
        self.coarse = coarse
        template, settings = self.study.template, TemplateCopySettings(count=self.options.copies)
        # Copies as large as the template itself.
        geometry = template.image.geometry
        own = geometry.with_network_shape(geometry.image_shape_yx)
        at_own = replace(template, image=replace(template.image, geometry=own))
        self.copies = TemplateAugmentation(at_own, settings, self.study.seed)
        return LocalDecoder(coarse.frozen.channels, self.options.width)

    def loss(self, generator: torch.Generator) -> Tensor:
        """Return the distance-aware loss in crops around landmarks of template copies."""
        unit = unit_px(self.study.template.image) * REACH / self.side
        spread = SPREAD * self.side / REACH
        losses = []
        for index in torch.randint(len(self.copies), (self.batch,), generator=generator).tolist():
            copy = self.copies.copy(index)
            points = copy.points_yx[copy.inside]
            if self.options.crops is not None:
                order = torch.randperm(len(points), generator=generator)
                points = points[order[: self.options.crops]]
            moved = SHIFT * (2 * torch.rand(points.shape, generator=generator) - 1)
            centres = points + moved * unit_px(self.study.template.image)
            pixels, centres = self._cut(copy.image, centres, unit)
            decoded = self._decoded(pixels)
            inside = (points - centres) / unit + (self.side - 1) / 2
            losses += [
                distance_aware_loss(one, at[None].to(one.device), spread)
                for one, at in zip(decoded, inside, strict=True)
            ]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def locate(self, query: Query) -> Tensor:
        """Return points matched in both directions inside crops about the coarse ones."""
        geometry = query.image.geometry
        coarse = geometry.points_from_network(self.coarse.locate(query).cpu().numpy())
        unit = unit_px(query.image) * REACH / self.side
        crops, centres = self._described(query.image, query.pixels, torch.from_numpy(coarse))
        templates, cells = self._template
        found = []
        each = torch.ones(2, device=crops.device)
        for crop, template, cell in zip(crops, templates, cells, strict=True):
            [at] = match_both_ways(crop, template, cell[None], self.options.candidates, each)
            found.append(at)
        offsets = torch.stack(found).cpu() - (self.side - 1) / 2
        points = (centres + offsets * unit).numpy()
        found_yx: Tensor = torch.from_numpy(geometry.points_to_network(points))
        return found_yx

    @cached_property
    def _template(self) -> tuple[Tensor, Tensor]:
        """Features of crops about the template's landmarks, and their cells."""
        image = self.study.template.image
        positions = [p.position_yx for p in self.study.template.landmarks.placed]
        points = torch.from_numpy(np.array(positions, dtype=float))
        crops, centres = self._described(image, self.study.template_pixels, points)
        cells = (points - centres) / (unit_px(image) * REACH / self.side) + (self.side - 1) / 2
        return crops, cells.round().long().clamp(0, self.side - 1).to(crops.device)

    def _described(
        self, image: GrayImage, network_pixels: Tensor, points_yx: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features of crops: those of the local decoder and, added, the global one's.

        ``points_yx`` (N, 2) are pixels of the image. Returned are (N, E, S, S) and the crops'
        centres (N, 2).
        """
        unit = unit_px(image) * REACH / self.side
        pixels, centres = self._cut(native_grey(image), points_yx, unit)
        near = F.normalize(self._decoded(pixels), dim=1)
        whole = self.coarse.map_of(network_pixels)
        steps = torch.arange(self.side) - (self.side - 1) / 2
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1) * unit
        places = centres[:, None, None] + offsets
        grid = 2 * (places + 0.5) / torch.tensor(image.geometry.image_shape_yx) - 1
        grid = grid.flip(-1).to(whole)
        sampled = F.grid_sample(
            whole.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=False
        )
        return near + F.normalize(sampled, dim=1), centres

    def _decoded(self, pixels: Tensor) -> Tensor:
        with self.study.autocast():
            frozen = self.coarse.frozen.crops(pixels.to(self.study.device))
            decoded: Tensor = self.network(frozen, self.side)
        return decoded.float()

    def _cut(self, image: Tensor, centres_yx: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Cut crops (N, 1, S, S), moved into the image (1, 1, H, W); return their centres, too."""
        half = unit * (self.side - 1) / 2
        last = torch.maximum(torch.tensor(image.shape[-2:]) - 1 - half, half)
        centres = torch.minimum(torch.maximum(centres_yx, half), last)
        turns = torch.diag(unit).expand(len(centres), 2, 2)
        return cut_crops([image], [1], centres.float(), self.side, turns), centres


class FMOSDFineVGG19(FMOSDFine):
    """The same on VGG19's maps: a variant of ours, with fewer pixels in as wide a crop."""

    name = "fm-osd-fine-vgg19"
    title = "FM-OSD, fine, on VGG19 (our variant)"
    needs_dino = False
    coarse_stage = FMOSDCoarseVGG19
    side = 128


def unit_px(image: GrayImage) -> Tensor:
    """Return the sides (row, column) of a published pixel in those of an image.

    0.1 mm; without a spacing, a square of which as many cover the image as a published one had.
    """
    geometry = image.geometry
    if geometry.spacing_mm_yx is not None:
        spacing = torch.tensor(geometry.spacing_mm_yx)
        return torch.full((2,), PUBLISHED_MM) / spacing
    area = geometry.image_shape_yx[0] * geometry.image_shape_yx[1]
    return torch.full((2,), (area / PUBLISHED_AREA) ** 0.5)
