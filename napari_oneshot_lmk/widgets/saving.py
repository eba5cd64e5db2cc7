"""Asking where to save, and saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.files import FORMATS, lost_in, write_landmarks
from napari_oneshot_lmk.landmarks.template import is_template
from napari_oneshot_lmk.widgets import words

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template


def ask_save_template(parent: QWidget, template: Template) -> str:
    """Save a template where the user says; returns what to tell, empty if not saved.

    Raises
    ------
    OneshotError
        If it cannot be written there.
    """
    path, _ = QFileDialog.getSaveFileName(
        parent,
        words.SAVE_TEMPLATE_TITLE,
        f"{template.name or 'template'}.template",
    )
    if not path:
        return ""
    # The dialog has asked before it lets anybody replace a template; a folder
    # of anything else is never replaced.
    template.save(Path(path), overwrite=is_template(path))
    return words.TEMPLATE_SAVED.format(path=path)


def ask_save_landmarks(parent: QWidget, images: Sequence[Landmarks]) -> str:
    """Save landmarks where the user says; returns what to tell, empty if not saved.

    Raises
    ------
    OneshotError
        If they cannot be written there.
    """
    first = Path(images[0].image).stem if len(images) == 1 else "found"
    path, chosen = QFileDialog.getSaveFileName(
        parent, words.SAVE_LANDMARKS_TITLE, f"{first}.csv", words.LANDMARKS_FILTER
    )
    if not path:
        return ""
    if not any(path.lower().endswith(form.suffix) for form in FORMATS):
        # The filter reads "Title (*.ending)".
        path += chosen.partition("*")[2].rstrip(")") or ".csv"
        if Path(path).exists():
            # The dialog asked about the name without the ending.
            raise OneshotError(words.EXISTS, file=path, remedy=words.EXISTS_REMEDY)
    write_landmarks(Path(path), images, overwrite=True)
    saved = words.LANDMARKS_SAVED.format(path=path)
    lost = ", ".join(lost_in(path, images))
    if not lost:
        return saved
    return f"{saved}. {words.LEFT_OUT.format(path=Path(path).name, things=lost)}"
