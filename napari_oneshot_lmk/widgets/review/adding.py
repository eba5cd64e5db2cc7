"""Images are added to a project in another thread."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.widgets import review_texts, texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.errors import OneshotError
    from napari_oneshot_lmk.review.project import Project

AT_ONCE = 16
"""Images that are added before it can be cancelled; those that were added stay."""


class AddRun(WorkerRun):
    """Adds the images of a folder to a project in another thread, some at a time."""

    cancelled_text = review_texts.ADDING_CANCELLED

    def start(self, project: Project, folder: Path) -> None:
        """Begin; each image is read once for its hash."""
        self._work(lambda: self._add(project, folder))

    def _add(self, project: Project, folder: Path) -> Generator[Any, None, tuple[str, bool]]:
        files = [file.path for file in find_images([folder])]
        ids: list[str] = []
        failed: list[OneshotError] = []
        for start in range(0, len(files), AT_ONCE):
            text = review_texts.ADDING.format(done=start, total=len(files))
            yield self.going, text, start, len(files)
            result = project.add(files[start : start + AT_ONCE])
            ids += result.ids
            failed += result.failed
        images = texts.counted(len(ids), "image")
        if not failed:
            return review_texts.ADDED.format(images=images), False
        error = failed[0]
        return review_texts.ADDED_SOME.format(images=images, failed=len(failed), error=error), True
