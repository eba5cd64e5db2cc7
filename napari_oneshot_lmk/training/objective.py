"""The loss of one step: which points of which images are compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.embeddings import STRIDES, anchors_in_windows
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.sync_batch_norm import shared_statistics
from napari_oneshot_lmk.network.windows import Window
from napari_oneshot_lmk.training.augmentation import TemplateCopies, cut_patches, random_spread
from napari_oneshot_lmk.training.distributed.group import World
from napari_oneshot_lmk.training.first_pass import TEMPLATE, FirstLook
from napari_oneshot_lmk.training.losses import total_loss
from napari_oneshot_lmk.training.methods import LABEL_STAGE, TEMPLATE_STAGE, Batch
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels, adapters_of
from napari_oneshot_lmk.training.task import TrainingTask


@dataclass(frozen=True, eq=False)
class Portion:
    """The part of a step's items that falls to this process.

    Parameters
    ----------
    part : slice
        Never empty: all processes have to take part in what they compute together.
    count : int
        Of the whole step's items.
    counted : ndarray, (B,)
        1 for each; 0 where the process is left without, and looks at the first
        item for nothing.
    """

    part: slice
    count: int
    counted: NDArray[np.float32]

    @classmethod
    def of(cls, world: World, count: int) -> Portion:
        """Return a process's portion of ``count`` items."""
        part = world.part(count)
        if part.start == part.stop:
            return cls(slice(0, 1), count, np.zeros(1, np.float32))
        return cls(part, count, np.ones(part.stop - part.start, np.float32))


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with a right place for each landmark.

    Parameters
    ----------
    contents : tuple of str
        What the store knows the images by.
    points_yx : Tensor, (B, K, 2)
        Pixels of the network's grid.
    weights : Tensor, (B, K)
        How much each is believed.
    portion : Portion
        Which of a step's these are.
    """

    contents: tuple[str, ...]
    points_yx: Tensor
    weights: Tensor
    portion: Portion


class ExampleMaker:
    """Makes the examples of this process.

    Parameters
    ----------
    task, look, copies
        What is trained on.
    rows : sequence of int
        The landmarks of the network, among the template's.
    """

    def __init__(
        self,
        task: TrainingTask,
        look: FirstLook,
        copies: TemplateCopies | None,
        rows: Sequence[int],
    ) -> None:
        self._task, self._look, self._copies = task, look, copies
        self._rows = list(rows)
        self._copied: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def copies(self, plan: Batch) -> Examples:
        """Train-Template: copies whose landmarks are known exactly."""
        assert self._copies is not None
        rows = [self._rows[k] for k in plan.landmarks]
        portion = Portion.of(self._task.world, len(plan.copies))
        own = plan.copies[portion.part]
        found = [self._copy_points(index) for index in own]
        points = np.stack([points[rows] for points, _ in found])
        inside = np.stack([inside[rows] for _, inside in found])
        contents = tuple(self._copies.key(index) for index in own)
        return self._examples(contents, points, inside, portion)

    def _copy_points(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if index not in self._copied:
            assert self._copies is not None
            copy = self._copies.copy(index)
            self._copied[index] = (copy.points_yx.numpy(), copy.inside.numpy())
        return self._copied[index]

    def labelled(self, plan: Batch, labels: PseudoLabels) -> Examples:
        """Train-PL: unlabelled images with where the landmarks seem to be."""
        rows = [self._rows[k] for k in plan.landmarks]
        weights = labels.weights(self._task.preset.labels.weigh)
        portion = Portion.of(self._task.world, len(plan.images))
        own = plan.images[portion.part]
        chosen = np.ix_(own, rows)
        contents = tuple(self._look.images[index].sha256 for index in own)
        return self._examples(contents, labels.points_yx[chosen], weights[chosen], portion)

    def _examples(
        self,
        contents: tuple[str, ...],
        points: NDArray[np.floating],
        weights: NDArray[np.floating] | NDArray[np.bool_],
        portion: Portion,
    ) -> Examples:
        device = self._look.store.device
        weights = weights * portion.counted[:, None]
        return Examples(
            contents,
            torch.from_numpy(np.asarray(points, np.float32)).to(device),
            torch.from_numpy(np.asarray(weights, np.float32)).to(device),
            portion,
        )


READ_CELLS = 4
"""Window around an anchor: the cells on either side of a sub-pixel point."""
MARGIN = 0.1
"""Of a patch, in which CC2D takes no point."""


class Stages:
    """Losses of the three kinds of steps of one network.

    Parameters
    ----------
    task, look, copies
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
        look: FirstLook,
        copies: TemplateCopies | None,
        network: LandmarkNetwork,
        rows: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._task, self._look = task, look
        self._network, self._rows = network, list(rows)
        self._settings = task.preset.loss
        self._dtype = dtype
        self._shown = ExampleMaker(task, look, copies, rows)

    def losses(
        self, plan: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of each stage that a step belongs to.

        Parameters
        ----------
        plan : Batch
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
            return {plan.stage: self._self_supervised(plan.images, generator)}
        examples: dict[str, Examples] = {}
        if plan.copies:
            examples[TEMPLATE_STAGE] = self._shown.copies(plan)
        if plan.images:
            examples[LABEL_STAGE] = self._shown.labelled(plan, labels)
        if self._task.preset.training.anchor == "patch":
            return {
                stage: self._against_patches(shown, plan.landmarks, generator)
                for stage, shown in examples.items()
            }
        return self._against_template(examples, plan.landmarks)

    # -- what it is compared with ------------------------------------------------

    def _against_template(
        self, examples: dict[str, Examples], landmarks: Sequence[int]
    ) -> dict[str, Tensor]:
        """Anchors are the plain template's embeddings, as in detection.

        The template goes through the network together with the images: one pass,
        and batch norms that see what detection will see.
        """
        device = self._look.store.device
        rows = [self._rows[k] for k in landmarks]
        own = torch.from_numpy(self._task.template_points_yx[rows]).float().to(device)
        contents = [TEMPLATE, *(c for shown in examples.values() for c in shown.contents)]
        points = torch.cat([own[None], *(e.points_yx for e in examples.values())])
        windows = self._near(
            self._look.store.batch(contents),
            self._adapters(landmarks),
            points,
            self._settings.window,
            # One template, of which each process holds a copy.
            [1 / self._task.world.size]
            + [c for shown in examples.values() for c in shown.portion.counted],
        )
        anchors = anchors_in_windows(_cut(windows, slice(0, 1)), points[:1])
        losses, first = {}, 1
        for stage, shown in examples.items():
            part = slice(first, first + len(shown.contents))
            losses[stage] = total_loss(
                tuple(level.expand(len(shown.contents), -1, -1) for level in anchors),
                _cut(windows, part),
                shown.points_yx,
                shown.weights,
                STRIDES,
                self._settings,
                self._total(shown.weights),
            )
            first = part.stop
        return losses

    def _against_patches(
        self, shown: Examples, landmarks: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        """Anchors are embeddings in augmented patches around the points (paper)."""
        adapters = self._adapters(landmarks)
        pictures = self._pictures(shown.contents)
        counted = shown.portion.counted.tolist()
        each = []
        for column, adapter in enumerate(adapters):
            # Drawn for all processes, so that they are those of one.
            spread = random_spread(shown.portion.count, generator)
            patches = cut_patches(
                pictures,
                shown.points_yx[:, column],
                self._task.preset.patch,
                spread=spread[shown.portion.part],
            )
            each.append(
                self._patch_anchors(patches.images, [adapter], patches.points_yx[:, None], counted)
            )
        anchors = tuple(torch.cat(level, 1) for level in zip(*each, strict=True))
        maps = self._look.store.batch(shown.contents)
        windows = self._near(maps, adapters, shown.points_yx, self._settings.window, counted)
        return total_loss(
            anchors,
            windows,
            shown.points_yx,
            shown.weights,
            STRIDES,
            self._settings,
            self._total(shown.weights),
        )

    def _self_supervised(self, images: Sequence[int], generator: torch.Generator) -> Tensor:
        """CC2D's first stage: random points of an image and of a patch of it.

        The published code takes one point a patch; several share the patch's pass
        through the encoder.
        """
        preset = self._task.preset
        portion = Portion.of(self._task.world, len(images))
        counted = portion.counted.tolist()
        own = images[portion.part]
        contents = tuple(self._look.images[index].sha256 for index in own)
        pictures = self._pictures(contents)
        size = torch.tensor(pictures.shape[-2:], dtype=torch.float32)
        count, side = preset.training.points, preset.patch.size
        # Drawn for all processes, so that they are those of one.
        middle = torch.rand(len(images), 2, generator=generator) * (size - 1)
        turns = random_spread(len(images), generator)
        patches = cut_patches(
            pictures, middle[portion.part], preset.patch, spread=turns[portion.part]
        )
        spread = torch.rand(len(images), count, 2, generator=generator)
        within = (MARGIN + (1 - 2 * MARGIN) * spread[portion.part]) * (side - 1)
        points = (patches.corners_yx[:, None].cpu() + within).to(pictures.device)
        inside = patches.tracked(points)
        weights = ((inside >= 0) & (inside <= side - 1)).all(-1).float()
        weights *= torch.from_numpy(portion.counted)[:, None].to(weights.device)
        same = [0] * count
        anchors = self._patch_anchors(patches.images, same, inside.clamp(0, side - 1), counted)
        maps = self._look.store.batch(contents)
        windows = self._near(maps, same, points, self._settings.window, counted)
        return total_loss(
            anchors, windows, points, weights, STRIDES, self._settings, self._total(weights)
        )

    def _patch_anchors(
        self, patches: Tensor, adapters: list[int], points_yx: Tensor, counted: Sequence[float]
    ) -> tuple[Tensor, ...]:
        maps = [level.float() for level in self._look.store.encode(patches)]
        windows = self._near(maps, adapters, points_yx, READ_CELLS, counted)
        sub_pixel = self._settings.soft_sigma_cells > 0
        return anchors_in_windows(windows, points_yx, sub_pixel=sub_pixel)

    def _near(
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
            if self._task.world.several
            else nullcontext()
        )
        with statistics, autocast(points_yx.device, self._dtype):
            return self._network.embed_windows(maps, adapters, points_yx, window)

    def _total(self, weights: Tensor) -> Tensor | None:
        """Return each process's part of all weights, where there are several.

        So the average of their losses is the mean over the whole step.
        """
        world = self._task.world
        return world.mean(weights.sum()) if world.several else None

    def _pictures(self, contents: Sequence[str]) -> Tensor:
        pictures = torch.cat([self._look.picture(content) for content in contents])
        return pictures.to(self._look.store.device)

    def _adapters(self, landmarks: Sequence[int]) -> list[int]:
        own = adapters_of(self._network, len(self._rows))
        return [own[k] for k in landmarks]


def _cut(windows: Sequence[Window], part: slice) -> tuple[Window, ...]:
    return tuple(Window(w.embeddings[part], w.origin_yx[part], w.full_shape_yx) for w in windows)
