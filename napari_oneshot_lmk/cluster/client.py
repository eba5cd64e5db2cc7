"""A dask cluster, on other computers or of processes on this one, and its workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.encoders.device import keep_freed_memory
from napari_oneshot_lmk.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Worker

    from napari_oneshot_lmk.encoders.encoder import Encoder

SECONDS_TO_CONNECT = 20
_LOGGERS = ("distributed", "tornado", "asyncio")
_TOPIC = "all"


@dataclass(frozen=True)
class Connection:
    """A connection to a scheduler."""

    client: Client
    threads: int | None
    """Of each worker; None: as many as it was started with."""
    local: bool
    """Whether the workers are children of this process."""


@contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Connection]:
    """Connect to a scheduler, or start worker processes on this computer.

    Parameters
    ----------
    scheduler : str, optional
        Its address (``tcp://host:8786``), or the file that ``dask scheduler
        --scheduler-file`` wrote.
    workers : int, optional
        Or how many processes to start here, which share the cores. They end with the block.

    Yields
    ------
    Connection

    Raises
    ------
    UsageError
        If both or none are given, or dask.distributed is not installed.
    ClusterError
        If there is no scheduler.
    """
    if (scheduler is None) == (workers is None):
        what = "work is given either to a scheduler or to workers of this computer"
        raise UsageError(what, remedy="give --scheduler or --workers, one of the two")
    check_installed()
    opened = _remote(str(scheduler)) if workers is None else _local(workers)
    with _quiet(), opened as connection:
        yield connection


def check_installed() -> None:
    """Raise `UsageError` where dask.distributed is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        what = "several workers need dask.distributed, which is not installed"
        remedy = 'install it with: pip install "napari-oneshot-lmk[cluster]"'
        raise UsageError(what, remedy=remedy) from error


@contextmanager
def _local(workers: int) -> Iterator[Connection]:
    import dask
    from distributed import Client, LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        # Dask's default is 3; here no worker is lost to a network or to other users' limits.
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,  # one image at a time; torch has its own threads
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,  # dask counts torch's memory, and would kill the worker for it
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Connection(client, threads, local=True)


@contextmanager
def _remote(scheduler: str) -> Iterator[Connection]:
    from distributed import Client

    where: dict[str, Any] = {"address": scheduler}
    if Path(scheduler).is_file():
        where = {"scheduler_file": scheduler}
    elif "://" not in scheduler and ":" not in scheduler:
        what = "is neither the address of a scheduler nor its file"
        remedy = "write tcp://HOST:8786, or name the file of dask scheduler --scheduler-file"
        raise UsageError(what, file=scheduler, remedy=remedy)
    try:
        client = Client(**where, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"there is no dask scheduler to be reached ({_in_words(error)})",
            file=scheduler,
            remedy="start one with dask scheduler, or correct the address",
        ) from error
    with client:
        yield Connection(client, None, local=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's log out of the user's terminal: this package reports what matters."""
    import dask

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    silent = {"logging": dict.fromkeys(_LOGGERS, "critical")}
    try:
        with warnings.catch_warnings(), dask.config.set(silent):
            # Of other versions of libraries on a worker; this package compares its own.
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class LostWorkers:
    """Listens to a scheduler for workers that are lost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events: deque[Mapping[str, Any]] = deque()
        client.subscribe_topic(_TOPIC, self._take)

    def close(self) -> None:
        """Stop listening."""
        self._client.unsubscribe_topic(_TOPIC)

    def messages(self, at_work: Mapping[str, int], what: str) -> Iterator[str]:
        """Yield a sentence per worker that was lost since the last call.

        ``at_work`` is the number of things in each open task, ``what`` the name of one.
        """
        while self._events:
            event = self._events.popleft()
            tasks = {*event["processing-tasks"], *event["lost-computed-tasks"]}
            again = sum(at_work.get(task, 0) for task in tasks)
            if again:
                things = f"1 {what} is" if again == 1 else f"{again} {what}s are"
                yield f"{things} done again because worker {event['worker']} was lost."

    def _take(self, event: tuple[float, Any]) -> None:
        # Called in dask's thread.
        _, content = event
        if isinstance(content, dict) and content.get("action") == "remove-worker":
            self._events.append(content)


class WorkerSetup:
    """Settings of a worker process: its name, torch's threads, Ctrl-C.

    Without ``threads``, torch has those that the worker was started with. A ``local`` worker
    ignores Ctrl-C, which reaches all processes of a terminal: its parent ends it.
    """

    def __init__(self, threads: int | None, local: bool) -> None:
        self.threads, self.local = threads, local
        self.name = ""

    def begin(self, worker: Worker) -> None:
        """Set the process up, before its first task."""
        self.name = f"worker {worker.address} on {socket.gethostname()}"
        self.threads = self.threads or worker.state.nthreads
        # Dask's workers return freed memory at once, which costs time at each image.
        keep_freed_memory()
        if self.local and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def use_threads(self) -> None:
        """Set the number of torch's threads."""
        import torch

        wanted = self.threads or 1
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)


@dataclass(frozen=True)
class EncoderSpec:
    """What a worker builds the encoder from.

    Images and the encoder's weights are not sent: the workers read them from a shared file
    system. A worker with another encoder or version is refused: results would differ.
    """

    weights: Path | None  # as the workers see them; None: searched as on this computer
    device: str  # "auto", "cpu" or "cuda"
    identity: str  # of the encoder that is expected
    version: str = __version__  # of this program, likewise

    def build(self, worker: str) -> Encoder:
        """Build it, in a worker of this name.

        Raises `ClusterError` if this computer has another encoder or version, another
        `OneshotError` if the weights cannot be read or the device is missing.
        """
        from napari_oneshot_lmk.encoders.device import resolve_device
        from napari_oneshot_lmk.encoders.select import instant_encoder
        from napari_oneshot_lmk.encoders.shipped import encoder_without_download

        self.check_version(worker)
        # Only if it is none of these are weights searched, or downloaded.
        encoder = encoder_without_download(self.identity, resolve_device(self.device))
        if encoder is None:
            encoder = instant_encoder(self.weights, self.device, identity=self.identity)
        if encoder.card.identity != self.identity:
            what = f"has the encoder {encoder.card.identity}, not {self.identity}"
            remedy = "name weights that all workers can read with --encoder-weights"
            raise ClusterError(what, file=worker, remedy=remedy)
        return encoder

    def check_version(self, worker: str) -> None:
        """Raise `ClusterError` where a worker has another version of this program."""
        if self.version != __version__:
            what = f"has version {__version__} of this program, not {self.version}"
            raise ClusterError(what, file=worker, remedy="install the same version everywhere")
