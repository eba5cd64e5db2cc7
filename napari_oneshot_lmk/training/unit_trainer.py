"""Trains single networks of a run, whichever it is given, as the loop would.

The same seeds, steps and checkpoints as in `loop.fit`: what comes out is the same to
the last bit, on one kind of processor and as many threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from napari_oneshot_lmk.storage.lock import LockedError, file_lock
from napari_oneshot_lmk.training.clock import Clock
from napari_oneshot_lmk.training.events import Event, Finished
from napari_oneshot_lmk.training.first_look import first_look
from napari_oneshot_lmk.training.loop import Trainer
from napari_oneshot_lmk.training.memory import keep_freed_memory
from napari_oneshot_lmk.training.run import RunFolder
from napari_oneshot_lmk.training.run_checkpoints import RunCheckpoints
from napari_oneshot_lmk.training.task import TrainingTask

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
