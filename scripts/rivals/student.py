"""CC2D, second stage: a detector of its own, trained on the first stage's pseudo-labels.

Yao et al., One-Shot Medical Landmark Detection (MICCAI 2021), CC2D-TPL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import SMALLEST_WIDTH
from napari_oneshot_lmk.network.windows import upsample
from rivals.cc2d import CC2D
from rivals.loop import Schedule
from rivals.rival import Rival
from rivals.study import SIDE, Query, Study
from rivals.voting import vote, voting_loss, voting_targets

RADIUS = int(0.05 * SIDE)
"""Of a disc, in network pixels."""
WIDTHS = (256, 128, 64, 128, 64)
"""Output channels of the decoder's blocks, coarse to fine."""


class Up(nn.Module):
    """Double a map, put the encoder's beside it, and convolve twice, with instance norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
            layers += [convolution, nn.InstanceNorm2d(out_channels), nn.ReLU()]
        self.convs = nn.Sequential(*layers)

    def forward(self, coarser: Tensor, skip: Tensor | None, size_yx: tuple[int, int]) -> Tensor:
        """Return the finer map; the last block has nothing to put beside."""
        up = upsample(coarser, size_yx)
        both = up if skip is None else torch.cat([skip, up], 1)
        finer: Tensor = self.convs(both)
        return finer


class VotingNetwork(nn.Module):
    """Heat and offsets of N landmarks at full resolution, from the encoder's five maps."""

    def __init__(self, encoder_channels: Sequence[int], landmarks: int, width: float) -> None:
        super().__init__()
        self.landmarks = landmarks
        widths = [max(SMALLEST_WIDTH, round(each * width)) for each in WIDTHS]
        below = [encoder_channels[-1], *widths[:-1]]
        beside = [*reversed(encoder_channels[:-1]), 0]
        each = zip(below, beside, widths, strict=True)
        self.ups = nn.ModuleList(Up(a + b, out) for a, b, out in each)
        self.head = nn.Conv2d(widths[-1], 3 * landmarks, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits of the heat (B, N, H, W) and offsets (B, N, 2, H, W) in radii."""
        features = maps[-1]
        for up, skip in zip(self.ups, [*reversed(maps[:-1]), None], strict=True):
            height, width = (2 * n for n in features.shape[-2:])
            features = up(features, skip, (height, width))
        seen = self.head(features).float()
        heat, offsets = seen[:, : self.landmarks], seen[:, self.landmarks :]
        return heat, offsets.unflatten(1, (self.landmarks, 2))


class Student(Rival):
    """CC2D-TPL: heat and offsets, from the pseudo-labels of CC2D joint."""

    name = "cc2d-student"
    title = "CC2D with its second stage"
    # 1500 pseudo-labelled images an epoch, three in a step; 90 epochs.
    schedule = Schedule(90 * 500, 4, 3e-4, 1e-4, factor=0.1, parts=3)
    source = "arXiv 2103.04527"

    network: VotingNetwork

    def build(self, trained: Callable[[str], Rival] | None) -> VotingNetwork:
        """Return the network; the first stage is trained before, where it is not yet."""
        assert trained is not None
        self.teacher = trained(CC2D.name)
        channels = self.study.channels
        return VotingNetwork(channels, len(self.study.template_yx), self.options.width)

    def prepare(self, tell: Callable[[int, int], None]) -> None:
        """Have the teacher label the unlabelled images, once."""
        self.labels: dict[int, Tensor] = {}
        for done, index in enumerate(self.study.unlabelled, start=1):
            pixels = self.study.pixels([index])
            self.labels[index] = self.teacher.locate(Query(self.study.template.image, pixels))
            tell(done, len(self.study.unlabelled))

    def loss(self, generator: torch.Generator) -> Tensor:
        """Return the loss on some pseudo-labelled images and the template."""
        places = torch.randperm(len(self.study.unlabelled), generator=generator)[: self.batch - 1]
        chosen = [self.study.unlabelled[int(i)] for i in places]
        pixels = torch.cat([self.study.pixels(chosen), self.study.template_pixels])
        labels = [*(self.labels[i] for i in chosen), self.study.template_yx]
        return step_loss(self.network, self.study, pixels, labels)

    @torch.inference_mode()
    def locate(self, query: Query) -> Tensor:
        """Return the cells that most of the hottest cells vote for."""
        with self.study.autocast():
            heat, offsets = self.network(self.study.kept_maps(query.pixels))
        return vote(heat[0], offsets[0], RADIUS).float()


def step_loss(
    network: VotingNetwork, study: Study, pixels: Tensor, labels: Sequence[Tensor]
) -> Tensor:
    """Return the loss on whole images with their landmarks (N, 2) each."""
    targets = [voting_targets(points, RADIUS, (SIDE, SIDE)) for points in labels]
    disc, way = (torch.stack(each) for each in zip(*targets, strict=True))
    with study.autocast():
        heat, offsets = network(study.kept_maps(pixels))
    return voting_loss(heat, offsets, disc, way)
