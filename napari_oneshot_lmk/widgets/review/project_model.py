"""The model that is chosen while a project is open becomes the project's own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.review.project_bar import ProjectBar
    from napari_oneshot_lmk.widgets.train.models import KnownModel


class _Copy(WorkerRun):
    """Copies a model into a project in another thread: it is read and checked first."""

    failed_text = review_texts.MODEL_NOT_KEPT

    def start(self, project: Project, model: Path) -> None:
        """Begin."""
        self._work(lambda: self._copy(project, model))

    def _copy(self, project: Project, model: Path) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        project.set_model(model)
        return review_texts.MODEL_KEPT, False


class ProjectModel(QObject):
    """Gives the open project of a bar the model that the session detects with.

    A project that is opened later, or elsewhere, detects with the same model. Instant
    detection is no model: the project keeps the one that it has.
    """

    def __init__(self, bar: ProjectBar) -> None:
        super().__init__(bar)
        self._bar = bar
        self._next: KnownModel | None = None
        self.copy = _Copy()
        self.copy.ended.connect(self._on_ended)

    def take(self, model: KnownModel | None) -> None:
        """Copy the model into the project, unless it is the project's own."""
        images = self._bar.images
        if images is None or model is None or model.path == images.project.model:
            return
        if self.copy.running:
            self._next = model
        else:
            self.copy.start(images.project, model.path)

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._bar.told.emit(text, failed)
        model, self._next = self._next, None
        self.take(model)
