"""One export at a time; all signals arrive in the window's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.widgets.qt import worker
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, explained
from napari_oneshot_lmk.widgets.settings import Preferences, preferences
from napari_oneshot_lmk.widgets.train import training_texts


@dataclass(frozen=True)
class Step:
    """What is done now."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class Exported:
    """The bundle is there."""

    text: str


def export_steps(model: Path, out: Path, preferences: Preferences) -> Iterator[Step | Exported]:
    """Export a model, a folder or a bundle, as a MONAI bundle.

    An earlier bundle at ``out`` is replaced, anything else is not.
    """
    from napari_oneshot_lmk.bundle.configs import make_about
    from napari_oneshot_lmk.bundle.documents import training_images
    from napari_oneshot_lmk.bundle.export import STEPS, Export, export_bundle, weights_for
    from napari_oneshot_lmk.bundle.load import load_model
    from napari_oneshot_lmk.bundle.verify import Comparison

    opened = load_model(model)
    weights = weights_for(
        opened, usual=preferences.encoder_weights, allow_download=preferences.allow_download
    )
    about = make_about(name=out.name, authors=preferences.author)
    export = Export(opened, out, about, weights, training_images(model))
    for step in export_bundle(export, overwrite=is_bundle(out)):
        if isinstance(step, Comparison):
            yield Exported(training_texts.EXPORTED.format(path=out, agreement=step.summary))
        else:
            yield Step(step, STEPS.index(step), len(STEPS))


Exporter = Callable[[Path, Path, Preferences], Iterator[Step | Exported]]


class ExportRun(QObject):
    """Exports a model beside the window; tests bring their own `export_steps`."""

    going = Signal(str, int, int)
    """What runs, in words; steps done and in all."""
    ended = Signal(str, bool, str)
    """What to tell, whether it failed, and a report to copy, or ""."""

    def __init__(self, exports: Exporter = export_steps) -> None:
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
        if isinstance(step, Step):
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
        self.ended.emit(training_texts.EXPORT_CANCELLED, False, "")
