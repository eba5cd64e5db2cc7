"""One run of detection: follows the worker and says in words how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.widgets import words, worker
from napari_oneshot_lmk.widgets.detecting import CouldNot, Found, Looking, Ready, detect_on
from napari_oneshot_lmk.widgets.failures import explained
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.worker import Done, Failure

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.errors import OneshotError
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.layers import Key
    from napari_oneshot_lmk.widgets.picture import Picture
    from napari_oneshot_lmk.widgets.warm import MakesDetectors

MEGABYTE = 1e6


class DetectionRun(QObject):
    """Runs detection in another thread; all signals arrive in the window's.

    Parameters
    ----------
    make_detector : MakesDetectors
        Turns a template into a detector.
    """

    ready = Signal(object)
    """The encoder is loaded: a :class:`Ready`."""
    found = Signal(object)
    """An image is done: a :class:`Found`."""
    going = Signal(str, int, int)
    """What runs, in words; steps done and in all, or 0 where nobody knows."""
    ended = Signal(str, bool, str)
    """What to tell, whether something failed, and a report to copy or ""."""
    _downloading = Signal(object, object)

    def __init__(self, make_detector: MakesDetectors) -> None:
        super().__init__()
        self._make = make_detector
        self._worker: Any = None
        self._found: list[Found] = []
        self._errors: list[OneshotError] = []
        self._total = 0
        # Emitted in the worker's thread; Qt brings it into the window's.
        self._downloading.connect(self._on_download)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._worker is not None

    def start(
        self, pictures: Sequence[tuple[Key, Picture]], template: Template, model: Path | None = None
    ) -> None:
        """Begin, unless a run is under way; with a trained model where one is given."""
        if self.running:
            return
        self._found, self._errors, self._total = [], [], len(pictures)
        # Settings belong to the window's thread.
        wanted, tell = preferences(), self._downloading.emit
        make = self._make if model is None else partial(self._make, model=model)
        self.going.emit(words.BUSY_LOADING, 0, 0)
        self._worker = worker.start(
            lambda: detect_on(pictures, template, wanted, make, tell),
            self._on_step,
            self._on_cancelled,
        )

    def cancel(self) -> None:
        """Stop after the image that is being worked on."""
        if self._worker is not None:
            self._worker.quit()

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Ready):
            self.ready.emit(step)
        elif isinstance(step, Looking):
            self._on_looking(step)
        elif isinstance(step, Found):
            self._found.append(step)
            self.found.emit(step)
        elif isinstance(step, CouldNot):
            self._errors.append(step.error)
        elif isinstance(step, Failure):
            text, report = explained(step)
            self._end(words.FAILED.format(error=text), True, report)
        elif isinstance(step, Done):
            self._end(self._summary(), bool(self._errors))

    def _on_looking(self, step: Looking) -> None:
        if step.total == 1:
            # Of one image there is no telling how far it is.
            self.going.emit(words.BUSY_DETECTING.format(image=step.image), 0, 0)
            return
        text = words.BUSY_DETECTING_MANY.format(
            image=step.image, number=step.number, count=step.total
        )
        self.going.emit(text, step.number - 1, step.total)

    def _on_download(self, done: int, total: int) -> None:
        text = words.BUSY_DOWNLOADING.format(done=done / MEGABYTE, total=total / MEGABYTE)
        permille = round(1000 * done / total) if total else 0
        self.going.emit(text, permille, 1000 if total else 0)

    def _on_cancelled(self) -> None:
        self._end(words.CANCELLED, False)

    def _end(self, text: str, failed: bool, report: str = "") -> None:
        self._worker = None
        self.ended.emit(text, failed, report)

    def _summary(self) -> str:
        images = words.counted(len(self._found), "image")
        seconds = sum(found.seconds for found in self._found)
        if self._errors and self._total == 1:
            return f"{self._errors[0]}."
        if self._errors:
            return words.FOUND_SOME.format(
                images=images, failed=len(self._errors), error=self._errors[0]
            )
        if self._total > 1:
            return words.FOUND_MANY.format(images=images, seconds=seconds)
        placed = self._found[0].landmarks.placed
        unsure = sum(p.unsure for p in placed)
        text = words.FOUND_UNSURE if unsure else words.FOUND_ONE
        landmarks = words.counted(len(placed), "landmark")
        return text.format(landmarks=landmarks, seconds=seconds, unsure=unsure)
