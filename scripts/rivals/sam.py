"""SAM, self-supervised anatomical embedding (Yan et al., TMI 2022), on 2-D images.

Two augmented crops of one image; each point is told from others by a coarse embedding among all
of the crop, and by a fine one among its neighbours. As the 2-D baseline of CC2D's authors, on
VGG19's frozen maps in place of a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import SMALLEST_WIDTH
from napari_oneshot_lmk.training.augmentation import cut_patches, draw_patch_params
from napari_oneshot_lmk.training.preset import PatchSettings
from rivals.loop import Schedule
from rivals.rival import EmbeddingRival, Rival

EMBEDDING = 128
CHANNELS = 128
"""Of the feature pyramid."""
FINE, COARSE = 0, 3
"""Places of the two embeddings among the five maps: strides 2 and 16."""
TEMPERATURE = 10.0
"""Factor of the cosine."""
NEGATIVES = 5000
"""Cells near a point that the fine embedding tells it from, drawn anew for each."""
REACH = 150
"""Network pixels within which they lie: 200 of the published 512."""


class AnatomicalEmbedding(nn.Module):
    """A feature pyramid with a head on the level of stride 2 and one on that of stride 16."""

    def __init__(self, encoder_channels: Sequence[int], width: float) -> None:
        super().__init__()
        channels = max(SMALLEST_WIDTH, round(CHANNELS * width))
        self.laterals = nn.ModuleList(nn.Conv2d(each, channels, 1) for each in encoder_channels)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(channels, EMBEDDING, 1),
            )
            for _ in (FINE, COARSE)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the fine embeddings, (B, 128, H / 2, W / 2), and the coarse ones, at a 16th."""
        down: Tensor | None = None
        levels: list[Tensor] = []
        for lateral, features in zip(reversed(self.laterals), reversed(maps), strict=True):
            level = lateral(features)
            if down is not None:
                level = level + F.interpolate(down, level.shape[-2:], mode="nearest")
            down = level
            levels.insert(0, level)
        fine, coarse = (head(levels[i]) for head, i in zip(self.heads, (FINE, COARSE), strict=True))
        return F.normalize(fine.float(), dim=1), F.normalize(coarse.float(), dim=1)


class SAM(EmbeddingRival):
    """Two crops of one image, contrasted."""

    name = "sam"
    title = "SAM, 2-D"
    schedule = Schedule(300 * 206, 8, 1e-3, factor=0.5, parts=6)
    source = "Yan et al., IEEE TMI 41(10), 2022"
    strides = (2, 16)
    patch = PatchSettings(size=288, placement="centred", rotation_deg=10)

    network: AnatomicalEmbedding

    def build(self, trained: Callable[[str], Rival] | None) -> AnatomicalEmbedding:
        """Return the network."""
        channels = self.study.channels
        return AnatomicalEmbedding(channels, self.options.width)

    def loss(self, generator: torch.Generator) -> Tensor:
        """Contrast points that lie in both of two crops of each image."""
        pixels = self.study.pixels(self.study.draw(self.batch, generator))
        room = torch.tensor(pixels.shape[-2:]) - self.patch.size + 1
        corners = (torch.rand(2, len(pixels), 2, generator=generator) * room).long()
        crops = [
            cut_patches(
                pixels,
                (corner + self.patch.size // 2).float(),
                self.patch,
                draw_patch_params(len(pixels), generator),
            )
            for corner in corners
        ]
        first, last = corners.amax(0)[:, None], corners.amin(0)[:, None] + self.patch.size - 1
        drawn = torch.rand(len(pixels), self.options.points, 2, generator=generator)
        points = (first + drawn * (last - first)).to(pixels.device)
        seen = []
        for crop in crops:
            with self.study.autocast():
                embedded = self.network(self.study.maps(crop.images))
            seen.append((*embedded, crop.tracked(points)))
        inside = [((at >= 0) & (at <= self.patch.size - 1)).all(-1) for *_, at in seen]
        known = inside[0] & inside[1]
        losses = []
        for level, stride in enumerate((2, 16)):
            (a, at_a), (b, at_b) = ((each[level], each[2] / stride) for each in seen)
            reach = REACH / stride if level == 0 else None
            count = max(1, NEGATIVES // self.options.points)
            losses.append(contrast(a, at_a, b, at_b, known, reach, count, generator))
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def _embed(self, pixels: Tensor) -> list[Tensor]:
        with self.study.autocast():
            return [level[0] for level in self.network(self.study.kept_maps(pixels))]


def contrast(
    a: Tensor,
    at_a: Tensor,
    b: Tensor,
    at_b: Tensor,
    known: Tensor,
    reach: float | None,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the mean cross-entropy that tells a point's own cell in ``b`` from others.

    Parameters
    ----------
    a, b : Tensor, (B, E, h, w)
        Embeddings of length one, of two crops of the same images.
    at_a, at_b : Tensor, (B, P, 2)
        The same points in both, in cells (cell i spans i to i + 1).
    known : Tensor, (B, P) bool
        Whether a point lies in both; others do not count.
    reach : float, optional
        Cells around the point among which ``count`` negatives are drawn; by default all cells
        of the crop are negatives.
    """
    last = torch.tensor(b.shape[-2:], device=b.device) - 1
    cells_a, cells_b = (torch.minimum(at.floor().long().clamp_min(0), last) for at in (at_a, at_b))
    images = torch.arange(len(a), device=a.device)[:, None]
    anchors = a[images, :, cells_a[..., 0], cells_a[..., 1]]
    positives = b[images, :, cells_b[..., 0], cells_b[..., 1]]
    right = TEMPERATURE * (anchors * positives).sum(-1)
    if reach is None:
        others = TEMPERATURE * torch.einsum("bpe,behw->bphw", anchors, b).flatten(2)
        # The point's own cell is among them already.
        total = others.logsumexp(-1)
    else:
        drawn = (torch.rand(*at_b.shape[:2], count, 2, generator=generator) * 2 - 1).to(b.device)
        near = (cells_b[:, :, None] + drawn * reach).round().long()
        near = torch.minimum(near.clamp_min(0), last)
        vectors = b[images[..., None], :, near[..., 0], near[..., 1]]
        wrong = TEMPERATURE * torch.einsum("bpe,bpne->bpn", anchors, vectors)
        own = (near == cells_b[:, :, None]).all(-1)
        wrong = wrong.masked_fill(own, -torch.inf)
        total = torch.cat([right[..., None], wrong], -1).logsumexp(-1)
    each = (total - right) * known
    return each.sum() / known.sum().clamp_min(1)
