"""UOD, first stage: CC2D's self-supervision with layers for each anatomy beside shared ones.

Zhu et al., UOD: Universal One-shot Detection of Anatomical Landmarks (MICCAI 2023). The second
stage, a transformer trained on the pseudo-labels, is not built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import DECODER_WIDTHS, RFB_LEVELS, RFB_WIDTHS, SMALLEST_WIDTH
from napari_oneshot_lmk.network.rfb import RFB
from napari_oneshot_lmk.network.windows import upsample
from napari_oneshot_lmk.training.preset import PatchSettings
from rivals.cc2d import draw_patches
from rivals.loop import Schedule
from rivals.rival import EmbeddingRival, Rival
from rivals.study import STRIDES

EMBEDDING = 16
NEARBY = 6
"""Cells on either side of the right one that compete with it, below the coarsest level."""


class DomainConv(nn.Module):
    """A depthwise convolution and a batch norm of each anatomy around a shared pointwise one."""

    def __init__(self, in_channels: int, out_channels: int, domains: int) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
            for _ in range(domains)
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(domains))

    def forward(self, maps: Tensor, domain: int) -> Tensor:
        """Convolve (B, C, h, w) maps of one anatomy."""
        mixed = self.pointwise(self.depthwise[domain](maps))
        return F.relu(self.norms[domain](mixed))


class DomainNetwork(nn.Module):
    """CC2D's decoder of `DomainConv`; blocks of receptive fields and heads are shared."""

    def __init__(
        self, encoder_channels: Sequence[int], domains: int, width: float, *, rfb: bool
    ) -> None:
        super().__init__()
        scaled = [max(SMALLEST_WIDTH, round(each * width)) for each in DECODER_WIDTHS]
        outs = [*scaled, encoder_channels[-1]]
        self.ups = nn.ModuleList()
        for level in range(4):
            both = encoder_channels[level] + outs[level + 1]
            convs = (
                DomainConv(both, outs[level], domains),
                DomainConv(outs[level], outs[level], domains),
            )
            self.ups.append(nn.ModuleList(convs))
        wide = {
            level: max(SMALLEST_WIDTH, round(n * width))
            for level, n in zip(RFB_LEVELS, RFB_WIDTHS, strict=True)
        }
        self.rfbs = nn.ModuleDict(
            {str(level): RFB(outs[level - 1], n) for level, n in wide.items() if rfb}
        )
        read = [wide[i] if rfb and i in wide else out for i, out in enumerate(outs, start=1)]
        self.heads = nn.ModuleList(nn.Conv2d(each, EMBEDDING, 1) for each in read)

    def forward(self, maps: Sequence[Tensor], domain: int) -> list[Tensor]:
        """Return the embeddings (B, 16, h, w) of five levels, fine to coarse."""
        decoded = [maps[-1]]
        for up, skip in zip(reversed(self.ups), reversed(maps[:-1]), strict=True):
            features = torch.cat([skip, upsample(decoded[0], skip.shape[-2:])], 1)
            for convolution in up:  # type: ignore[attr-defined]
                features = convolution(features, domain)
            decoded.insert(0, features)
        for level, block in self.rfbs.items():
            decoded[int(level) - 1] = block(decoded[int(level) - 1])
        return [head(features).float() for head, features in zip(self.heads, decoded, strict=True)]


class Both(nn.Module):
    """One network for images, one for patches."""

    def __init__(self, encoder_channels: Sequence[int], domains: int, width: float) -> None:
        super().__init__()
        self.of_images = DomainNetwork(encoder_channels, domains, width, rfb=True)
        self.of_patches = DomainNetwork(encoder_channels, domains, width, rfb=False)


class UOD(EmbeddingRival):
    """UOD, stage 1."""

    name = "uod"
    title = "UOD, stage 1"
    schedule = Schedule(
        # 1500 epochs of the head's 1650 items in batches of 6.
        steps=1500 * 275,
        batch=6,
        learning_rate=1e-5,
        factor=0.8,
        parts=30,
    )
    source = "arXiv 2306.07615"
    patch: ClassVar[PatchSettings] = PatchSettings(size=256, placement="centred")

    network: Both

    def build(self, trained: Callable[[str], Rival] | None) -> Both:
        """Return both networks."""
        channels = self.study.channels
        return Both(channels, 1 + len(self.study.others), self.options.width)

    def loss(self, generator: torch.Generator) -> Tensor:
        """Compare points of patches with their images; a step sees one anatomy."""
        domain = int(torch.randint(1 + len(self.study.others), (1,), generator=generator))
        images = (self.study.images, *self.study.others)[domain]
        order = torch.randperm(len(images), generator=generator)[: self.batch]
        pixels = torch.cat([images[int(i)] for i in order]).to(self.study.device).float() / 255
        patches, points = draw_patches(pixels, self.patch, self.options.points, generator)
        inside = patches.tracked(points)
        last = self.patch.size - 1
        counted = ((inside >= 0) & (inside <= last)).all(-1)
        with self.study.autocast():
            anchors = self.network.of_patches(self.study.maps(patches.images), domain)
            levels = self.network.of_images(self.study.kept_maps(pixels), domain)
        losses = []
        for anchor, level, stride in zip(anchors, levels, STRIDES, strict=True):
            nearby = None if stride == STRIDES[-1] else NEARBY
            read = [
                torch.stack([features[:, y, x] for y, x in (at / stride).long()])
                for features, at in zip(anchor, inside.clamp(0, last), strict=True)
            ]
            cells = (points / stride).long()
            losses.append(clamped_loss(torch.stack(read), level, cells, counted, nearby))
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def _embed(self, pixels: Tensor) -> list[Tensor]:
        with self.study.autocast():
            levels = self.network.of_images(self.study.kept_maps(pixels), 0)
        return [level[0] for level in levels]


def clamped_loss(
    anchors: Tensor, level: Tensor, cells_yx: Tensor, counted: Tensor, nearby: int | None
) -> Tensor:
    """Return the first CC2D's loss on one level: no temperature, no bias, cosines in 0..1.

    Parameters
    ----------
    anchors : Tensor, (B, P, E)
    level : Tensor, (B, E, h, w)
        Of the images.
    cells_yx : Tensor, (B, P, 2) int64
        Right ones.
    counted : Tensor, (B, P) bool
    nearby : int, optional
        Rows and columns from ``cell - nearby`` to ``cell + nearby - 1`` compete; by default all.
    """
    units = F.normalize(level, dim=1)
    cosine = torch.einsum("bpe,behw->bphw", F.normalize(anchors, dim=-1), units).clamp(0, 1)
    if nearby is not None:
        keep = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=level.device)
        for axis in (0, 1):
            steps = torch.arange(level.shape[2 + axis], device=level.device)
            away = steps - cells_yx[..., axis, None]
            near = (away >= -nearby) & (away < nearby)
            keep = keep & (near[..., :, None] if axis == 0 else near[..., None, :])
        cosine = cosine.masked_fill(~keep, -torch.inf)
    width = level.shape[-1]
    target = (cells_yx[..., 0] * width + cells_yx[..., 1]).flatten()
    each = F.cross_entropy(cosine.flatten(2).flatten(0, 1), target, reduction="none")
    chosen = counted.flatten()
    return (each * chosen).sum() / chosen.sum().clamp_min(1)
