"""What a step shows a network: images with a right place for each landmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.training.first_look import FirstLook
from napari_oneshot_lmk.training.labels import PseudoLabels
from napari_oneshot_lmk.training.plan import StepPlan
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.template_copies import TemplateCopies
from napari_oneshot_lmk.training.world import World


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

    def copies(self, plan: StepPlan) -> Examples:
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

    def labelled(self, plan: StepPlan, labels: PseudoLabels) -> Examples:
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
