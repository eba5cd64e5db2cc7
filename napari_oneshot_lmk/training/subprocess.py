"""A training in a child process, which outlives the one that started it.

Nothing here imports torch: a window starts, follows and ends trainings with it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.training.events import Event, Failed, Finished, read_some
from napari_oneshot_lmk.training.run_folder import ProcessInfo, RunFolder, versions

LAST_BYTES = 8_000
"""Of the process's output, in a report."""
_started: list[subprocess.Popen[bytes]] = []
"""Kept, because Python warns of a process that is still alive when its object is deleted."""


class TrainingProcess:
    """The process that trains a run: started here, or found where it was started before."""

    def __init__(
        self, run: RunFolder, worker: ProcessInfo, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._run = run
        self._worker = worker
        self._child = child
        self._read = 0

    @classmethod
    def start(cls, arguments: Sequence[str], run_folder: Path) -> TrainingProcess:
        """Start a training, or go on with one; returns at once.

        The arguments follow ``oneshot-lmk train``; their ``--out`` names the run's folder.
        Raises `OutputError` if the folder cannot be made.
        """
        run = RunFolder(run_folder)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            log_bytes = run.log_bytes
            with run.output_path.open("wb") as output:
                child = subprocess.Popen(
                    [sys.executable, "-m", "napari_oneshot_lmk", "train", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
                    # A process group of its own: it gets no Ctrl-C of this terminal, and
                    # goes on when this process ends.
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
                    | getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise OutputError(
                f"the training cannot be started ({error.strerror or error})",
                file=run.path,
                remedy="choose a folder that you may write to",
            ) from error
        _started[:] = [one for one in _started if one.poll() is None] + [child]
        return cls(run, ProcessInfo.of(child.pid, log_bytes), child)

    @classmethod
    def find(cls, run_folder: Path) -> TrainingProcess | None:
        """Return the process of a run, alive or ended; None where there is none."""
        run = RunFolder(run_folder)
        try:
            return cls(run, worker) if (worker := run.worker) else None
        except UsageError:
            # Not a run, or not yet.
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._worker.alive if self._child is None else self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while alive, and where another process started it."""
        return None if self._child is None else self._child.poll()

    def poll(self, limit: int = 500) -> list[Event]:
        """Return the next events of the run, at most so many; never waits.

        Of a run that was interrupted these are all events but the ends of earlier sessions.
        """
        while True:
            before = self._read
            found, self._read = read_some(self._run.events_path, before, limit)
            kept = [
                event
                for offset, event in found
                if offset >= self._worker.log_bytes or not isinstance(event, Failed | Finished)
            ]
            # An empty list means that there is nothing new.
            if kept or self._read == before:
                return kept

    def stop(self) -> None:
        """Ask it to end with the best model so far."""
        self._run.request_stop()

    def kill(self) -> None:
        """Kill it and all processes that it has started; does not wait."""
        import psutil

        pid = self._worker.pid
        if not self.alive:
            return
        # It may have ended meanwhile.
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if sys.platform != "win32" and os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
                return
            process = psutil.Process(pid)
            for one in (*process.children(recursive=True), process):
                one.kill()

    def report(self) -> str:
        """Return versions and the end of its output, for a bug report."""
        lines = [f"{name} {number}" for name, number in versions().items()]
        lines.append(platform.platform())
        if (code := self.exit_code) is not None:
            lines.append(f"exit code {code}")
        output = b""
        with suppress(FileNotFoundError):
            output = self._run.output_path.read_bytes()[-LAST_BYTES:]
        return "\n".join([*lines, "", output.decode(errors="replace").strip()]).strip()
