"""Who trains: this process, or others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from napari_oneshot_lmk.training.events import Event
from napari_oneshot_lmk.training.run import RunFolder
from napari_oneshot_lmk.training.task import TrainingTask


class Fitting(Protocol):
    """Trains the networks of a task, as `loop.fit` does, and leaves the model."""

    def __call__(
        self, task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]
    ) -> Iterator[Event]:
        """Yield what happens; the last event is `Finished` or `Failed`."""
