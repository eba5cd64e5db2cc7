"""Gradients of a network that several processes train together."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.labels import PseudoLabels
from napari_oneshot_lmk.training.plan import StepPlan
from napari_oneshot_lmk.training.task import TrainingTask

StepLosses = Callable[[StepPlan, PseudoLabels, torch.Generator], dict[str, Tensor]]
"""Loss of each stage of a step; see `Stages.losses`."""


class _Step(nn.Module):
    """A whole step as one forward pass.

    DistributedDataParallel follows what is called through `forward`; the loss of a
    step calls `LandmarkNetwork.near`, and that more than once.
    """

    def __init__(self, network: LandmarkNetwork, losses: StepLosses) -> None:
        super().__init__()
        self.network = network
        self._losses = losses

    def forward(
        self, plan: StepPlan, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self._losses(plan, labels, generator)


def averaged(task: TrainingTask, network: LandmarkNetwork, losses: StepLosses) -> StepLosses:
    """Let gradients of losses be those of all processes, averaged.

    Parameters
    ----------
    task : TrainingTask
        What is trained, and by whom.
    network : LandmarkNetwork
        Its parameters become the leader's.
    losses : callable
        Computed with the network.

    Returns
    -------
    callable
        The same losses; where there is but one process, the very same function.
    """
    if not task.world.several:
        return losses
    # Of 1 x 1 convolutions, whose strides say nothing; it is about speed alone.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    parallel: StepLosses = DistributedDataParallel(
        _Step(network, losses),
        # Adapters of landmarks that a step does not see have no gradient and make
        # no step, as in one process.
        find_unused_parameters=len(network.adapters) > 1 and not task.preset.training.together,
    )
    return parallel
