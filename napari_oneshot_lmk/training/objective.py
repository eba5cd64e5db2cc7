"""The loss of one step: which points of which images are compared with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.embeddings import sample_windows
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.sync_batch_norm import shared_statistics
from napari_oneshot_lmk.network.windows import Window
from napari_oneshot_lmk.training.augmentation import (
    Copies,
    Patches,
    cut_patches,
    draw_patch_params,
)
from napari_oneshot_lmk.training.distributed.group import ProcessGroup
from napari_oneshot_lmk.training.first_pass import TEMPLATE, EncodedImages
from napari_oneshot_lmk.training.losses import total_loss
from napari_oneshot_lmk.training.methods import LABEL_STAGE, TEMPLATE_STAGE, Batch
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels, adapters_of
from napari_oneshot_lmk.training.task import TrainingTask

N = TypeVar("N", bound=nn.Module)

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
    """Images with a true position for each landmark."""

    shard: Shard
    contents: list[str]  # keys of the cache
    points_yx: Tensor  # (B, K, 2), pixels of the network's grid
    weights: Tensor  # (B, K), in the loss


class StepObjective(Generic[N]):
    """What the losses of one network's steps have in common: which images and points they read.

    The network is in training mode when `losses` is called, ``rows`` are its landmarks as
    indices of the template's. It computes in ``dtype``; losses are always float32.
    """

    def __init__(
        self,
        task: TrainingTask,
        encoded: EncodedImages,
        copies: Copies | None,
        network: N,
        rows: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._task, self._encoded, self._copies = task, encoded, copies
        self._network, self._rows, self._dtype = network, list(rows), dtype
        self._cache, self._device = encoded.cache, encoded.cache.device
        self._copied: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def losses(
        self, batch: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss of each stage that a step belongs to, to be averaged over processes.

        The batch is what all processes read together, the labels are those of this epoch; the
        generator, on the CPU, is for patches and points.
        """
        raise NotImplementedError

    def _stages(self, batch: Batch, labels: PseudoLabels) -> dict[str, Examples]:
        """Return what each stage of a step shows."""
        return {
            stage: self._examples(stage, indices, batch.landmarks, labels)
            for stage, indices in ((TEMPLATE_STAGE, batch.copies), (LABEL_STAGE, batch.images))
            if indices
        }

    def _statistics(self, counted: Sequence[float]) -> AbstractContextManager[None]:
        """Let batch norms see all processes' images, each weighed by ``counted``."""
        if not self._task.group.is_distributed:
            return nullcontext()
        return shared_statistics(self._network, torch.tensor(counted, device=self._device))

    def _examples(
        self, stage: str, indices: tuple[int, ...], landmarks: Sequence[int], labels: PseudoLabels
    ) -> Examples:
        """Read augmented templates with their landmarks, or images with pseudo-labels."""
        rows = [self._rows[k] for k in landmarks]
        shard = Shard.of(self._task.group, len(indices))
        local = indices[shard.part]
        if stage == TEMPLATE_STAGE:
            contents, points, weights = self._read_copies(local, rows)
        else:
            contents = [self._encoded.images[index].sha256 for index in local]
            chosen = np.ix_(local, rows)
            points = labels.points_yx[chosen]
            weights = labels.weights(self._task.preset.labels.weigh)[chosen]
        points_yx, counted = (
            torch.from_numpy(np.asarray(values, np.float32)).to(self._device)
            for values in (points, weights * shard.counted[:, None])
        )
        return Examples(shard, contents, points_yx, counted)

    def _read_copies(
        self, indices: Sequence[int], rows: list[int]
    ) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
        assert self._copies is not None
        for index in indices:
            if index not in self._copied:
                copy = self._copies.copy(index)
                self._copied[index] = (copy.points_yx.numpy(), copy.inside.numpy())
        points, inside = zip(*(self._copied[index] for index in indices), strict=True)
        keys = [self._copies.key(index) for index in indices]
        return keys, np.stack(points)[:, rows], np.stack(inside)[:, rows]


