"""A list whose rows are read and chosen, not edited."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
ROW_PX = 22


class RowTable(QTableWidget):
    """Whole rows are chosen, one at a time; Tab goes on to the next control.

    Parameters
    ----------
    titles : sequence of str
        Of the columns; they may be set later, too.
    stretched : int
        Column that takes the room left.
    least_px : int
        Height below which what is around it scrolls instead.
    """

    def __init__(self, titles: Sequence[str] = (), stretched: int = 0, least_px: int = 150) -> None:
        super().__init__(0, len(titles))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(least_px)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        self.rows: tuple[Any, ...] = ()
        if titles:
            self.setHorizontalHeaderLabels(list(titles))
            # Qt's own fitting to contents measures all rows again at each cell that is set.
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
            for column in range(len(titles)):
                self.horizontalHeaderItem(column).setTextAlignment(LEFT)
            self._fit_columns()

    def show_list(self, rows: Sequence[Any], chosen: int | None) -> None:
        """Show rows and highlight one; only those that have changed are drawn."""
        fewer_or_more = len(rows) != len(self.rows)
        if fewer_or_more:
            self.setRowCount(len(rows))
            self.rows = ()
        both = enumerate(zip_longest(rows, self.rows))
        changed = [number for number, (row, before) in both if row != before]
        for number in changed:
            self.draw_row(number, rows[number])
        self.rows = tuple(rows)
        if changed or fewer_or_more:
            self._fit_columns()
        if chosen is None:
            self.clearSelection()
        else:
            self.selectRow(chosen)
            self.scrollToItem(self.item(chosen, 0))

    def changeEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Fit the columns to another font, which napari gives a dock after it is made."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit_columns()

    def _fit_columns(self) -> None:
        header = self.horizontalHeader()
        for column in range(self.columnCount()):
            if header.sectionResizeMode(column) == QHeaderView.ResizeMode.Fixed:
                self.resizeColumnToContents(column)

    def draw_row(self, number: int, row: Any) -> None:
        """Set the cells of a row."""
        raise NotImplementedError
