"""The landmarks of all images of a project, written where the user says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.save_dialogs import ask_save_landmarks

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_oneshot_lmk.widgets.review.project_images import ProjectImages


def export_landmarks(parent: QWidget, images: ProjectImages) -> tuple[str, bool]:
    """Ask where, and write; return what to tell and whether it is a complaint."""
    placed = [key for key in images.keys if images.landmarks(key).placed]
    if not placed:
        return texts.sentence(texts.WHY_NO_LANDMARKS), True
    files = [images.path(key) for key in placed]
    try:
        said = ask_save_landmarks(parent, [images.landmarks(key) for key in placed], 0, files)
    except OneshotError as error:
        return f"{error}.", True
    return said, False
