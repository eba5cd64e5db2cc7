"""Augmented crops around pseudo-labels and around the template's points: what a step sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.matching.crops import cut_crops, gaussian_targets, pool_image
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.fine_images import Labels
from napari_oneshot_lmk.training.preset import FineSettings
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels

TEMPLATE = -1
"""Index of the template among the images."""


class CropBatch(NamedTuple):
    """Crops of one step."""

    crops: Tensor  # (B, scales, S, S) float32
    landmarks: Tensor  # (B,) int64
    targets: Tensor  # (B, S, S), each with sum 1
    weights: Tensor  # (B,)
    of_template: Tensor  # (B,) bool


class HeldOutCrops(NamedTuple):
    """Crops of augmented copies of the template, whose truth is exact; none is trained on."""

    crops: Tensor  # (B, scales, S, S) float32, those of a landmark one after another
    landmarks: Tensor  # (B,) int64
    offsets_yx: Tensor  # (B, 2) float32, of the landmarks from the centres, in pixels


@dataclass(frozen=True, eq=False)
class CropSampler:
    """Draws the crops of each step; a step's depend on seed, epoch, step and labels alone."""

    settings: FineSettings
    images: Sequence[Tensor]
    """(1, 1, h, w) uint8 on the crop grid, the template last."""
    template_yx: NDArray[np.float64]
    """(N, 2), where the template's landmarks are, as in `Labels`."""
    rows: tuple[int, ...]
    """Which of the N are trained: the network's landmarks."""
    seed: int

    @property
    def factors(self) -> tuple[int, int]:
        """Magnifications of a crop's channels."""
        return 1, self.settings.wider

    @cached_property
    def of_template(self) -> int:
        """Crops of the template in a step, at least one where there is a share of them."""
        return math.ceil(self.settings.template_share * self.settings.batch)

    @cached_property
    def _wide(self) -> list[Tensor]:
        """The images averaged over squares of the coarsest channel's pixels, in 0..1."""
        return [pool_image(image.float() / 255, (max(self.factors),))[0] for image in self.images]

    def pairs(self, first: int, count: int) -> NDArray[np.int64]:
        """Return some (image, landmark) pairs, (count, 2), counted from the first of the training.

        Each pair comes once before any comes again, in an order that is always another.
        """
        every = np.indices((len(self.images) - 1, len(self.rows))).reshape(2, -1).T
        rounds = range(first // len(every), (first + count - 1) // len(every) + 1)
        orders = [
            random_stream(self.seed, Stream.CROPS, each, 0).permutation(every) for each in rounds
        ]
        begin = first - rounds[0] * len(every)
        return np.asarray(np.concatenate(orders)[begin : begin + count])

    def batch(
        self, epoch: int, step: int, labels: Labels, spreads_px: NDArray[np.float64] | None = None
    ) -> CropBatch:
        """Return the crops of a step; epochs and their steps are counted from 0.

        ``spreads_px`` are the standard deviations of the targets, one for each of ``rows``; by
        default that of the settings.
        """
        random = random_stream(self.seed, Stream.CROPS, epoch, step + 1)
        size = self.settings.batch - self.of_template
        pairs = self.pairs((epoch * self.settings.epoch_steps + step) * size, size)
        own = random.integers(len(self.rows), size=self.of_template)
        rows = np.array(self.rows)
        among = pairs[:, 0], rows[pairs[:, 1]]
        images = np.concatenate([pairs[:, 0], np.full(self.of_template, TEMPLATE)])
        landmarks = np.concatenate([pairs[:, 1], own])
        trust = PseudoLabels(labels.points_yx, labels.residuals).weights(weigh=True)
        weights = np.concatenate([trust[among], np.ones(self.of_template)])
        points = np.concatenate([labels.points_yx[among], self.template_yx[rows[own]]])
        grey, offsets = self._crops(images, points, random)
        sd_px: float | Tensor = self.settings.target_sd_px
        if spreads_px is not None:
            sd_px = _tensor(spreads_px[landmarks])
        targets = gaussian_targets(offsets, self.settings.side, sd_px)
        return CropBatch(
            grey,
            torch.from_numpy(landmarks),
            targets,
            torch.from_numpy(weights).float(),
            torch.from_numpy(images == TEMPLATE),
        )

    def held_out(self, count: int) -> HeldOutCrops:
        """Return so many crops of the template for each landmark, which no step shows."""
        random = random_stream(self.seed, Stream.HELD_OUT)
        landmarks = np.repeat(np.arange(len(self.rows)), count)
        images = np.full(len(landmarks), TEMPLATE)
        points = self.template_yx[np.array(self.rows)[landmarks]]
        crops, offsets = self._crops(images, points, random)
        return HeldOutCrops(crops, torch.from_numpy(landmarks), offsets)

    def _crops(
        self, images: NDArray[np.int64], points: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return augmented crops, and the offsets (B, 2) of the points from their centres."""
        drawn = self._draw(len(images), random)
        crops, offsets = [], []
        for image, point, jitter, turn in zip(
            images, points, drawn.jitter, drawn.turns, strict=True
        ):
            place = torch.from_numpy(point * self.images[image].shape[-2:] - 0.5).float()
            crops.append(self._cut(image, place + jitter, turn))
            offsets.append(torch.linalg.solve(turn, -jitter))
        return drawn.change_grey(torch.cat(crops)), torch.stack(offsets)

    def _cut(self, image: int, centre_yx: Tensor, turn: Tensor) -> Tensor:
        """Cut one crop, (1, scales, S, S), from the part of an image that it needs."""
        side, factors = self.settings.side, self.factors
        # The turned square of the coarsest channel fits into this; whole cells of it.
        coarsest = max(factors)
        reach = math.ceil(side * coarsest * (1 + self.settings.scale) / math.sqrt(2)) + coarsest
        near = centre_yx.int().tolist()
        first = [max(0, at - reach) // coarsest * coarsest for at in near]
        last = [max(start + coarsest, at + reach) for start, at in zip(first, near, strict=True)]
        rows, columns = (slice(start, end) for start, end in zip(first, last, strict=True))
        part = self.images[image][..., rows, columns].float() / 255
        cells = [
            slice(start // coarsest, -(-end // coarsest))
            for start, end in zip(first, last, strict=True)
        ]
        wide = self._wide[image][..., cells[0], cells[1]]
        centre = centre_yx - torch.tensor(first, dtype=torch.float32)
        return cut_crops((part, wide), factors, centre[None], side, turn[None])

    def _draw(self, count: int, random: np.random.Generator) -> _Drawn:
        ranges = self.settings
        jitter = random.uniform(-ranges.jitter_px, ranges.jitter_px, (count, 2))
        angles = np.radians(random.uniform(-ranges.rotation_deg, ranges.rotation_deg, count))
        zooms = 1 + ranges.scale * random.uniform(-1, 1, count)
        cosine, sine = np.cos(angles), np.sin(angles)
        turns = np.array([[cosine, -sine], [sine, cosine]]).transpose(2, 0, 1)
        low, high = np.log(ranges.gamma)
        gamma = np.exp(random.uniform(low, high, count))
        contrast = 1 + ranges.contrast * random.uniform(-1, 1, count)
        noise = ranges.noise * random.uniform(0, 1, count)
        return _Drawn(
            _tensor(jitter),
            _tensor(turns / zooms[:, None, None]),
            _tensor(gamma),
            _tensor(contrast),
            _tensor(noise),
            torch.Generator().manual_seed(int(random.integers(2**31))),
        )


class _Drawn(NamedTuple):
    """What is random in a step's crops."""

    jitter: Tensor  # (B, 2) pixels of the grid, from the point to the crop's centre
    turns: Tensor  # (B, 2, 2), from offsets in the crop to offsets in the image
    gamma: Tensor  # (B,)
    contrast: Tensor  # (B,)
    noise: Tensor  # (B,)
    generator: torch.Generator

    def change_grey(self, crops: Tensor) -> Tensor:
        """Change grey values in 0..1: exponent, contrast about the mean, noise."""
        gamma, contrast, noise = (
            each[:, None, None, None] for each in (self.gamma, self.contrast, self.noise)
        )
        grey = crops.clamp_min(0) ** gamma
        mean = grey.mean((1, 2, 3), keepdim=True)
        grey = mean + contrast * (grey - mean)
        return grey + noise * torch.randn(grey.shape, generator=self.generator)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
