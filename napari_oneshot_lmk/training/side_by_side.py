"""A training whose networks do not need one another: each by whoever has time.

Networks that are done lie in the run's folder as parts, those under way have a
checkpoint each. Workers come and go; the model is put together when all parts are
there, or when it is stopped, of those that are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.events import Event, Failed, Finished, Noted, Stepped
from napari_oneshot_lmk.training.feature_store import pooled_levels
from napari_oneshot_lmk.training.outcome import trained_model
from napari_oneshot_lmk.training.run import RunFolder
from napari_oneshot_lmk.training.run_checkpoints import RunCheckpoints
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.unit_trainer import UnitTrainer

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
    if task.method != "single":
        raise UsageError(
            f"the method {task.method} trains one network, which workers cannot share",
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
