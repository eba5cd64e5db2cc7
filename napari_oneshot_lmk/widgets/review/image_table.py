"""The list of images under review, each with a thumbnail once it has been seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPoint, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor, QIcon
from qtpy.QtWidgets import QTableWidgetItem

from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE
from napari_oneshot_lmk.widgets.qt.row_table import RowTable

THUMBNAIL_PX = 32
SEEN_AFTER_MS = 80
"""Images that are scrolled past within this time get no thumbnail."""


@dataclass(frozen=True)
class ImageRow:
    """One image in the list."""

    key: Hashable
    name: str
    state: str
    unsure: int
    reasons: str
    """Why it should be looked at, for the tooltip."""
    accepted: bool


class ImageTable(RowTable):
    """A row per image; ``picked`` is emitted on a click and on Enter, never by `show_rows`.

    ``seen`` carries the keys of visible images that have no thumbnail yet; `show_thumbnail`
    answers.
    """

    picked = Signal(object)
    seen = Signal(object)
    menu_wanted = Signal(object, object)
    """The menu of an image; carries its key and the place on the screen."""

    def __init__(self) -> None:
        titles = (review_texts.COLUMN_IMAGE, review_texts.COLUMN_STATE, review_texts.COLUMN_UNSURE)
        super().__init__(titles, least_px=180)
        self.verticalHeader().setDefaultSectionSize(THUMBNAIL_PX + 4)
        self.setIconSize(QSize(THUMBNAIL_PX, THUMBNAIL_PX))
        self._thumbnails: dict[Hashable, tuple[QIcon, str]] = {}
        self._seen_soon = QTimer(self)
        self._seen_soon.setSingleShot(True)
        self._seen_soon.setInterval(SEEN_AFTER_MS)
        self._seen_soon.timeout.connect(self._tell_seen)
        self.verticalScrollBar().valueChanged.connect(lambda _: self._seen_soon.start())
        self.cellClicked.connect(lambda row, _: self.picked.emit(self.rows[row].key))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu)

    def show_rows(self, rows: Sequence[ImageRow], current: Hashable | None) -> None:
        """Show images and highlight one."""
        keys = [row.key for row in rows]
        self.show_list(rows, keys.index(current) if current in keys else None)
        self._seen_soon.start()

    # -- thumbnails ----------------------------------------------------------------

    def show_thumbnail(self, key: Hashable, icon: QIcon, problem: str = "") -> None:
        """Show the thumbnail of an image, or in its tooltip why there is none."""
        self._thumbnails[key] = icon, problem
        for number, row in enumerate(self.rows):
            if row.key == key:
                self.draw_row(number, row)

    def forget_thumbnails(self, but: Sequence[Hashable] = ()) -> None:
        """Let go of the thumbnails of all images but these."""
        self._thumbnails = {k: self._thumbnails[k] for k in but if k in self._thumbnails}

    def _tell_seen(self) -> None:
        if not self.isVisible():
            return
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        visible = self.rows[first : (last if last >= 0 else len(self.rows)) + 1]
        wanted = [row.key for row in visible if row.key not in self._thumbnails]
        if wanted:
            self.seen.emit(wanted)

    def _on_menu(self, at: QPoint) -> None:
        row = self.rowAt(at.y())
        if row >= 0:
            self.menu_wanted.emit(self.rows[row].key, self.viewport().mapToGlobal(at))

    # -- Qt's own ------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Ask for thumbnails when the tab is opened."""
        super().showEvent(event)
        self._seen_soon.start()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Ask for the thumbnails of rows that have become visible."""
        super().resizeEvent(event)
        self._seen_soon.start()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Pick the current row on Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentRow() >= 0:
            event.accept()
            self.picked.emit(self.rows[self.currentRow()].key)
        else:
            super().keyPressEvent(event)

    def draw_row(self, number: int, row: ImageRow) -> None:
        """Set the cells of an image."""
        icon, problem = self._thumbnails.get(row.key, (QIcon(), ""))
        for column, text in enumerate((row.name, row.state, str(row.unsure or ""))):
            item = QTableWidgetItem(text)
            item.setToolTip("\n".join(filter(None, (problem, row.reasons))) or row.name)
            if row.accepted:
                item.setForeground(QBrush(QColor(DIM)))
            elif column == 2:
                item.setForeground(QBrush(QColor(NOTE)))
            if column == 0:
                item.setIcon(icon)
            self.setItem(number, column, item)
