"""How this program behaves in a worker process."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

from napari_oneshot_lmk.training.memory import keep_freed_memory

if TYPE_CHECKING:
    from distributed import Worker


class Presence:
    """Who the worker is, with how many threads torch computes, who answers Ctrl-C.

    Parameters
    ----------
    threads : int, optional
        For torch; None: those that the worker was started with.
    local : bool
        Whether the worker is a child of the process that asks. Ctrl-C reaches all
        processes of a terminal, and only that one is to answer it.
    """

    def __init__(self, threads: int | None, local: bool) -> None:
        self.threads, self.local = threads, local
        self.name = ""

    def begin(self, worker: Worker) -> None:
        """Settle in."""
        self.name = f"worker {worker.address} on {socket.gethostname()}"
        self.threads = self.threads or worker.state.nthreads
        # Dask tells its workers to give freed memory back at once, which costs time at
        # each image.
        keep_freed_memory()
        if self.local and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def use_threads(self) -> None:
        """Let torch compute with as many threads as it is to."""
        import torch

        wanted = self.threads or 1
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)
