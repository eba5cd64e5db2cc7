"""One check of a folder at a time; all signals arrive in the window's thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets import worker
from napari_oneshot_lmk.widgets.failures import explained
from napari_oneshot_lmk.widgets.image_check import (
    Checked,
    Inspects,
    LookedAt,
    Measures,
    SpacingMm,
    Timing,
    check_folder,
)
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.worker import Done, Failure

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template


class FolderCheck(QObject):
    """Checks the folder that was asked for last.

    Parameters
    ----------
    inspects, measures : callable, optional
        As for `check_folder`.
    """

    going = Signal(str)
    """What runs, in words."""
    checked = Signal(object)
    """What is known of the folder so far: a :class:`Checked`."""
    ended = Signal(str, str)
    """Why it failed, or "", and a report to copy, or ""."""

    def __init__(self, inspects: Inspects | None = None, measures: Measures | None = None) -> None:
        super().__init__()
        self._inspects, self._measures = inspects, measures
        self._worker: Any = None
        self._next: tuple[Path, Template, SpacingMm] | None = None

    @property
    def running(self) -> bool:
        """Whether a check is under way."""
        return self._worker is not None

    def start(self, folder: Path, template: Template, spacing_mm_yx: SpacingMm = None) -> None:
        """Check a folder, instead of one that is being checked."""
        self._next = (folder, template, spacing_mm_yx)
        if self._worker is not None:
            self._worker.quit()
            return
        self._begin()

    def _begin(self) -> None:
        if self._next is None:
            return
        folder, template, spacing = self._next
        self._next = None
        # Settings belong to the window's thread.
        wanted, inspects, measures = preferences(), self._inspects, self._measures
        self.going.emit(words.CHECKING_FOLDER)
        self._worker = worker.start(
            lambda: check_folder(folder, template, wanted, spacing, inspects, measures),
            self._on_step,
            self._on_cancelled,
        )

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Done | Failure):
            failed = explained(step) if isinstance(step, Failure) else ("", "")
            self._worker = None
            if self._next is not None:
                self._begin()
            else:
                self.ended.emit(*failed)
        elif self._next is not None:
            # Of a folder that nobody wants any more.
            return
        elif isinstance(step, LookedAt):
            text = words.CHECKING.format(done=step.done, total=step.total)
            self.going.emit(text)
        elif isinstance(step, Timing):
            self.going.emit(words.TIMING)
        elif isinstance(step, Checked):
            self.checked.emit(step)

    def _on_cancelled(self) -> None:
        self._worker = None
        self._begin()
