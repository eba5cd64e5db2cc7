"""The training loop: one for joint, single and fused, one for whoever listens.

A generator of events. Everything random in a step depends on the seed and on
where the step stands, and everything else is in the checkpoint: a training that
was killed goes on as if nothing had happened, to the last bit on one processor.
Several processes run the same loop side by side; ``task.world`` is how they agree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.device import (
    is_out_of_memory,
    keep_freed_memory,
    resolve_precision,
)
from napari_oneshot_lmk.errors import TrainingError
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.augmentation import TemplateCopies
from napari_oneshot_lmk.training.checkpoint import Checkpoint
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.distributed.shared import StepLosses, averaged
from napari_oneshot_lmk.training.events import EpochEnded, Event, Failed, Finished, Noted, Stepped
from napari_oneshot_lmk.training.feature_cache import FeatureStore, pooled_levels
from napari_oneshot_lmk.training.first_pass import FirstLook, first_look
from napari_oneshot_lmk.training.methods import Batch
from napari_oneshot_lmk.training.objective import Stages
from napari_oneshot_lmk.training.pseudo_labels import (
    PseudoLabels,
    anchors_of,
    initial_labels,
    renewed,
)
from napari_oneshot_lmk.training.state import Unit, previews, trained_model
from napari_oneshot_lmk.training.task import CheckpointSink, TrainingTask

SLOWLY = 0.1
"""Weight of the newest step in the running mean."""


class Clock:
    """Counts working time over all sessions of a run.

    Parameters
    ----------
    units : int
        Networks that are trained one after the other.
    epochs : int
        Of each.
    """

    def __init__(self, units: int, epochs: int) -> None:
        self._units, self._epochs = units, epochs
        self._before = 0.0
        self._begun = self._saved = self._epoch_begun = time.monotonic()
        self._step_s: float | None = None
        self._infer_s: float | None = None

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return self._before + time.monotonic() - self._begun

    @property
    def since_saved(self) -> float:
        """Seconds since the newest checkpoint."""
        return time.monotonic() - self._saved

    def saved(self) -> None:
        """Note that there is a checkpoint."""
        self._saved = time.monotonic()

    def stepped(self, seconds: float, steps: int) -> None:
        """Note a step's time. The first ones of a process are not like the rest."""
        known = self._step_s
        mean = seconds if known is None else known + SLOWLY * (seconds - known)
        self._step_s = min(mean, seconds) if known is None or steps < 3 else mean

    def inferred(self, seconds: float) -> None:
        """Note how long new pseudo-labels took."""
        self._infer_s = seconds

    def epoch_seconds(self) -> float:
        """Return the time since the last epoch's end."""
        now = time.monotonic()
        taken, self._epoch_begun = now - self._epoch_begun, now
        return taken

    def left(self, unit: int, epoch: int, step: int, steps: int) -> float | None:
        """Return the seconds until all is trained, as far as one can know.

        Parameters
        ----------
        unit, epoch : int
            Those that run, from 0.
        step, steps : int
            Done of how many in the epoch.
        """
        if self._step_s is None:
            return None
        # Until it was seen once: new labels take about half as long as the steps.
        infer = self._infer_s if self._infer_s is not None else steps * self._step_s / 2
        epoch_s = steps * self._step_s + infer
        epochs = self._epochs - epoch + (self._units - unit - 1) * self._epochs
        return epochs * epoch_s - step * self._step_s

    def state(self) -> dict[str, float]:
        """Return what a checkpoint holds."""
        return {"seconds": self.seconds}

    def restore(self, state: dict[str, float]) -> None:
        """Go on counting from a checkpoint."""
        self._before = float(state["seconds"])
        self._begun = time.monotonic()


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
        self, unit: Unit, losses_of: StepLosses, plans: Sequence[Batch]
    ) -> tuple[dict[str, float], Noted | None]:
        """Take the next step of a unit.

        Parameters
        ----------
        unit : Unit
            Its network learns; its counters stay as they are.
        losses_of : callable
            Gives the losses.
        plans : sequence of Batch
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

    def _gradients(self, unit: Unit, losses_of: StepLosses, plan: Batch) -> dict[str, float]:
        """Leave the gradients of a step in the network, return its losses."""
        unit.optimiser.zero_grad(set_to_none=True)
        generator = torch.Generator().manual_seed(
            hash((self._task.seed, unit.index, unit.epoch, unit.step)) & 0x7FFFFFFF
        )
        sums: dict[str, float] = {}
        pieces = plan.split(self._pieces) if self._pieces > 1 else [plan]
        for piece in pieces:
            losses = losses_of(piece, unit.labels, generator)
            total = torch.stack(list(losses.values())).sum() / len(pieces)
            total.backward()  # type: ignore[no-untyped-call]
            for stage, loss in losses.items():
                sums[stage] = sums.get(stage, 0.0) + float(loss.detach()) / len(pieces)
        return sums


SECONDS_BETWEEN_CHECKPOINTS = 60.0


def fit(
    task: TrainingTask, checkpoints: CheckpointSink, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Train, from the beginning or from the newest checkpoint.

    Parameters
    ----------
    task : TrainingTask
        What to train.
    checkpoints : CheckpointSink
        Where it is kept.
    should_stop : callable
        Asked at each step and image. Training then ends with the best model so far.
        Of several processes all have to get the same answer.

    Yields
    ------
    Event
        The last is `Finished`, or `Failed` where nothing was trained yet.

    Raises
    ------
    TrainingError
        If not even one image fits into memory.
    """
    keep_freed_memory()
    yield from Trainer(task, checkpoints, should_stop).events()


