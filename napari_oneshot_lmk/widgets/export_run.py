"""One export at a time; all signals arrive in the window's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets import worker
from napari_oneshot_lmk.widgets.exporting import Exported, Going, exporting
from napari_oneshot_lmk.widgets.failures import explained
from napari_oneshot_lmk.widgets.settings import Preferences, preferences
from napari_oneshot_lmk.widgets.worker import Done, Failure

Exports = Callable[[Path, Path, Preferences], Iterator[Going | Exported]]


class ExportRun(QObject):
    """Exports a model beside the window.

    Parameters
    ----------
    exports : callable
        As `exporting`; tests bring their own.
    """

    going = Signal(str, int, int)
    """What runs, in words; steps done and in all."""
    ended = Signal(str, bool, str)
    """What to tell, whether it failed, and a report to copy, or ""."""

    def __init__(self, exports: Exports = exporting) -> None:
        super().__init__()
        self._exports = exports
        self._worker: Any = None
        self._told = ""

    @property
    def running(self) -> bool:
        """Whether an export is under way."""
        return self._worker is not None

    def start(self, model: Path, out: Path) -> None:
        """Begin."""
        if self.running:
            return
        # Settings belong to the window's thread.
        wanted = preferences()
        self._worker = worker.start(
            lambda: self._exports(model, out, wanted), self._on_step, self._on_cancelled
        )

    def cancel(self) -> None:
        """End after the step that is being done; nothing is left behind."""
        if self._worker is not None:
            self._worker.quit()

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Going):
            self.going.emit(step.text, step.done, step.total)
        elif isinstance(step, Exported):
            self._told = step.text
        elif isinstance(step, Failure):
            self._worker = None
            text, report = explained(step)
            self.ended.emit(text, True, report)
        elif isinstance(step, Done):
            self._worker = None
            self.ended.emit(self._told, False, "")

    def _on_cancelled(self) -> None:
        self._worker = None
        self.ended.emit(words.EXPORT_CANCELLED, False, "")
