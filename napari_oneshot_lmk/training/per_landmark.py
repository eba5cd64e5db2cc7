"""A training whose networks do not need one another: each by whoever has time.

Networks that are done lie in the run's folder as parts, those under way have a
checkpoint each. Workers come and go; the model is put together when all parts are
there, or when it is stopped, of those that are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from napari_oneshot_lmk.encoders.device import keep_freed_memory
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.lock import LockedError, file_lock
from napari_oneshot_lmk.training.checkpoint import RunCheckpoints
from napari_oneshot_lmk.training.events import Event, Failed, Finished, Noted, Stepped
from napari_oneshot_lmk.training.feature_cache import pooled_levels
from napari_oneshot_lmk.training.first_pass import first_look
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.state import trained_model
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.trainer import Clock, Trainer


class Fitting(Protocol):
    """Trains the networks of a task, as `loop.fit` does, and leaves the model."""

    def __call__(
        self, task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]
    ) -> Iterator[Event]:
        """Yield what happens; the last event is `Finished` or `Failed`."""


SECONDS_BETWEEN_TRIES = 0.5


class UnitTrainer(Trainer):
    """Looks at the images once, then trains one network after another.

    Parameters
    ----------
    task : TrainingTask
        All networks of the run.
    run : RunFolder
        Where their checkpoints and parts go. Another process may have taken it up.
    should_stop : callable
        As for `fit`.
    """

    def __init__(self, task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]) -> None:
        keep_freed_memory()
        super().__init__(task, RunCheckpoints(run), should_stop)
        self._run = run
        self._has_looked = False

    def train(self, index: int) -> Iterator[Event]:
        """Train a network, from the beginning or from its checkpoint.

        Its best parameters are then the run's part of that number. A part that is
        there already is left as it is.

        Parameters
        ----------
        index : int
            Of the task's units.

        Yields
        ------
        Event
            The last is `Finished`; there is none where it was stopped before the
            first step, or was done before.
        """
        unit_folder = self._run.unit(index)
        unit_folder.path.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with file_lock(unit_folder.lock_path):
                    yield from self._claimed(index)
                    return
            except LockedError:
                # Somebody who is believed lost still works on it.
                if self.should_stop():
                    return
                time.sleep(SECONDS_BETWEEN_TRIES)

    def _claimed(self, index: int) -> Iterator[Event]:
        if self._run.part_path(index).exists():
            return
        if not self._has_looked:
            for event in first_look(self.task, self.look, self.copies):
                yield event
                if self.should_stop():
                    return
            self._has_looked = True
        self.sink = RunCheckpoints(self._run, self._run.unit(index))
        self.clock = Clock(len(self.task.units), self.settings.epochs)
        unit = self._begun(index)
        checkpoint = self.sink.load()
        if checkpoint is None:
            self._save(unit)
        else:
            unit.restore(checkpoint.tensors, checkpoint.state)
            self.clock.restore(checkpoint.state["clock"])
        if unit.processes != self.task.world.size:
            yield self._regrouped(unit)
        yield from self._trained(unit)
        self.sink.save_part(index, unit.best, unit.best_epoch)
        name = self.task.unit_name(index)
        yield Finished(name, unit.best_epoch, self.should_stop(), self.clock.seconds)


Training = Callable[[Sequence[int]], Iterator[Event]]
"""Trains networks, in any order; yields their events, a `Finished` for each."""


def fit_here(
    task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]
) -> Iterator[Event]:
    """Go on, in this process, with a run that was begun side by side.

    Parameters
    ----------
    task : TrainingTask
        Of the method ``"single"``.
    run : RunFolder
        Taken up by this process.
    should_stop : callable
        As for `fit`.
    """
    trainer = UnitTrainer(task, run, should_stop)

    def train(units: Sequence[int]) -> Iterator[Event]:
        for index in units:
            if should_stop():
                return
            yield from trainer.train(index)

    yield from fit_side_by_side(task, run, should_stop, train)


def fit_side_by_side(
    task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool], train: Training
) -> Iterator[Event]:
    """Train what is missing, and put the model together.

    Parameters
    ----------
    task : TrainingTask
        Of the method ``"single"``.
    run : RunFolder
        Taken up by this process.
    should_stop : callable
        As for `fit`.
    train : callable
        Trains the networks with these numbers.

    Yields
    ------
    Event
        The last is `Finished`, or `Failed` where nothing was trained.

    Raises
    ------
    UsageError
        If the networks of the method need one another.
    """
    if not task.method.per_landmark:
        raise UsageError(
            f"the method {task.method.name} trains one network, which workers cannot share",
            remedy="use --method single, or train without workers",
        )
    _take_over_checkpoint(run)
    missing = [i for i in range(len(task.units)) if not run.part_path(i).exists()]
    before = len(task.units) - len(missing)
    if before:
        yield Noted(f"{before} of {len(task.units)} networks were trained before.")
    progress = _Progress(task, missing)
    ended: list[Finished] = []
    for event in train(missing):
        if isinstance(event, Finished):
            ended.append(event)
        else:
            yield progress.timed(event)
    states = {
        index: RunCheckpoints(run).load_part(index)
        for index in range(len(task.units))
        if run.part_path(index).exists()
    }
    if not states:
        yield Failed("Stopped before the first step: nothing was trained. Start it again to go on.")
        return
    channels = tuple(level.channels for level in pooled_levels(task.encoder))
    epoch = ended[-1].epoch if ended else task.preset.training.epochs
    seconds = sum(end.seconds for end in ended)
    model = trained_model(task, channels, states, epoch, seconds)
    RunCheckpoints(run).save_model(model)
    yield Finished("", epoch, should_stop(), seconds)


def _take_over_checkpoint(run: RunFolder) -> None:
    """Let a network that one process has begun alone go on as one of several."""
    run.units_path.mkdir(parents=True, exist_ok=True)
    checkpoint = RunCheckpoints(run).load()
    if checkpoint is None:
        return
    unit = run.unit(int(checkpoint.state["index"]))
    if unit.checkpoint_path.exists():
        return
    unit.path.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        run.checkpoint_path.rename(unit.checkpoint_path)


class _Progress:
    """How long it will take, from what all of them have done together."""

    def __init__(self, task: TrainingTask, units: Sequence[int]) -> None:
        self._done = {task.unit_name(index): 0.0 for index in units}
        self._first: tuple[float, float] | None = None

    def timed(self, event: Event) -> Event:
        """Return the event with the time left until all is trained."""
        if not isinstance(event, Stepped) or event.model not in self._done:
            return event
        epochs = event.epoch - 1 + event.step / event.steps
        self._done[event.model] = epochs / event.epochs
        now = (time.monotonic(), sum(self._done.values()))
        self._first = self._first or now
        seconds, part = now[0] - self._first[0], now[1] - self._first[1]
        left = None if part <= 0 else seconds * (len(self._done) - now[1]) / part
        return Stepped(
            event.model, event.epoch, event.epochs, event.step, event.steps, event.loss, left
        )