class Objective(StepObjective[LandmarkNetwork]):
    """Contrastive losses of the three kinds of steps of one network."""

    def losses(
        self, batch: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss of each stage, see `StepObjective.losses`."""
        if self._task.method.self_supervised:
            return {batch.stage: self._self_supervised(batch.images, generator)}
        examples = self._stages(batch, labels)
        if self._task.preset.training.anchor == "patch":
            return {
                stage: self._against_patches(shown, batch.landmarks, generator)
                for stage, shown in examples.items()
            }
        return self._against_template(examples, batch.landmarks)

    def _against_template(
        self, examples: dict[str, Examples], landmarks: Sequence[int]
    ) -> dict[str, Tensor]:
        """Anchors are the plain template's embeddings, as in detection.

        The template goes through the network together with the images: one pass,
        and batch norms that see what detection will see.
        """
        rows = [self._rows[k] for k in landmarks]
        own = torch.from_numpy(self._task.template_points_yx[rows]).float().to(self._device)
        contents = [TEMPLATE, *(key for shown in examples.values() for key in shown.contents)]
        points = torch.cat([own[None], *(shown.points_yx for shown in examples.values())])
        # One template, of which each process holds a copy.
        counted = [1 / self._task.group.size]
        counted += [c for shown in examples.values() for c in shown.shard.counted]
        windows = self._embed(
            self._cache.batch(contents), self._adapters(landmarks), points, counted
        )
        anchors = sample_windows(_slice(windows, slice(0, 1)), points[:1])
        losses, first = {}, 1
        for stage, shown in examples.items():
            part = slice(first, first + len(shown.contents))
            expanded = tuple(level.expand(len(shown.contents), -1, -1) for level in anchors)
            own_windows = _slice(windows, part)
            losses[stage] = self._loss(expanded, own_windows, shown.points_yx, shown.weights)
            first = part.stop
        return losses

    def _against_patches(
        self, shown: Examples, landmarks: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        """Anchors are embeddings in augmented patches around the points (paper)."""
        adapters, counted = self._adapters(landmarks), shown.shard.counted.tolist()
        images = self._images(shown.contents)
        each = []
        for column, adapter in enumerate(adapters):
            patches = self._patches(images, shown.points_yx[:, column], shown.shard, generator)
            points = patches.points_yx[:, None]
            each.append(self._patch_anchors(patches.images, [adapter], points, counted))
        anchors = tuple(torch.cat(level, 1) for level in zip(*each, strict=True))
        maps = self._cache.batch(shown.contents)
        windows = self._embed(maps, adapters, shown.points_yx, counted)
        return self._loss(anchors, windows, shown.points_yx, shown.weights)

    def _self_supervised(self, images: Sequence[int], generator: torch.Generator) -> Tensor:
        """CC2D-SSL: random points of an image and of a patch of it.

        The published code takes one point per patch; here several share the patch's pass
        through the encoder.
        """
        count, side = self._task.preset.training.points, self._task.preset.patch.size
        shard = Shard.of(self._task.group, len(images))
        counted = shard.counted.tolist()
        contents = [self._encoded.images[index].sha256 for index in images[shard.part]]
        pixels = self._images(contents)
        size = torch.tensor(pixels.shape[-2:], dtype=torch.float32)
        # Drawn for all processes, so that the numbers are those of a single process.
        centres = torch.rand(len(images), 2, generator=generator) * (size - 1)
        patches = self._patches(pixels, centres[shard.part], shard, generator)
        drawn = torch.rand(len(images), count, 2, generator=generator)[shard.part]
        within = (MARGIN + (1 - 2 * MARGIN) * drawn) * (side - 1)
        points = (patches.corners_yx[:, None].cpu() + within).to(pixels.device)
        inside = patches.tracked(points)
        weights = ((inside >= 0) & (inside <= side - 1)).all(-1).float()
        weights *= torch.from_numpy(shard.counted)[:, None].to(weights.device)
        adapters = [0] * count
        anchors = self._patch_anchors(patches.images, adapters, inside.clamp(0, side - 1), counted)
        windows = self._embed(self._cache.batch(contents), adapters, points, counted)
        return self._loss(anchors, windows, points, weights)

    def _patches(
        self, images: Tensor, points_yx: Tensor, shard: Shard, generator: torch.Generator
    ) -> Patches:
        # Drawn for all processes, so that the numbers are those of a single process.
        params = draw_patch_params(shard.count, generator)[shard.part]
        return cut_patches(images, points_yx, self._task.preset.patch, params)

    def _patch_anchors(
        self, patches: Tensor, adapters: list[int], points_yx: Tensor, counted: Sequence[float]
    ) -> tuple[Tensor, ...]:
        maps = [level.float() for level in self._cache.encode(patches)]
        windows = self._embed(maps, adapters, points_yx, counted, READ_CELLS)
        sub_pixel = self._task.preset.loss.soft_sigma_cells > 0
        return sample_windows(windows, points_yx, sub_pixel=sub_pixel)

    def _embed(
        self,
        maps: Sequence[Tensor],
        adapters: Sequence[int],
        points_yx: Tensor,
        counted: Sequence[float],
        window: int | None = None,
    ) -> tuple[Window, ...]:
        """Embed images in windows; ``counted`` weighs each of them in batch statistics."""
        side = window or self._task.preset.loss.window
        with self._statistics(counted), autocast(points_yx.device, self._dtype):
            return self._network.embed_windows(maps, adapters, points_yx, side)

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
        return total_loss(
            anchors, windows, points_yx, weights, STRIDES, self._task.preset.loss, total
        )

    def _images(self, contents: Sequence[str]) -> Tensor:
        return torch.cat([self._encoded.image(key) for key in contents]).to(self._device)

    def _adapters(self, landmarks: Sequence[int]) -> list[int]:
        own = adapters_of(self._network, len(self._rows))
        return [own[k] for k in landmarks]


def _slice(windows: Sequence[Window], part: slice) -> tuple[Window, ...]:
    return tuple(Window(w.embeddings[part], w.origin_yx[part], w.full_shape_yx) for w in windows)
