"""One network per landmark, trained by the workers of a cluster.

The run's folder is on a file system that all of them share: a worker reads images, keeps its
checkpoint and logs its events there. If a worker is lost, another goes on from its checkpoint.
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
    """Sends a training to every worker, including those that join later.

    The task is sent without its encoder, which each worker builds.
    """

    def __init__(
        self, task: TrainingTask, run: Path, encoder: EncoderSpec, worker: WorkerSetup
    ) -> None:
        self.task, self.run, self.encoder, self.worker = task, run, encoder, worker
        self._trainer: NetworkTrainer | None = None

    def setup(self, worker: Worker) -> None:
        """Set the worker up; images are encoded at the first network."""
        self.worker.begin(worker)

    def trainer(self) -> NetworkTrainer:
        """Return the trainer, made at the first call; raise `ClusterError` if it cannot be."""
        self.worker.use_threads()
        if self._trainer is None:
            run = RunFolder(self.run)
            if not run.run_path.is_file():
                what = f"does not see the run {self.run}"
                remedy = "put it on a file system that all workers share, under the same path"
                raise ClusterError(what, file=self.worker.name, remedy=remedy)
            task = replace(
                self.task,
                encoder=self.encoder.build(self.worker.name),
                preview_images=lambda: run.preview_images,
            )
            self._trainer = NetworkTrainer(task, run, lambda: run.stop_requested)
        return self._trainer


def train_network(plugin: str, index: int) -> Finished | None:
    """Train one network, in a worker that has the `TrainerPlugin` of this name.

    Returns None where it was done before, or stopped before the first step. Raises
    `OneshotError` if it cannot be trained here.
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
    """Trains networks in parallel: a `Strategy` for `training.train`."""

    scheduler: str | None
    """As for `connect`."""
    workers: int | None
    encoder_weights: Path | None = None
    """As the workers see them."""
    device: str = "auto"
    """Of the workers."""

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
    """Networks that are submitted, one per worker."""

    def __init__(
        self,
        connection: Connection,
        encoder: EncoderSpec,
        task: TrainingTask,
        run: RunFolder,
        should_stop: Callable[[], bool],
    ) -> None:
        self._client, self._task = connection.client, task
        self._run, self._should_stop = run, should_stop
        self._out: dict[int, Future] = {}
        self._read: dict[int, int] = {}
        """Bytes of each network's log that have been read."""
        self._name = f"oneshot-lmk-{secrets.token_hex(8)}"
        # Without what each worker has its own of.
        sent = replace(task, encoder=None, preview_images=None)  # type: ignore[arg-type]
        worker = WorkerSetup(connection.threads, connection.local)
        self._plugin = TrainerPlugin(sent, run.path.absolute(), encoder, worker)

    def events(self, indices: Sequence[int]) -> Iterator[Event]:
        """Submit networks, and yield what is logged of them."""
        client = self._client
        waiting = list(indices)
        lost = LostWorkers(client)
        client.register_plugin(self._plugin, self._name)
        try:
            while waiting or self._out:
                if self._should_stop():
                    # For the workers.
                    self._run.request_stop()
                    waiting.clear()
                while waiting and len(self._out) < max(1, len(client.nthreads())):
                    index = waiting.pop(0)
                    # What an earlier session has read is in the run's log already.
                    log = self._run.network(index).events_path
                    self._read[index] = log.stat().st_size if log.exists() else 0
                    self._out[index] = client.submit(train_network, self._name, index, pure=False)
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

    def _logged(self, index: int) -> Iterator[Event]:
        path, before = self._run.network(index).events_path, -1
        while before != self._read[index]:
            before = self._read[index]
            events, self._read[index] = read_some(path, before, MOST_EVENTS)
            yield from (event for _, event in events if not isinstance(event, Finished))

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
                remedy = "start it again, and give the same command again to go on"
                raise ClusterError("the scheduler cannot be reached any more", remedy=remedy)
            elif isinstance(future.exception(), KilledWorker):
                raise TrainingError(
                    "workers died again and again while they trained "
                    f"{self._task.network_name(index)}",
                    file=self._run.path,
                    remedy="memory may be short there; the same command goes on",
                )
            else:
                raise future.exception()
            del self._out[index]
