"""Which process is at work on a run, findable later."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

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
