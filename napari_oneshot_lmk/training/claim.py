"""Which process is at work on a run: one at a time, and findable later."""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from napari_oneshot_lmk.errors import OutputError

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
CLOCK_S = 2.0
"""What two readings of a process's start may differ by."""


@dataclass(frozen=True)
class Worker:
    """The process at work on a run, or the last one that was.

    Parameters
    ----------
    pid : int
        Its number.
    started : float
        When it began, seconds since 1970: numbers are used again.
    host : str
        The computer it runs on.
    log_bytes : int
        Length of the event log when it took the run up.
    """

    pid: int
    started: float
    host: str
    log_bytes: int

    @classmethod
    def myself(cls, log_bytes: int) -> Worker:
        """Return this process."""
        return cls.of(os.getpid(), log_bytes)

    @classmethod
    def of(cls, pid: int, log_bytes: int) -> Worker:
        """Return a process of this computer that is alive or not yet waited for."""
        import psutil

        started = float(psutil.Process(pid).create_time())
        return cls(pid, started, platform.node(), log_bytes)

    @property
    def alive(self) -> bool:
        """Whether it is still there; of another computer's, nobody can tell."""
        import psutil

        if self.host != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            began = float(process.create_time())
            # It has ended, but its parent has not asked how.
            ended = process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return not ended and abs(began - self.started) < CLOCK_S


class TakenError(Exception):
    """Another process holds the claim."""


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``, which is made where it is missing.

    The system lets go of it when the process ends, however it ends. A file system
    without locks, as some network shares are, is used without.

    Raises
    ------
    TakenError
        If another process holds it.
    OutputError
        If the file cannot be made.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or error})",
            file=path,
            remedy="choose a folder that you may write to",
        ) from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                raise TakenError from error
            # ENOLCK, ENOTSUP: this file system knows no locks.
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
