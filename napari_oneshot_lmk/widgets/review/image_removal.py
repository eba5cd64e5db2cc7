"""Takes an image out of the project, after a question where a person has worked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QPoint
from qtpy.QtWidgets import QMenu, QMessageBox

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import review_texts as t
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.questions import ask_one_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.review.project_bar import ProjectBar

REMOVE, KEEP = "remove", "keep"


class ImageRemoval(QObject):
    """Offers it in the menu of an image in the list, and does it for the bar's menu, too.

    The image's file stays where it is; its landmarks and edits are kept in the project's folder.
    """

    def __init__(self, bar: ProjectBar) -> None:
        super().__init__(bar)
        self._bar = bar
        self._key = ""
        self.menu = QMenu(bar)
        self.menu.setToolTipsVisible(True)
        self.entry = self.menu.addAction(t.PROJECT_REMOVE)
        self.entry.triggered.connect(lambda _: self.ask(self._key))

    def show_menu(self, key: str, at: QPoint) -> None:
        """Show the menu of an image of the list."""
        why = self._bar.why_not_changed
        self._key = key
        self.entry.setEnabled(not why)
        self.entry.setToolTip(texts.sentence(why) or t.PROJECT_REMOVE_TIP)
        self.menu.popup(at)

    def ask(self, key: str) -> None:
        """Remove an image, unless the answer is that what a person did on it is to stay."""
        images = self._bar.images
        if images is None or self._bar.why_not_changed:
            return
        decided = sum(point.is_manual for point in images.landmarks(key))
        if decided and not self._is_wanted(images.name(key), decided):
            return
        self.remove(key)

    def _is_wanted(self, image: str, decided: int) -> bool:
        text = t.REMOVE_TEXT.format(image=image, landmarks=texts.counted(decided, "landmark"))
        role = QMessageBox.ButtonRole
        choices = (
            (t.REMOVE_YES, role.DestructiveRole, REMOVE),
            (t.REMOVE_NO, role.RejectRole, KEEP),
        )
        return ask_one_of(self._bar, t.REMOVE_TITLE, text, choices, KEEP, dangerous=True) == REMOVE

    def remove(self, key: str) -> None:
        """Remove an image, and show the next one where it was on the canvas."""
        bar, images = self._bar, self._bar.images
        if images is None:
            return
        name, following = images.name(key), bar.image_after(key)
        if images.current == key and following is not None:
            bar.turn_to.emit(following)
        try:
            kept = images.remove(key)
        except OneshotError as error:
            bar.told.emit(f"{error}.", True)
            return
        bar.note_removed()
        said = t.REMOVED if kept is None else t.REMOVED_KEPT
        bar.told.emit(said.format(image=name, path=kept), False)
