"""One network per landmark, trained by the workers of a cluster.

The run's folder lies where all of them see it: a worker reads images, keeps its
checkpoint and logs what happens there. A worker that is lost costs what it has done
since its checkpoint; whoever takes over goes on from it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker

from napari_oneshot_lmk.cluster.client import EncoderSpec, LostWorkers, WorkerSetup, connect
from napari_oneshot_lmk.errors import ClusterError, TrainingError
from napari_oneshot_lmk.training.events import Event, EventLog, Finished, Noted, read_some
from napari_oneshot_lmk.training.per_landmark import NetworkTrainer, fit_per_landmark
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.task import TrainingTask

if TYPE_CHECKING:
    from distributed import Future

    from napari_oneshot_lmk.cluster.client import Connection

SECONDS_BETWEEN_POLLS = 0.3
MOST_EVENTS = 1000

_one_at_a_time = threading.Lock()


class TrainerPlugin(WorkerPlugin):
    """Brings a training to every worker, those included that come later.

    The task comes without its encoder, which each worker builds.
    """

    def __init__(
        self,
        task: TrainingTask,
        run: Path,
        encoder: EncoderSpec,
        threads: int | None,
        local: bool,
    ) -> None:
        self.task, self.run, self.encoder = task, run, encoder
        self.worker = WorkerSetup(threads, local)
        self._trainer: NetworkTrainer | None = None

    def setup(self, worker: Worker) -> None:
        """Set the worker up; images are encoded when there is something to train."""
        self.worker.begin(worker)

    def trainer(self) -> NetworkTrainer:
        """Return the trainer, made at the first time; raise `ClusterError` if it cannot be."""
        self.worker.use_threads()
        if self._trainer is None:
            run = RunFolder(self.run)
            if not run.run_path.is_file():
                raise ClusterError(
                    f"does not see the run {self.run}",
                    file=self.worker.name,
                    remedy="put it on a file system that all workers share, under the same path",
                )
            task = replace(
                self.task,
                encoder=self.encoder.build(self.worker.name),
                preview_images=lambda: run.preview_images,
            )
            self._trainer = NetworkTrainer(task, run, lambda: run.stop_requested)
        return self._trainer


def train_network(plugin: str, index: int) -> Finished | None:
    """Train one network, in a worker that has the `TrainerPlugin` of this name.

    Returns
    -------
    Finished, optional
        None where it was done before, or stopped before the first step.

    Raises
    ------
    OneshotError
        If it cannot be trained here.
    """
    training: TrainerPlugin = get_worker().plugins[plugin]
    with _one_at_a_time:
        trainer = training.trainer()
        folder = RunFolder(training.run).network(index)
        folder.path.mkdir(parents=True, exist_ok=True)
        end = None
        with closing(EventLog(folder.events_path)) as log:
            for event in trainer.train(index):
                log.append(event)
                if isinstance(event, Finished):
                    end = event
    return end


@dataclass(frozen=True)
class ClusterStrategy:
    """Trains networks side by side: a `Strategy` for `training.train`.

    Parameters
    ----------
    scheduler, workers
        As for `connect`.
    encoder_weights : Path, optional
        As the workers see them.
    device : str
        For the workers.
    """

    scheduler: str | None
    workers: int | None
    encoder_weights: Path | None = None
    device: str = "auto"

    def __call__(
        self, task: TrainingTask, run: RunFolder, should_stop: Callable[[], bool]
    ) -> Iterator[Event]:
        """Train; see `fit_per_landmark`.

        Raises
        ------
        ClusterError
            If there is no cluster, or it cannot do this.
        TrainingError
            If workers die again and again at one landmark.
        """
        encoder = EncoderSpec(self.encoder_weights, self.device, task.encoder.card.identity)

        def train(indices: Sequence[int]) -> Iterator[Event]:
            if not indices:
                return
            with connect(self.scheduler, self.workers) as connection:
                work = _Work(connection, encoder, task, run, should_stop)
                yield from work.events(indices)

        yield from fit_per_landmark(task, run, should_stop, train)


class _Work:
    """Networks that are given out, one to a worker."""

    def __init__(
        self,
        connection: Connection,
        encoder: EncoderSpec,
        task: TrainingTask,
        run: RunFolder,
        should_stop: Callable[[], bool],
    ) -> None:
        self._connection, self._task = connection, task
        self._run, self._should_stop = run, should_stop
        self._out: dict[int, Future] = {}
        self._read: dict[int, int] = {}
        self._name = f"oneshot-lmk-{secrets.token_hex(8)}"
        # What cannot be sent, or is not to be: each worker has its own.
        sent = replace(task, encoder=None, preview_images=None)  # type: ignore[arg-type]
        self._plugin = TrainerPlugin(
            sent, Path(run.path).absolute(), encoder, connection.threads, connection.local
        )

    def events(self, indices: Sequence[int]) -> Iterator[Event]:
        """Give networks out, and yield what is logged of them."""
        client = self._connection.client
        waiting = list(indices)
        lost = LostWorkers(client)
        client.register_plugin(self._plugin, self._name)
        try:
            while waiting or self._out:
                if self._should_stop():
                    # The workers look for the same file.
                    self._run.request_stop()
                    waiting.clear()
                while waiting and len(self._out) < max(1, len(client.nthreads())):
                    self._give(waiting.pop(0))
                for index in self._out:
                    yield from self._logged(index)
                at_work = {future.key: 1 for future in self._out.values()}
                for message in lost.messages(at_work, "network"):
                    yield Noted(message, serious=True)
                yield from self._ended()
                time.sleep(SECONDS_BETWEEN_POLLS)
        finally:
            lost.close()
            if client.status == "running":
                client.cancel(list(self._out.values()), force=True)
                client.unregister_worker_plugin(self._name)

    def _give(self, index: int) -> None:
        path = self._run.network(index).events_path
        # What an earlier session has read stands in the run's log already.
        self._read[index] = path.stat().st_size if path.exists() else 0
        self._out[index] = self._connection.client.submit(
            train_network, self._name, index, pure=False
        )

    def _logged(self, index: int) -> Iterator[Event]:
        path = self._run.network(index).events_path
        while True:
            before = self._read[index]
            events, self._read[index] = read_some(path, before, MOST_EVENTS)
            for _, event in events:
                if not isinstance(event, Finished):
                    yield event
            if self._read[index] == before:
                return

    def _ended(self) -> Iterator[Event]:
        from distributed.scheduler import KilledWorker

        for index in [i for i, future in self._out.items() if future.done()]:
            future = self._out[index]
            if future.status == "finished":
                end = future.result()
                yield from self._logged(index)
                if end is not None:
                    yield end
            elif future.status == "cancelled":
                raise ClusterError(
                    "the scheduler cannot be reached any more",
                    remedy="start it again, and give the same command again to go on",
                )
            else:
                error = future.exception()
                if isinstance(error, KilledWorker):
                    name = self._task.network_name(index)
                    raise TrainingError(
                        f"workers died again and again while they trained {name}",
                        file=self._run.path,
                        remedy="memory may be short there; the same command goes on",
                    )
                raise error
            del self._out[index]
