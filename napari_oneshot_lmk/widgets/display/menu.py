"""A menu of how images are shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QAction, QActionGroup
from qtpy.QtWidgets import QMenu

from napari_oneshot_lmk.review.contrast import Contrast
from napari_oneshot_lmk.widgets import review_texts, shortcuts
from napari_oneshot_lmk.widgets.display.loupe import ZOOMS
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.parts import Button

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.display.display import Display


class DisplayButton(Button):
    """Opens a menu: contrast, invert, loupe; marks what is chosen."""

    def __init__(self, display: Display) -> None:
        super().__init__(review_texts.DISPLAY, review_texts.DISPLAY_TIP)
        self._display = display
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.actions_: dict[object, QAction] = {}
        parts = QActionGroup(menu)
        _add_title(menu, review_texts.CONTRAST_TITLE.format(key=shortcuts.hint("contrast")))
        for part in Contrast:
            entry = parts.addAction(review_texts.CONTRAST[part])
            entry.triggered.connect(without_argument(partial(display.show_contrast, part)))
            entry.setToolTip(review_texts.CONTRAST_TIP[part])
            self.actions_[part] = entry
            menu.addAction(entry)
        invert = menu.addAction(review_texts.INVERT.format(key=shortcuts.hint("invert")))
        invert.setToolTip(review_texts.INVERT_TIP)
        invert.triggered.connect(without_argument(display.invert))
        self.actions_["invert"] = invert
        zooms = QActionGroup(menu)
        menu.addSeparator()
        _add_title(menu, review_texts.LOUPE_TITLE.format(key=shortcuts.hint("loupe")))
        for zoom in (0, *ZOOMS):
            text = review_texts.LOUPE_ZOOM.format(zoom=zoom) if zoom else review_texts.LOUPE_OFF
            entry = zooms.addAction(text)
            entry.setToolTip(review_texts.LOUPE_TIP)
            entry.triggered.connect(without_argument(partial(display.show_loupe, zoom)))
            self.actions_[zoom] = entry
            menu.addAction(entry)
        for entry in self.actions_.values():
            entry.setCheckable(True)
        self.setMenu(menu)
        connect_until_destroyed(self, self._show, display.changed)
        self._show()

    def _show(self) -> None:
        display = self._display
        chosen = {display.contrast, display.loupe_zoom, "invert" if display.inverted else None}
        for name, entry in self.actions_.items():
            entry.setChecked(name in chosen)


def _add_title(menu: QMenu, text: str) -> None:
    """Add a line that cannot be chosen: napari's style hides the titles of sections."""
    menu.addAction(text).setEnabled(False)
