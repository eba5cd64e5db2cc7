"""What runs in a worker that trains: it looks at the images once, then learns."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker

from napari_oneshot_lmk.cluster.presence import Presence
from napari_oneshot_lmk.errors import ClusterError

if TYPE_CHECKING:
    from napari_oneshot_lmk.cluster.recipe import EncoderRecipe
    from napari_oneshot_lmk.training.events import Finished
    from napari_oneshot_lmk.training.task import TrainingTask
    from napari_oneshot_lmk.training.unit_trainer import UnitTrainer

_one_at_a_time = threading.Lock()


class School(WorkerPlugin):
    """Brings a training to every worker, those included that come later.

    Parameters
    ----------
    lesson : TrainingTask
        Without its encoder.
    run : Path
        Folder of the run, as the workers see it.
    recipe : EncoderRecipe
        Of the encoder.
    threads, local
        As for `Presence`.
    """

    def __init__(
        self,
        lesson: TrainingTask,
        run: Path,
        recipe: EncoderRecipe,
        threads: int | None,
        local: bool,
    ) -> None:
        self.lesson, self.run, self.recipe = lesson, run, recipe
        self.presence = Presence(threads, local)
        self._trainer: UnitTrainer | None = None

    def setup(self, worker: Worker) -> None:
        """Get ready; images are looked at when there is something to train."""
        self.presence.begin(worker)

    def trainer(self) -> UnitTrainer:
        """Return the trainer, made at the first time.

        Raises
        ------
        ClusterError
            If this worker does not see the run, or has another encoder.
        """
        from napari_oneshot_lmk.training.run import RunFolder
        from napari_oneshot_lmk.training.unit_trainer import UnitTrainer

        self.presence.use_threads()
        if self._trainer is None:
            run = RunFolder(self.run)
            if not run.run_path.is_file():
                raise ClusterError(
                    f"does not see the run {self.run}",
                    file=self.presence.name,
                    remedy="put it on a file system that all workers share, under the same path",
                )
            task = replace(
                self.lesson,
                encoder=self.recipe.encoder_of(self.presence.name),
                preview_images=lambda: run.preview_images,
            )
            self._trainer = UnitTrainer(task, run, lambda: run.stop_requested)
        return self._trainer


def train_unit(school: str, index: int) -> Finished | None:
    """Train one network, in a worker.

    Parameters
    ----------
    school : str
        Name of the plugin.
    index : int
        Of the network.

    Returns
    -------
    Finished, optional
        None where it was done before, or stopped before the first step.

    Raises
    ------
    OneshotError
        If it cannot be trained here.
    """
    from napari_oneshot_lmk.training.event_log import EventLog
    from napari_oneshot_lmk.training.events import Finished
    from napari_oneshot_lmk.training.run import RunFolder

    at_work: School = get_worker().plugins[school]
    with _one_at_a_time:
        trainer = at_work.trainer()
        unit = RunFolder(at_work.run).unit(index)
        unit.path.mkdir(parents=True, exist_ok=True)
        log = EventLog(unit.events_path)
        end = None
        try:
            for event in trainer.train(index):
                log.append(event)
                if isinstance(event, Finished):
                    end = event
        finally:
            log.close()
    return end
