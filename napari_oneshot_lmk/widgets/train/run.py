"""Follows one training: a child process that outlives this window.

A timer reads a few lines at a time of the run's event log. So a crash of the training
cannot take napari along, and a window that is opened later finds the same training again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal

from napari_oneshot_lmk.errors import OneshotError, OutputError
from napari_oneshot_lmk.training.events import Failed, Previewed
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.subprocess import TrainingProcess
from napari_oneshot_lmk.widgets.qt import worker
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, explained
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.progress import TrainingProgress
from napari_oneshot_lmk.widgets.train.request import (
    Phase,
    TrainingRequest,
    delete_request,
    requests_in,
)

TICK_MS = 200
CATCHING_UP_MS = 20
"""Between two reads of a log that is longer than one read."""


class TrainingRun(QObject):
    """The training of one viewer; all signals arrive in the window's thread."""

    changed = Signal()
    """Phase or progress have changed."""
    previewed = Signal(object)
    """A model's view of an image: a :class:`Previewed`."""
    discarded = Signal(str)
    """What to tell after all of it was deleted."""
    refused = Signal(str, str)
    """Why it could not be started, and a report to copy or ""."""

    def __init__(self, launcher: type[TrainingProcess]) -> None:
        super().__init__()
        self._launcher = launcher
        self._process: TrainingProcess | None = None
        self._worker: Any = None
        self.request: TrainingRequest | None = None
        self.progress = TrainingProgress()
        self.phase = Phase.NONE
        self.report = ""
        self._previews: tuple[Path, ...] = ()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)

    @property
    def running(self) -> bool:
        """Whether a process of this window's training is at work."""
        return self.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)

    def start(self, write: Callable[[], TrainingRequest]) -> None:
        """Start the training of a request, unless one is under way.

        ``write`` writes the request, in another thread.
        """
        if self.running or self.phase is Phase.DISCARDING:
            return
        self._begin(None, Phase.STARTING)
        launcher = self._launcher

        def work() -> Iterator[tuple[TrainingRequest, TrainingProcess]]:
            request = write()
            yield request, launcher.start(request.arguments, request.run_folder)

        self._worker = worker.start(work, self._on_started, self._on_not_started)

    def resume(self) -> None:
        """Start the same training again; it goes on where it was saved last."""
        request = self.request
        if request is not None and self.phase is Phase.FAILED:
            request.forget_seen()
            self.start(lambda: request)

    def find(self, bases: Sequence[Path]) -> bool:
        """Go on with a training that an earlier window has left, if there is one."""
        if self.phase is not Phase.NONE:
            return False
        for request in (request for base in bases for request in requests_in(base)):
            process = None if request.seen else self._launcher.find(request.run_folder)
            if process is not None:
                self._follow(request, process)
                return True
        return False

    def stop(self) -> None:
        """End the training and keep its best model."""
        if self.phase is Phase.RUNNING and self._process is not None:
            self._process.stop()
            self._turn(Phase.STOPPING)

    def discard(self) -> None:
        """End the training at once and delete what it has made."""
        if self.phase in (Phase.NONE, Phase.STARTING, Phase.DISCARDING):
            return
        request, process = self.request, self._process
        if process is not None:
            process.kill()
        self._timer.stop()
        self._turn(Phase.DISCARDING)
        if request is None:
            self._on_discarded(Done())
        else:
            self._worker = worker.start(
                lambda: delete_request(request, process), self._on_discarded, self._on_not_started
            )

    def discard_now(self) -> None:
        """End the training and delete it before this returns: the window closes."""
        request, process = self.request, self._process
        self._begin(None, Phase.NONE)
        if process is not None:
            process.kill()
            if request is not None:
                # What cannot be deleted is marked, so that no window takes it up again.
                with suppress(OutputError):
                    for _ in delete_request(request, process):
                        pass

    def put_away(self) -> None:
        """Turn to the next training; the model of this one stays."""
        if self.phase in (Phase.DONE, Phase.FAILED):
            if self.request is not None:
                self.request.mark_seen()
            self._begin(None, Phase.NONE)

    def ask_preview(self, images: Sequence[Path]) -> None:
        """Say of which image files the training should report its points."""
        if self.request is None or not self.running:
            return
        wanted = tuple(images)
        # The run makes its own folder, some seconds after its start.
        if wanted != self._previews and self.request.run_folder.is_dir():
            self._previews = wanted
            # The run may just be deleted, or its disk be full: then nothing is shown.
            with suppress(OneshotError, OSError):
                RunFolder(self.request.run_folder).set_preview_images(wanted)

    def _begin(self, request: TrainingRequest | None, phase: Phase) -> None:
        self._timer.stop()
        self._process = None
        self.request = request
        self.report = ""
        self._previews = ()
        self.progress = TrainingProgress(1 if request is None else request.models)
        self._turn(phase)

    def _turn(self, phase: Phase) -> None:
        self.phase = phase
        self.changed.emit()

    def _follow(self, request: TrainingRequest, process: TrainingProcess) -> None:
        self._begin(request, Phase.RUNNING)
        self._process = process
        self._timer.start(CATCHING_UP_MS)

    def _on_started(self, step: Any) -> None:
        if isinstance(step, Failure):
            text, report = explained(step)
            self._begin(None, Phase.NONE)
            self.refused.emit(training_texts.CANNOT_START.format(error=text), report)
        elif not isinstance(step, Done):
            self._follow(*step)

    def _on_not_started(self) -> None:
        # napari ends workers when its window closes; there is nobody left to tell.
        self._worker = None

    def _tick(self) -> None:
        process = self._process
        if process is None:
            return
        # Asked before reading: what it wrote before it ended is then read, too.
        alive = process.alive
        events = process.poll()
        for event in events:
            self.progress.take(event)
            if isinstance(event, Previewed):
                self.previewed.emit(event)
        self._timer.setInterval(CATCHING_UP_MS if events else TICK_MS)
        if events:
            self.changed.emit()
        # With the model there, the process only has to let go of its libraries.
        elif self.progress.finished is not None or not alive:
            self._end(process)

    def _end(self, process: TrainingProcess) -> None:
        self._timer.stop()
        progress = self.progress
        if not progress.ended:
            progress.failed = Failed(training_texts.KILLED, process.report())
        if progress.failed is not None:
            self.report = progress.failed.report or process.report()
        self._process = None
        self._turn(Phase.DONE if progress.finished is not None else Phase.FAILED)

    def _on_discarded(self, step: Any) -> None:
        if not isinstance(step, Done | Failure):
            return
        told = training_texts.DISCARDED
        if isinstance(step, Failure):
            known = isinstance(step.error, OneshotError)
            reason = step.error if known else explained(step)[0]
            told = training_texts.DISCARD_FAILED.format(error=reason)
        self._worker = None
        self._begin(None, Phase.NONE)
        self.discarded.emit(told)


_RUNS: WeakKeyDictionary[Session, TrainingRun] = WeakKeyDictionary()


def training_run_of(session: Session) -> TrainingRun:
    """Return the one training of a session, whichever of its docks are open."""
    if session not in _RUNS:
        _RUNS[session] = TrainingRun(TrainingProcess)
    return _RUNS[session]