class Trainer:
    """A training under way; `fit` is the way to it."""

    def __init__(
        self, task: TrainingTask, checkpoints: CheckpointSink, should_stop: Callable[[], bool]
    ) -> None:
        self.task, self.sink, self.should_stop = task, checkpoints, should_stop
        self.settings = task.preset.training
        with_copies = task.config.template_stage and not task.method.self_supervised
        self.copies = (
            TemplateCopies(task.template, task.preset.template_copies, task.seed)
            if with_copies
            else None
        )
        count = len(task.images) + (len(self.copies) if self.copies else 0) + 1
        store = FeatureStore(
            task.encoder,
            count,
            task.features_folder,
            task.template.image.geometry.network_shape_yx,
            sharers=task.world.local_size,
        )
        self.channels = tuple(level.channels for level in pooled_levels(task.encoder))
        detector = Detector(task.template, task.encoder)
        self.look = FirstLook(store, task.images.usable, detector)
        self.clock = Clock(len(task.units), self.settings.epochs)
        self.optimisation = Optimisation(task)
        self.dtype = resolve_precision(store.device, self.settings.precision)
        task.world.check_alike("the precision", str(self.dtype))

    def events(self) -> Iterator[Event]:
        """Everything from the first image to the model."""
        needed = self.look.store.bytes_needed(len(self.look.images))
        where = "memory" if self.look.store.in_memory else "files"
        yield Noted(f"Features of the images: {needed / 1e9:.1f} GB, kept in {where}.")
        for event in first_look(self.task, self.look, self.copies):
            yield event
            if self.should_stop():
                yield Failed(
                    "Stopped before the first step: nothing was trained. Start it again to go on."
                )
                return
        done, unit = self._where_we_were()
        if unit.processes != self.task.world.size:
            yield self._regrouped(unit)
        while unit is not None:
            yield from self._trained(unit)
            done[unit.index] = unit.best
            stopped = self.should_stop()
            last = unit.index + 1 == len(self.task.units)
            if stopped or last:
                break
            self.sink.save_part(unit.index, unit.best, unit.best_epoch)
            unit = self._begun(unit.index + 1)
            self._save(unit)
        assert unit is not None
        stopped = self.should_stop()
        seconds = self.clock.seconds
        model = trained_model(self.task, self.channels, done, unit.best_epoch, seconds)
        self.sink.save_model(model)
        yield Finished("", unit.best_epoch, stopped, seconds)

    # -- units -------------------------------------------------------------------

    def _where_we_were(self) -> tuple[dict[int, dict[str, Tensor]], Unit]:
        checkpoint = self.sink.load()
        if checkpoint is None:
            unit = self._begun(0)
            self._save(unit)
            return {}, unit
        index = int(checkpoint.state["index"])
        unit = self._begun(index)
        unit.restore(checkpoint.tensors, checkpoint.state)
        self.clock.restore(checkpoint.state["clock"])
        return {i: self.sink.load_part(i) for i in range(index)}, unit

    def _begun(self, index: int) -> Unit:
        labels = initial_labels(self.task, self.look)
        return Unit.begin(self.task, index, self.channels, labels)

    def _regrouped(self, unit: Unit) -> Noted:
        """Go on with another number of processes: steps are no longer the same."""
        before, now = unit.processes, self.task.world.size
        batch = self.settings.batch
        unit.regroup(now)
        return Noted(
            f"Begun with a step of {before * batch} images ({before} x {batch}), goes "
            f"on with {now * batch} ({now} x {batch}); epoch {unit.epoch + 1} begins "
            "again.",
            serious=True,
        )

    def _save(self, unit: Unit) -> None:
        tensors, state = unit.tensors_and_state()
        state |= {"index": unit.index, "clock": self.clock.state()}
        self.sink.save(Checkpoint(unit.epoch, unit.step, tensors, state))
        self.clock.saved()

    # -- epochs ------------------------------------------------------------------

    def _trained(self, unit: Unit) -> Iterator[Event]:
        """Train one network to its end, or until asked to stop."""
        stages = Stages(self.task, self.look, self.copies, unit.network, unit.rows, self.dtype)
        losses_of = averaged(self.task, unit.network, stages.losses)
        while unit.epoch < self.settings.epochs:
            yield from self._steps(unit, losses_of)
            if not self.should_stop():
                yield from self._epoch_end(unit)
            if self.should_stop():
                # Stopped within the first epoch: better this network than none.
                if not unit.best:
                    unit.keep()
                return

    def _steps(self, unit: Unit, losses_of: StepLosses) -> Iterator[Event]:
        plans = self._plans(unit)
        unit.network.train()
        while unit.step < len(plans):
            if self.should_stop():
                return
            started = time.monotonic()
            losses, note = self.optimisation.step(unit, losses_of, plans)
            if note is not None:
                yield note
            unit.add(losses)
            unit.step += 1
            self.clock.stepped(time.monotonic() - started, len(plans))
            if self.clock.since_saved > SECONDS_BETWEEN_CHECKPOINTS:
                self._save(unit)
            yield Stepped(
                self.task.unit_name(unit.index),
                unit.epoch + 1,
                self.settings.epochs,
                unit.step,
                len(plans),
                sum(losses.values()),
                self.clock.left(unit.index, unit.epoch, unit.step, len(plans)),
            )

    def _plans(self, unit: Unit) -> list[Batch]:
        return self.task.method.batches(
            self.settings,
            random_stream(self.task.seed, Stream.BATCHES, unit.index, unit.epoch),
            images=len(self.look.images),
            copies=len(self.copies) if self.copies else 0,
            landmarks=len(unit.rows),
            processes=self.task.world.size,
        )

    def _epoch_end(self, unit: Unit) -> Iterator[Event]:
        """Infer-PL, the criterion, the checkpoint and the previews."""
        started = time.monotonic()
        losses = unit.mean_losses
        labels = self._new_labels(unit)
        if labels is None:
            return
        agreements = labels.agreements(unit.rows)
        shape = self.look.shape
        shift = labels.shift(unit.labels, shape.pixel_size_yx.numpy())
        due = (unit.epoch + 1) % self.task.preset.labels.renew_every == 0
        best = unit.end_epoch(labels if due else unit.labels, agreements, self.settings.selection)
        self.clock.inferred(time.monotonic() - started)
        self._save(unit)
        known = self.task.template.image.geometry.spacing_mm_yx is not None
        yield EpochEnded(
            self.task.unit_name(unit.index),
            unit.epoch,
            self.settings.epochs,
            losses,
            shift,
            "mm" if known else "px",
            float(agreements.mean()) * float(shape.size),
            best,
            self.clock.epoch_seconds(),
        )
        yield from previews(self.task, self.channels, unit)

    def _new_labels(self, unit: Unit) -> PseudoLabels | None:
        """Infer-PL over all images, in turns; None if asked to stop meanwhile."""
        network: LandmarkNetwork = unit.network.eval()
        with torch.inference_mode():
            anchors = anchors_of(self.task, self.look, network, unit.rows)
        world, count = self.task.world, len(self.look.images)
        renewals = (
            renewed(
                self.task, self.look, network, unit.rows, unit.labels, index, anchors, self.dtype
            )
            for index in world.turns(range(count))
        )
        points, residuals = [], []
        for found, away in world.all_of(count, renewals):
            points.append(found)
            residuals.append(away)
            if len(points) < count and self.should_stop():
                return None
        return PseudoLabels(np.stack(points), np.stack(residuals))
