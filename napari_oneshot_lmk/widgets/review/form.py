"""What the step "Review" looks like; it shows what it is given, no more."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.review.status import Reason, ReviewState
from napari_oneshot_lmk.widgets import review_texts, shortcuts
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE, Button, MessageLabel, narrow, row_of
from napari_oneshot_lmk.widgets.review.patches import PatchView

BUTTONS = {
    "previous_image": review_texts.PREVIOUS_IMAGE,
    "next_image": review_texts.NEXT_IMAGE,
    "next_corrected": review_texts.NEXT_CORRECTED,
    "next_unsure": review_texts.NEXT_UNSURE,
    "accept_point": review_texts.ACCEPT_POINT,
    "reset_point": review_texts.RESET_POINT,
    "accept_image": review_texts.ACCEPT_IMAGE,
}
"""Actions with a button, and its text."""


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


class ImageTable(QTableWidget):
    """A row per image; ``picked`` is emitted on a click and on Enter, never by `show_rows`."""

    picked = Signal(object)

    def __init__(self) -> None:
        titles = (review_texts.COLUMN_IMAGE, review_texts.COLUMN_STATE, review_texts.COLUMN_UNSURE)
        super().__init__(0, len(titles))
        self.setHorizontalHeaderLabels(list(titles))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(140)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for column in range(len(titles)):
            self.horizontalHeaderItem(column).setTextAlignment(left)
        self.rows: tuple[ImageRow, ...] = ()
        self.cellClicked.connect(lambda row, _: self.picked.emit(self.rows[row].key))

    def show_rows(self, rows: Sequence[ImageRow], current: Hashable | None) -> None:
        """Show images and highlight one; only rows that have changed are drawn."""
        before = self.rows
        if len(rows) != len(before):
            self.setRowCount(len(rows))
            before = ()
        for number, row in enumerate(rows):
            if number >= len(before) or row != before[number]:
                self._show(number, row)
        self.rows = tuple(rows)
        keys = [row.key for row in rows]
        if current in keys:
            self.selectRow(keys.index(current))
            self.scrollToItem(self.item(keys.index(current), 0))
        else:
            self.clearSelection()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Pick the current row on Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentRow() >= 0:
            event.accept()
            self.picked.emit(self.rows[self.currentRow()].key)
        else:
            super().keyPressEvent(event)

    def _show(self, number: int, row: ImageRow) -> None:
        for column, text in enumerate((row.name, row.state, str(row.unsure or ""))):
            item = QTableWidgetItem(text)
            item.setToolTip(row.reasons or row.name)
            if row.accepted:
                item.setForeground(QBrush(QColor(DIM)))
            elif column == 2:
                item.setForeground(QBrush(QColor(NOTE)))
            self.setItem(number, column, item)


class ReviewForm(QWidget):
    """The controls; ``changed`` says that a filter or the order was chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.counters = MessageLabel("", DIM)
        layout.addWidget(self.counters)
        self.filter = QComboBox()
        self.filter.setToolTip(review_texts.FILTER_TIP)
        narrow(self.filter)
        self.filter.addItem(review_texts.FILTER_ALL, None)
        for state in ReviewState:
            self.filter.addItem(review_texts.FILTER_STATE.format(state=state), state)
        for reason in Reason:
            self.filter.addItem(review_texts.FILTER_REASON[reason], reason)
        self.order = QComboBox()
        self.order.setToolTip(review_texts.ORDER_TIP)
        self.order.addItem(review_texts.ORDER_WORST, True)
        self.order.addItem(review_texts.ORDER_NAME, False)
        for box in (self.filter, self.order):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        layout.addLayout(row_of(self.filter, self.order, stretched=self.filter))
        self.table = ImageTable()
        layout.addWidget(self.table, 1)
        self.patches = PatchView()
        layout.addWidget(self.patches)
        helps = {shortcut.action: shortcut for shortcut in shortcuts.SHORTCUTS}
        self.buttons: dict[str, Button] = {}
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, (action, text) in enumerate(BUTTONS.items()):
            known = helps[action]
            tip = f"{known.help[:1].upper()}{known.help[1:]} ({known.shown})."
            self.buttons[action] = Button(text, tip)
            whole_row = action == "accept_image"
            grid.addWidget(self.buttons[action], number // 3, number % 3, 1, 3 if whole_row else 1)
        layout.addLayout(grid)
        self.move_others = QCheckBox(review_texts.MOVE_OTHERS)
        self.move_others.setToolTip(review_texts.MOVE_OTHERS_TIP)
        self.move_others.setChecked(True)
        layout.addWidget(self.move_others)
        self.message = MessageLabel()
        layout.addWidget(self.message)

    def show_reasons(self, no_image: str, no_result: str, no_point: str) -> None:
        """Enable what can be done, and say why the rest cannot."""
        for action, button in self.buttons.items():
            of_images = action in ("previous_image", "next_image", "next_corrected")
            of_point = action in ("accept_point", "reset_point")
            button.set_reason(no_image if of_images else no_result or (no_point * of_point))
