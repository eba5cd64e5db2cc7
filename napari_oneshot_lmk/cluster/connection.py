"""A dask cluster to work on: somebody's, or processes of this computer."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import Client

SECONDS_TO_CONNECT = 20
DEATHS_ALLOWED = 1
"""Of local workers at the same task, before it is suspected of killing them."""
_TALKATIVE = ("distributed", "tornado", "asyncio")


@dataclass(frozen=True)
class Connection:
    """A cluster to give work to.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    threads : int, optional
        That each worker computes with; None: as many as it was started with.
    local : bool
        Whether the workers are children of this process.
    """

    client: Client
    threads: int | None
    local: bool

    def slots(self) -> int:
        """Return how many tasks the workers of this moment can run at once."""
        return sum(self.client.nthreads().values())


@contextmanager
def connected(scheduler: str | None = None, workers: int | None = None) -> Iterator[Connection]:
    """Connect to a scheduler, or start worker processes on this computer.

    Parameters
    ----------
    scheduler : str, optional
        Its address (``tcp://host:8786``), or the file that ``dask scheduler
        --scheduler-file`` wrote.
    workers : int, optional
        Or how many processes to start here; the cores are shared among them. They
        end with the block.

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
        raise UsageError(
            "work is given either to a scheduler or to workers of this computer",
            remedy="give --scheduler or --workers, one of the two",
        )
    check_installed()
    with _quiet():
        if workers is not None:
            with _local(workers) as connection:
                yield connection
        elif scheduler is not None:
            with _remote(scheduler) as connection:
                yield connection


def check_installed() -> None:
    """Refuse to go on without dask.distributed.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "several workers need dask.distributed, which is not installed",
            remedy='install it with: pip install "napari-oneshot-lmk[cluster]"',
        ) from error


@contextmanager
def _local(workers: int) -> Iterator[Connection]:
    import dask
    from distributed import Client, LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        # Here nothing dies of a network or of somebody else's limits.
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS_ALLOWED}),
        LocalCluster(
            n_workers=workers,
            # One image at a time; torch has its own threads.
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # Its limit counts what torch has, and kills for it.
            memory_limit=0,
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
        raise UsageError(
            "is neither the address of a scheduler nor its file",
            file=scheduler,
            remedy="write tcp://HOST:8786, or name the file of dask scheduler --scheduler-file",
        )
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
    """Keep dask's log out of the user's terminal: what matters is said in words."""
    import dask

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    silent = {"logging": dict.fromkeys(_TALKATIVE, "critical")}
    try:
        with warnings.catch_warnings(), dask.config.set(silent):
            # Other versions of libraries on a worker; ours are compared by us.
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
