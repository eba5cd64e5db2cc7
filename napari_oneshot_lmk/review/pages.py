"""The images of a project that get a page of measurements."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from napari_oneshot_lmk.measure.page import Fact, readable_time
from napari_oneshot_lmk.measure.page_files import PageSource
from napari_oneshot_lmk.review.project import ImageWork, Project, Tell


def page_sources(
    project: Project, ids: Iterable[str] | None = None, tell: Tell | None = None
) -> list[PageSource]:
    """Return all images of a project that have landmarks, or those of ``ids``.

    Images are read when their page is written. ``tell`` as for `Project.works`.
    """
    return [
        PageSource(
            image.name,
            work.landmarks,
            partial(project.read, image.id),
            (("Project", project.folder.name), *_edit_facts(work)),
        )
        for image, work in project.works(ids, tell)
        if work.landmarks is not None and work.landmarks.placed
    ]


def _edit_facts(work: ImageWork) -> list[Fact]:
    """Say when each reader has edited the image last; a detection is not an edit of theirs."""
    last = {edit.reader: edit.time for edit in work.edits if edit.action != "detect"}
    text = ", ".join(
        f"{readable_time(time)}{f' by {reader}' if reader else ''}" for reader, time in last.items()
    )
    return [("Last edited", text)] if text else []
