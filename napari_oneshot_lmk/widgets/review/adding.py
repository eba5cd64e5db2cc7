"""Images are added to a project in another thread."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_oneshot_lmk.widgets import review_texts, texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.review.project import Project


class AddRun(WorkerRun):
    """Adds the images of a folder to a project in another thread."""

    added = Signal()

    def start(self, project: Project, folder: Path) -> None:
        """Begin; each image is read once for its hash."""
        self._work(lambda: self._add(project, folder))

    def _add(self, project: Project, folder: Path) -> Generator[Any, None, tuple[str, bool]]:
        def advance(done: int, total: int) -> None:
            text = review_texts.ADDING.format(done=done, total=total)
            self.going.emit(text, done, total)

        yield None
        result = project.add([folder], advance=advance)
        yield (self.added,)
        images = texts.counted(len(result.ids), "image")
        if not result.failed:
            return review_texts.ADDED.format(images=images), False
        failed, error = len(result.failed), result.failed[0]
        return review_texts.ADDED_SOME.format(images=images, failed=failed, error=error), True
