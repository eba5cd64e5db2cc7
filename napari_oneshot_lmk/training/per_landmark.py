"""A training with one network per landmark, shared by workers that come and go.

Finished networks are parts in the run's folder, each network under way has a checkpoint of its
own. The model is put together when all parts are there, or when it is stopped, of those that
are. Seeds, steps and checkpoints are those of `trainer.fit`: the result is the same to the
last bit, on the same kind of processor and number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.device import keep_freed_memory
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.lock import LockedError, file_lock
from napari_oneshot_lmk.training.checkpoint import RunCheckpoints
from napari_oneshot_lmk.training.events import (
    EpochEnded,
    Event,
    Finished,
    Noted,
    Stepped,
    read_events,
)
from napari_oneshot_lmk.training.feature_cache import pooled_levels
from napari_oneshot_lmk.training.first_pass import encode_images
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.sharpness import measure_sharpness
from napari_oneshot_lmk.training.state import Clock, trained_model
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.trainer import NOTHING_TRAINED, Trainer, left_to_instant

SECONDS_BETWEEN_TRIES = 0.5

TrainNetworks = Callable[[Sequence[int]], Iterator[Event]]
"""Trains networks, in any order; yields their events, a `Finished` for each."""


Strategy = Callable[[TrainingTask, RunFolder, Callable[[], bool]], Iterator[Event]]
"""Trains a task in a run and leaves the model, in this process or others, until asked to stop;
yields events, of which the last is `Finished` or `Failed`."""


class NetworkTrainer(Trainer):
    """Encodes the images once, then trains one network of a run after another.

    Another process may have opened the run.
    """

    def __init__(self, task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]) -> None:
        keep_freed_memory()
        super().__init__(task, RunCheckpoints(run), should_stop)
        self._run = run
        self._has_encoded = False

    def train(self, index: int) -> Iterator[Event]:
        """Train a network, from the beginning or from its checkpoint.

        Its best parameters are then the run's part of that number. The last event is
        `Finished`; there is none where the network was finished before, or stopped before the
        first step.
        """
        folder = self._run.network(index)
        folder.path.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with file_lock(folder.lock_path):
                    yield from self._train_locked(index)
                    return
            except LockedError:
                # A worker that is believed lost still works on it.
                if self.should_stop():
                    return
                time.sleep(SECONDS_BETWEEN_TRIES)

    def _train_locked(self, index: int) -> Iterator[Event]:
        if self._run.part_path(index).exists():
            return
        if not self._has_encoded:
            for event in encode_images(self.task, self.encoded, self.copies):
                yield event
                if self.should_stop():
                    return
            self._has_encoded = True
        self.sink = RunCheckpoints(self._run, self._run.network(index))
        self.clock = Clock(len(self.task.landmark_groups), self.settings.epochs)
        state = self.new_state(index)
        yield from self.train_network(state, self.sink.load())
        self.sink.save_part(index, state.kept)
        name = self.task.network_name(index)
        yield Finished(name, state.best_epoch, self.should_stop(), self.clock.seconds)


def fit_in_this_process(
    task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]
) -> Iterator[Event]:
    """Go on, in this process, with a run that workers have begun: a `Strategy`."""
    trainer = NetworkTrainer(task, run, should_stop)

    def train(indices: Sequence[int]) -> Iterator[Event]:
        for index in indices:
            if should_stop():
                return
            yield from trainer.train(index)

    yield from fit_per_landmark(task, run, should_stop, train)


def fit_per_landmark(
    task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool], train: TrainNetworks
) -> Iterator[Event]:
    """Train what is missing with ``train``, and put the model together.

    The run was opened by this process. The last event is `Finished`, or `Failed` where nothing
    was trained. Raises `UsageError` if the method trains one network for all landmarks.
    """
    if not task.method.per_landmark:
        raise UsageError(
            f"the method {task.method.name} trains one network, which workers cannot share",
            remedy="use --method single, or train without workers",
        )
    indices = range(len(task.landmark_groups))
    sink = RunCheckpoints(run)
    _move_checkpoint(run, sink)
    missing = [index for index in indices if not run.part_path(index).exists()]
    if before := len(indices) - len(missing):
        yield Noted(f"{before} of {len(indices)} networks were trained before.")
    progress = _Progress(task, missing)
    ended: list[Finished] = []
    for event in train(missing):
        if isinstance(event, Finished):
            ended.append(event)
        else:
            yield progress.timed(event)
    # Workers may have gone on after the process that reads their logs was killed. The run's log
    # drops what is in it already; other events tell of a moment that is over.
    for index in indices:
        logged = read_events(run.network(index).events_path)
        yield from (event for event in logged if isinstance(event, EpochEnded))
    networks = {index: sink.load_part(index) for index in indices if run.part_path(index).exists()}
    if not networks:
        yield NOTHING_TRAINED
        return
    channels = tuple(level.channels for level in pooled_levels(task.encoder))
    epoch = ended[-1].epoch if ended else task.preset.training.epochs
    seconds = sum(end.seconds for end in ended)
    model = trained_model(task, channels, networks, epoch, seconds)
    yield from left_to_instant(model)
    instant = Detector(task.template, task.encoder)
    model = yield from measure_sharpness(model, task, instant, stopped=should_stop())
    sink.save_model(model)
    yield Finished("", epoch, should_stop(), seconds)


def _move_checkpoint(run: RunFolder, sink: RunCheckpoints) -> None:
    """Let a network that one process has begun alone go on as one of several."""
    run.networks_path.mkdir(parents=True, exist_ok=True)
    checkpoint = sink.load()
    if checkpoint is None:
        return
    folder = run.network(int(checkpoint.state["index"]))
    if not folder.checkpoint_path.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            run.checkpoint_path.rename(folder.checkpoint_path)


class _Progress:
    """How long it will take, from what all workers have done together."""

    def __init__(self, task: TrainingTask, indices: Sequence[int]) -> None:
        self._done = {task.network_name(index): 0.0 for index in indices}
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
        return replace(event, seconds_left=left)
