"""The loss of one step: which points of which images are compared with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.embeddings import sample_windows
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.sync_batch_norm import shared_statistics
from napari_oneshot_lmk.network.windows import Window
from napari_oneshot_lmk.training.augmentation import (
    TemplateAugmentation,
    cut_patches,
    random_spread,
)
from napari_oneshot_lmk.training.distributed.group import ProcessGroup
from napari_oneshot_lmk.training.first_pass import TEMPLATE, EncodedImages
from napari_oneshot_lmk.training.losses import total_loss
from napari_oneshot_lmk.training.methods import LABEL_STAGE, TEMPLATE_STAGE, Batch
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels, adapters_of
from napari_oneshot_lmk.training.task import TrainingTask

READ_CELLS = 4
"""Window around an anchor: the cells on either side of a sub-pixel point."""
MARGIN = 0.1
"""Of a patch, in which CC2D takes no point."""

StepLosses = Callable[[Batch, PseudoLabels, torch.Generator], dict[str, Tensor]]
"""Loss of each stage of a step; see `Objective.losses`."""


@dataclass(frozen=True, eq=False)
class Shard:
    """The part of a batch that falls to this process."""

    part: slice  # never empty: all processes have to take part in what they share
    count: int  # of the whole batch
    counted: NDArray[np.float32]  # (B,), 1 each; 0 for a process that is left without

    @classmethod
    def of(cls, group: ProcessGroup, count: int) -> Shard:
        """Return a process's shard; without any item, the first, which counts nothing."""
        part = group.portion(count)
        if part.start == part.stop:
            return cls(slice(0, 1), count, np.zeros(1, np.float32))
        return cls(part, count, np.ones(part.stop - part.start, np.float32))


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with a right place for each landmark."""

    contents: tuple[str, ...]  # keys of the cache
    points_yx: Tensor  # (B, K, 2), pixels of the network's grid
    weights: Tensor  # (B, K), in the loss
    shard: Shard


class Objective:
    """Losses of the three kinds of steps of one network.

    Parameters
    ----------
    task, encoded, copies
        What is trained on.
    network : LandmarkNetwork
        In training mode when `losses` is called.
    rows : sequence of int
        The landmarks it is for, among the template's.
    dtype : torch.dtype
        That the network computes in; losses are always float32.
    """

    def __init__(
        self,
        task: TrainingTask,
        encoded: EncodedImages,
        copies: TemplateAugmentation | None,
        network: LandmarkNetwork,
        rows: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._task, self._encoded, self._copies = task, encoded, copies
        self._network, self._rows = network, list(rows)
        self._settings = task.preset.loss
        self._dtype = dtype
        self._copied: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def losses(
        self, batch: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss of each stage that a step belongs to.

        Parameters
        ----------
        batch : Batch
            What it reads, all processes together.
        labels : PseudoLabels
            Of this epoch.
        generator : torch.Generator
            Of the processor, for patches and points.

        Returns
        -------
        dict of str to Tensor
            Each of them; of several processes their average is the step's loss.
        """
        if self._task.method.self_supervised:
            return {batch.stage: self._self_supervised(batch.images, generator)}
        examples: dict[str, Examples] = {}
        if batch.copies:
            examples[TEMPLATE_STAGE] = self._template_examples(batch)
        if batch.images:
            examples[LABEL_STAGE] = self._label_examples(batch, labels)
        if self._task.preset.training.anchor == "patch":
            return {
                stage: self._against_patches(shown, batch.landmarks, generator)
                for stage, shown in examples.items()
            }
        return self._against_template(examples, batch.landmarks)

    # -- what a step reads ---------------------------------------------------------------

    def _template_examples(self, batch: Batch) -> Examples:
        """Train-Template: augmented templates, whose landmarks are known exactly."""
        assert self._copies is not None
        rows = [self._rows[k] for k in batch.landmarks]
        shard = Shard.of(self._task.group, len(batch.copies))
        local = batch.copies[shard.part]
        found = [self._copy_points(index) for index in local]
        points = np.stack([points[rows] for points, _ in found])
        inside = np.stack([inside[rows] for _, inside in found])
        return self._examples([self._copies.key(i) for i in local], points, inside, shard)

    def _copy_points(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if index not in self._copied:
            assert self._copies is not None
            copy = self._copies.copy(index)
            self._copied[index] = (copy.points_yx.numpy(), copy.inside.numpy())
        return self._copied[index]

    def _label_examples(self, batch: Batch, labels: PseudoLabels) -> Examples:
        """Train-PL: unlabelled images with their pseudo-labels."""
        rows = [self._rows[k] for k in batch.landmarks]
        weights = labels.weights(self._task.preset.labels.weigh)
        shard = Shard.of(self._task.group, len(batch.images))
        local = batch.images[shard.part]
        chosen = np.ix_(local, rows)
        contents = [self._encoded.images[index].sha256 for index in local]
        return self._examples(contents, labels.points_yx[chosen], weights[chosen], shard)

    def _examples(
        self,
        contents: Sequence[str],
        points: NDArray[np.floating],
        weights: NDArray[np.floating] | NDArray[np.bool_],
        shard: Shard,
    ) -> Examples:
        device = self._encoded.cache.device
        weights = weights * shard.counted[:, None]
        return Examples(
            tuple(contents),
            torch.from_numpy(np.asarray(points, np.float32)).to(device),
            torch.from_numpy(np.asarray(weights, np.float32)).to(device),
            shard,
        )

    # -- what it is compared with --------------------------------------------------------

    def _against_template(
        self, examples: dict[str, Examples], landmarks: Sequence[int]
    ) -> dict[str, Tensor]:
        """Anchors are the plain template's embeddings, as in detection.

        The template goes through the network together with the images: one pass,
        and batch norms that see what detection will see.
        """
        cache = self._encoded.cache
        rows = [self._rows[k] for k in landmarks]
        own = torch.from_numpy(self._task.template_points_yx[rows]).float().to(cache.device)
        contents = [TEMPLATE, *(c for shown in examples.values() for c in shown.contents)]
        points = torch.cat([own[None], *(e.points_yx for e in examples.values())])
        windows = self._embed(
            cache.batch(contents),
            self._adapters(landmarks),
            points,
            self._settings.window,
            # One template, of which each process holds a copy.
            [1 / self._task.group.size]
            + [c for shown in examples.values() for c in shown.shard.counted],
        )
        anchors = sample_windows(_slice(windows, slice(0, 1)), points[:1])
        losses, first = {}, 1
        for stage, shown in examples.items():
            part = slice(first, first + len(shown.contents))
            losses[stage] = self._loss(
                tuple(level.expand(len(shown.contents), -1, -1) for level in anchors),
                _slice(windows, part),
                shown.points_yx,
                shown.weights,
            )
            first = part.stop
        return losses

    def _against_patches(
        self, shown: Examples, landmarks: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        """Anchors are embeddings in augmented patches around the points (paper)."""
        adapters = self._adapters(landmarks)
        images = self._images(shown.contents)
        counted = shown.shard.counted.tolist()
        each = []
        for column, adapter in enumerate(adapters):
            # Drawn for all processes, so that they are those of one.
            spread = random_spread(shown.shard.count, generator)
            patches = cut_patches(
                images,
                shown.points_yx[:, column],
                self._task.preset.patch,
                spread=spread[shown.shard.part],
            )
            each.append(
                self._patch_anchors(patches.images, [adapter], patches.points_yx[:, None], counted)
            )
        anchors = tuple(torch.cat(level, 1) for level in zip(*each, strict=True))
        maps = self._encoded.cache.batch(shown.contents)
        windows = self._embed(maps, adapters, shown.points_yx, self._settings.window, counted)
        return self._loss(anchors, windows, shown.points_yx, shown.weights)

    def _self_supervised(self, images: Sequence[int], generator: torch.Generator) -> Tensor:
        """CC2D-SSL: random points of an image and of a patch of it.

        The published code takes one point per patch; several share the patch's pass
        through the encoder.
        """
        preset = self._task.preset
        shard = Shard.of(self._task.group, len(images))
        counted = shard.counted.tolist()
        contents = tuple(self._encoded.images[index].sha256 for index in images[shard.part])
        pixels = self._images(contents)
        size = torch.tensor(pixels.shape[-2:], dtype=torch.float32)
        count, side = preset.training.points, preset.patch.size
        # Drawn for all processes, so that they are those of one.
        middle = torch.rand(len(images), 2, generator=generator) * (size - 1)
        turns = random_spread(len(images), generator)
        patches = cut_patches(pixels, middle[shard.part], preset.patch, spread=turns[shard.part])
        spread = torch.rand(len(images), count, 2, generator=generator)
        within = (MARGIN + (1 - 2 * MARGIN) * spread[shard.part]) * (side - 1)
        points = (patches.corners_yx[:, None].cpu() + within).to(pixels.device)
        inside = patches.tracked(points)
        weights = ((inside >= 0) & (inside <= side - 1)).all(-1).float()
        weights *= torch.from_numpy(shard.counted)[:, None].to(weights.device)
        adapters = [0] * count
        anchors = self._patch_anchors(patches.images, adapters, inside.clamp(0, side - 1), counted)
        maps = self._encoded.cache.batch(contents)
        windows = self._embed(maps, adapters, points, self._settings.window, counted)
        return self._loss(anchors, windows, points, weights)

    def _patch_anchors(
        self, patches: Tensor, adapters: list[int], points_yx: Tensor, counted: Sequence[float]
    ) -> tuple[Tensor, ...]:
        maps = [level.float() for level in self._encoded.cache.encode(patches)]
        windows = self._embed(maps, adapters, points_yx, READ_CELLS, counted)
        sub_pixel = self._settings.soft_sigma_cells > 0
        return sample_windows(windows, points_yx, sub_pixel=sub_pixel)

    def _embed(
        self,
        maps: Sequence[Tensor],
        adapters: Sequence[int],
        points_yx: Tensor,
        window: int,
        counted: Sequence[float],
    ) -> tuple[Window, ...]:
        """Embed images of which each counts so much in batch statistics."""
        statistics = (
            shared_statistics(self._network, torch.tensor(counted, device=points_yx.device))
            if self._task.group.is_distributed
            else nullcontext()
        )
        with statistics, autocast(points_yx.device, self._dtype):
            return self._network.embed_windows(maps, adapters, points_yx, window)

    def _loss(
        self,
        anchors: tuple[Tensor, ...],
        windows: tuple[Window, ...],
        points_yx: Tensor,
        weights: Tensor,
    ) -> Tensor:
        # Divided by each process's part of all weights: so the average of their losses
        # is the mean over the whole batch.
        total = self._task.group.mean(weights.sum())
        return total_loss(anchors, windows, points_yx, weights, STRIDES, self._settings, total)

    def _images(self, contents: Sequence[str]) -> Tensor:
        images = torch.cat([self._encoded.image(content) for content in contents])
        return images.to(self._encoded.cache.device)

    def _adapters(self, landmarks: Sequence[int]) -> list[int]:
        own = adapters_of(self._network, len(self._rows))
        return [own[k] for k in landmarks]


def _slice(windows: Sequence[Window], part: slice) -> tuple[Window, ...]:
    return tuple(Window(w.embeddings[part], w.origin_yx[part], w.full_shape_yx) for w in windows)
