"""The training loop: one for joint, single and fused, one for whoever listens.

A generator of events. Everything random in a step depends on the seed and on
where the step stands, and everything else is in the checkpoint: a training that
was killed goes on as if nothing had happened, to the last bit on one processor.
Several processes run the same loop side by side; ``task.world`` is how they agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.device import resolve_precision
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.checkpoint import Checkpoint
from napari_oneshot_lmk.training.clock import Clock
from napari_oneshot_lmk.training.events import EpochEnded, Event, Failed, Finished, Noted, Stepped
from napari_oneshot_lmk.training.feature_store import FeatureStore, pooled_levels
from napari_oneshot_lmk.training.first_look import FirstLook, first_look
from napari_oneshot_lmk.training.gradients import StepLosses, averaged
from napari_oneshot_lmk.training.labels import PseudoLabels, anchors_of, initial_labels, renewed
from napari_oneshot_lmk.training.memory import keep_freed_memory
from napari_oneshot_lmk.training.optimisation import Optimisation
from napari_oneshot_lmk.training.outcome import previews, trained_model
from napari_oneshot_lmk.training.plan import StepPlan, epoch_plan
from napari_oneshot_lmk.training.stages import Stages
from napari_oneshot_lmk.training.task import CheckpointSink, TrainingTask
from napari_oneshot_lmk.training.template_copies import TemplateCopies
from napari_oneshot_lmk.training.unit import Unit

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
        with_copies = task.template_stage and task.method != "joint"
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

    def _plans(self, unit: Unit) -> list[StepPlan]:
        return epoch_plan(
            self.settings,
            (self.task.seed, unit.index, unit.epoch),
            images=len(self.look.images),
            copies=len(self.copies) if self.copies else 0,
            landmarks=len(unit.rows),
            joint=self.task.method == "joint",
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
