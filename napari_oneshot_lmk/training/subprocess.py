"""A training in a process of its own, which outlives the one that started it.

Nothing here imports torch: a window starts, follows and ends trainings with it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.training.events import Event, Failed, Finished, read_some
from napari_oneshot_lmk.training.run_folder import ProcessInfo, RunFolder, versions

LAST_BYTES = 8_000
"""Of what the process said, in a report."""
_started: list[subprocess.Popen[bytes]] = []
"""Kept, because Python complains of one that it forgets while it is alive."""


class TrainingProcess:
    """The process that trains a run, whoever has started it; see `start` and `find`."""

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

        Parameters
        ----------
        arguments : sequence of str
            What follows ``oneshot-lmk train``, ``--out`` included.
        run_folder : Path
            The folder that ``--out`` names.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        run = RunFolder(run_folder)
        log = run.events_path
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            log_bytes = log.stat().st_size if log.exists() else 0
            with run.output_path.open("wb") as output:
                child = subprocess.Popen(
                    [sys.executable, "-m", "napari_oneshot_lmk", "train", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
                    # A group of its own: Ctrl-C in our terminal is not for it, and it
                    # stays when we end.
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
        """Return the process of a run, at work or ended; None where there is none."""
        run = RunFolder(run_folder)
        try:
            worker = run.worker
        except UsageError:
            # Not a run, or not yet.
            return None
        return None if worker is None else cls(run, worker)

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        if self._child is not None:
            return self._child.poll() is None
        return self._worker.alive

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while alive, and where another process started it."""
        return None if self._child is None else self._child.poll()

    def poll(self, limit: int = 500) -> list[Event]:
        """Return the next events of the run, at most so many; never waits.

        A run that was interrupted tells its whole story, but the ends of earlier
        attempts are left out.
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
        """End it at once, and all that it has started; does not wait."""
        import psutil

        if not self.alive:
            return
        if sys.platform != "win32" and _leads_group(self._worker.pid):
            os.killpg(self._worker.pid, signal.SIGKILL)
            return
        try:
            process = psutil.Process(self._worker.pid)
            for one in (*process.children(recursive=True), process):
                one.kill()
        except psutil.NoSuchProcess:
            # It has ended meanwhile.
            return

    def report(self) -> str:
        """Return versions and the last that it said, for a bug report."""
        lines = [f"{name} {number}" for name, number in versions().items()]
        lines.append(platform.platform())
        code = self.exit_code
        if code is not None:
            lines.append(f"exit code {code}")
        try:
            said = self._run.output_path.read_bytes()[-LAST_BYTES:]
        except FileNotFoundError:
            said = b""
        return "\n".join([*lines, "", said.decode(errors="replace").strip()]).strip()


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False
