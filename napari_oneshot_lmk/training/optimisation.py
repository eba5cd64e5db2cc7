"""Steps of the optimiser, in as many pieces as the memory demands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from napari_oneshot_lmk.errors import TrainingError
from napari_oneshot_lmk.training.events import Noted
from napari_oneshot_lmk.training.gradients import StepLosses
from napari_oneshot_lmk.training.memory import is_out_of_memory
from napari_oneshot_lmk.training.plan import StepPlan
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.unit import Unit


class Optimisation:
    """Takes the steps of a training.

    Parameters
    ----------
    task : TrainingTask
        What is trained.
    """

    def __init__(self, task: TrainingTask) -> None:
        self._task = task
        self._pieces = 1

    def step(
        self, unit: Unit, losses_of: StepLosses, plans: Sequence[StepPlan]
    ) -> tuple[dict[str, float], Noted | None]:
        """Take the next step of a unit.

        Parameters
        ----------
        unit : Unit
            Its network learns; its counters stay as they are.
        losses_of : callable
            Gives the losses.
        plans : sequence of StepPlan
            Of the whole epoch.

        Returns
        -------
        losses : dict of str to float
            Of each stage, over all processes.
        note : Noted, optional
            Set where memory ran out: this step and all later ones go in halves.

        Raises
        ------
        TrainingError
            If there is not enough memory even for one image; with several processes,
            for a whole step: they would have to halve it together, and one that has
            failed within a step cannot ask the others, who wait for its gradients.
        """
        unit.set_rate(self._task.preset.training, len(plans))
        plan = plans[unit.step]
        largest = max(len(plan.images), len(plan.copies))
        note = None
        while True:
            try:
                losses = self._gradients(unit, losses_of, plan)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self._task.world.several:
                    raise TrainingError(
                        "there is not enough memory for a step",
                        remedy="use a preset with a smaller batch: several processes "
                        "do not halve their steps",
                    ) from error
            else:
                unit.optimiser.step()
                return self._task.world.means(losses), note
            # Here, where the error no longer holds on to the maps of its attempt.
            unit.optimiser.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if self._pieces >= largest:
                raise TrainingError(
                    "there is not enough memory for a step with one image",
                    remedy="close other programs, or use a preset with a smaller width",
                )
            self._pieces *= 2
            now = math.ceil(largest / self._pieces)
            note = Noted(
                f"Out of memory: steps go on in pieces of {now} image{'s' if now != 1 else ''}.",
                serious=True,
            )

    def _gradients(self, unit: Unit, losses_of: StepLosses, plan: StepPlan) -> dict[str, float]:
        """Leave the gradients of a step in the network, return its losses."""
        unit.optimiser.zero_grad(set_to_none=True)
        generator = torch.Generator().manual_seed(
            hash((self._task.seed, unit.index, unit.epoch, unit.step)) & 0x7FFFFFFF
        )
        sums: dict[str, float] = {}
        pieces = plan.pieces(self._pieces) if self._pieces > 1 else [plan]
        for piece in pieces:
            losses = losses_of(piece, unit.labels, generator)
            total = torch.stack(list(losses.values())).sum() / len(pieces)
            total.backward()  # type: ignore[no-untyped-call]
            for stage, loss in losses.items():
                sums[stage] = sums.get(stage, 0.0) + float(loss.detach()) / len(pieces)
        return sums
