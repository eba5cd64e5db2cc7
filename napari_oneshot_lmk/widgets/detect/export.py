"""Export of a trained model as a MONAI bundle, in another thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
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


class ExportRun(WorkerRun):
    """Exports a model in another thread; tests bring their own `export_steps`."""

    cancelled_text = training_texts.EXPORT_CANCELLED

    def __init__(self, exports: Exporter = export_steps) -> None:
        super().__init__()
        self._exports = exports

    def start(self, model: Path, out: Path) -> None:
        """Begin."""
        if not self.running:
            # Settings belong to the window's thread.
            wanted = preferences()
            self._work(lambda: self._export(model, out, wanted))

    def _export(
        self, model: Path, out: Path, wanted: Preferences
    ) -> Generator[Any, None, tuple[str, bool]]:
        told = ""
        for step in self._exports(model, out, wanted):
            if isinstance(step, Step):
                yield self.going, step.text, step.done, step.total
            else:
                told = step.text
        return told, False
