"""The loss of one step: which points of which images are compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.anchors import STRIDES, anchors_in_windows
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.precision import computing_in
from napari_oneshot_lmk.network.windows import Window
from napari_oneshot_lmk.training.first_look import TEMPLATE, FirstLook
from napari_oneshot_lmk.training.labels import PseudoLabels, adapters_of
from napari_oneshot_lmk.training.losses import total_loss
from napari_oneshot_lmk.training.patches import cut_patches
from napari_oneshot_lmk.training.plan import (
    LABEL_STAGE,
    TEMPLATE_STAGE,
    StepPlan,
)
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.template_copies import TemplateCopies

READ_CELLS = 4
"""Window around an anchor: the cells on either side of a sub-pixel point."""
MARGIN = 0.1
"""Of a patch, in which CC2D takes no point."""


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
    """

    contents: tuple[str, ...]
    points_yx: Tensor
    weights: Tensor


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
        self._task, self._look, self._copies = task, look, copies
        self._network, self._rows = network, list(rows)
        self._settings = task.preset.loss
        self._dtype = dtype
        self._copied: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def losses(
        self, plan: StepPlan, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of each stage that a step belongs to.

        Parameters
        ----------
        plan : StepPlan
            What it reads.
        labels : PseudoLabels
            Of this epoch.
        generator : torch.Generator
            Of the processor, for patches and points.
        """
        if self._task.method == "joint":
            return {plan.stage: self._self_supervised(plan.images, generator)}
        examples: dict[str, Examples] = {}
        if plan.copies:
            examples[TEMPLATE_STAGE] = self._copy_examples(plan)
        if plan.images:
            examples[LABEL_STAGE] = self._label_examples(plan, labels)
        if self._task.preset.training.anchor == "patch":
            return {
                stage: self._against_patches(shown, plan.landmarks, generator)
                for stage, shown in examples.items()
            }
        return self._against_template(examples, plan.landmarks)

    # -- what is shown -----------------------------------------------------------

    def _copy_examples(self, plan: StepPlan) -> Examples:
        """Train-Template: copies whose landmarks are known exactly."""
        assert self._copies is not None
        rows = [self._rows[k] for k in plan.landmarks]
        found = [self._copy_points(index) for index in plan.copies]
        points = np.stack([points[rows] for points, _ in found])
        inside = np.stack([inside[rows] for _, inside in found])
        contents = tuple(self._copies.key(index) for index in plan.copies)
        return self._examples(contents, points, inside)

    def _copy_points(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if index not in self._copied:
            assert self._copies is not None
            copy = self._copies.copy(index)
            self._copied[index] = (copy.points_yx.numpy(), copy.inside.numpy())
        return self._copied[index]

    def _label_examples(self, plan: StepPlan, labels: PseudoLabels) -> Examples:
        """Train-PL: unlabelled images with where the landmarks seem to be."""
        rows = [self._rows[k] for k in plan.landmarks]
        weights = labels.weights(self._task.preset.labels.weigh)
        chosen = np.ix_(plan.images, rows)
        contents = tuple(self._look.images[index].sha256 for index in plan.images)
        return self._examples(contents, labels.points_yx[chosen], weights[chosen])

    def _examples(
        self,
        contents: tuple[str, ...],
        points: NDArray[np.floating],
        weights: NDArray[np.floating] | NDArray[np.bool_],
    ) -> Examples:
        device = self._look.store.device
        return Examples(
            contents,
            torch.from_numpy(np.asarray(points, np.float32)).to(device),
            torch.from_numpy(np.asarray(weights, np.float32)).to(device),
        )

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
        contents = [
            TEMPLATE,
            *(c for shown in examples.values() for c in shown.contents),
        ]
        points = torch.cat([own[None], *(e.points_yx for e in examples.values())])
        windows = self._near(
            self._look.store.batch(contents),
            self._adapters(landmarks),
            points,
            self._settings.window,
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
            )
            first = part.stop
        return losses

    def _against_patches(
        self, shown: Examples, landmarks: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        """Anchors are embeddings in augmented patches around the points (paper)."""
        adapters = self._adapters(landmarks)
        pictures = self._pictures(shown.contents)
        each = []
        for column, adapter in enumerate(adapters):
            patches = cut_patches(
                pictures, shown.points_yx[:, column], self._task.preset.patch, generator
            )
            each.append(
                self._patch_anchors(
                    patches.images, [adapter], patches.points_yx[:, None]
                )
            )
        anchors = tuple(torch.cat(level, 1) for level in zip(*each, strict=True))
        maps = self._look.store.batch(shown.contents)
        windows = self._near(maps, adapters, shown.points_yx, self._settings.window)
        return total_loss(
            anchors, windows, shown.points_yx, shown.weights, STRIDES, self._settings
        )

    def _self_supervised(
        self, images: Sequence[int], generator: torch.Generator
    ) -> Tensor:
        """CC2D's first stage: random points of an image and of a patch of it.

        The published code takes one point a patch; several share the patch's pass
        through the encoder.
        """
        preset = self._task.preset
        contents = tuple(self._look.images[index].sha256 for index in images)
        pictures = self._pictures(contents)
        size = torch.tensor(pictures.shape[-2:], dtype=torch.float32)
        count, side = preset.training.points, preset.patch.size
        middle = torch.rand(len(images), 2, generator=generator) * (size - 1)
        patches = cut_patches(pictures, middle, preset.patch, generator)
        spread = torch.rand(len(images), count, 2, generator=generator)
        within = (MARGIN + (1 - 2 * MARGIN) * spread) * (side - 1)
        points = (patches.corners_yx[:, None].cpu() + within).to(pictures.device)
        inside = patches.tracked(points)
        weights = ((inside >= 0) & (inside <= side - 1)).all(-1).float()
        same = [0] * count
        anchors = self._patch_anchors(patches.images, same, inside.clamp(0, side - 1))
        maps = self._look.store.batch(contents)
        windows = self._near(maps, same, points, self._settings.window)
        return total_loss(anchors, windows, points, weights, STRIDES, self._settings)

    def _patch_anchors(
        self, patches: Tensor, adapters: list[int], points_yx: Tensor
    ) -> tuple[Tensor, ...]:
        maps = [level.float() for level in self._look.store.encode(patches)]
        windows = self._near(maps, adapters, points_yx, READ_CELLS)
        sub_pixel = self._settings.soft_sigma_cells > 0
        return anchors_in_windows(windows, points_yx, sub_pixel=sub_pixel)

    def _near(
        self,
        maps: Sequence[Tensor],
        adapters: Sequence[int],
        points_yx: Tensor,
        window: int,
    ) -> tuple[Window, ...]:
        with computing_in(points_yx.device, self._dtype):
            return self._network.near(maps, adapters, points_yx, window)

    def _pictures(self, contents: Sequence[str]) -> Tensor:
        pictures = torch.cat([self._look.picture(content) for content in contents])
        return pictures.to(self._look.store.device)

    def _adapters(self, landmarks: Sequence[int]) -> list[int]:
        own = adapters_of(self._network, len(self._rows))
        return [own[k] for k in landmarks]


def _cut(windows: Sequence[Window], part: slice) -> tuple[Window, ...]:
    return tuple(
        Window(w.embeddings[part], w.origin_yx[part], w.full_shape_yx) for w in windows
    )
