"""The two tables of the step "Evaluate": errors of landmarks, and single points."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QTableWidgetItem

from napari_oneshot_lmk.evaluation.comparison import RADII
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.qt.row_table import LEFT, RowTable

if TYPE_CHECKING:
    from napari_oneshot_lmk.evaluation.comparison import ComparedPoint, Comparison, ErrorSummary

STANDS_OUT = "#d55e00"
"""Okabe and Ito's vermilion: told from black and white with any kind of colour vision."""
MOST_POINTS = 200
"""Rows in the list of points; nobody looks at more, and a table has them all."""
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class NumberTable(RowTable):
    """A table whose rows are picked on a click and on Enter; numbers stand to the right."""

    row_picked = Signal(int)

    def __init__(self, texts_to_the_left: Sequence[int], stretched: int) -> None:
        super().__init__(least_px=120)
        self._left = texts_to_the_left
        self._stretched = stretched
        self._shown: object = None
        self._least_px = 0
        self.cellClicked.connect(lambda row, _: self.row_picked.emit(row))

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Pick the current row on Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentRow() >= 0:
            event.accept()
            self.row_picked.emit(self.currentRow())
        else:
            super().keyPressEvent(event)

    def show_all(
        self,
        titles: Sequence[str],
        rows: Sequence[Sequence[str]],
        tips: Sequence[str] = (),
        stand_out: Collection[int] = (),
    ) -> None:
        """Show titles and rows; ``stand_out`` are numbers of rows in another colour."""
        shown = tuple(titles), tuple(map(tuple, rows)), frozenset(stand_out)
        if shown == self._shown:
            return
        self._shown = shown
        self.setRowCount(0)
        self.setColumnCount(len(titles))
        self.setHorizontalHeaderLabels(list(titles))
        self.setRowCount(len(rows))
        for column in range(len(titles)):
            item = self.horizontalHeaderItem(column)
            item.setTextAlignment(self._side(column))
            if column < len(tips):
                item.setToolTip(tips[column])
        for number, cells in enumerate(rows):
            for column, text in enumerate(cells):
                self.setItem(number, column, self._cell(text, column, number in stand_out))
        self.resizeColumnsToContents()
        self._least_px = self.columnWidth(self._stretched)
        self._stretch()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Use the room that there is."""
        super().resizeEvent(event)
        self._stretch()

    def _stretch(self) -> None:
        """Give a column the room left, but never less than its texts need: then it scrolls."""
        header = self.horizontalHeader()
        if self._stretched < self.columnCount():
            others = header.length() - header.sectionSize(self._stretched)
            room = self.viewport().width() - others
            header.resizeSection(self._stretched, max(self._least_px, room))

    def _cell(self, text: str, column: int, stands_out: bool) -> QTableWidgetItem:
        item = QTableWidgetItem(text)
        item.setTextAlignment(self._side(column))
        item.setToolTip(text)
        if stands_out:
            item.setForeground(QBrush(QColor(STANDS_OUT)))
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        return item

    def _side(self, column: int) -> Qt.AlignmentFlag:
        return LEFT if column in self._left else _RIGHT


class ErrorTableView(NumberTable):
    """A row for all landmarks, then one for each; ``picked`` carries its name, "" for all."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__((0,), 0)
        self._names: tuple[str, ...] = ()
        self.row_picked.connect(lambda row: self.picked.emit(self._names[row]))

    def show_errors(self, comparison: Comparison | None, current: str) -> None:
        """Show errors and highlight a landmark."""
        if comparison is None:
            return
        t, unit = evaluate_texts, comparison.unit
        rows = (comparison.overall, *comparison.landmarks)
        self._names = tuple(row.landmark for row in rows)
        titles = (
            *(t.COLUMN_LANDMARK, t.COLUMN_N, t.COLUMN_MRE.format(unit=unit), t.COLUMN_MEDIAN),
            *(t.COLUMN_RATE.format(radius=radius) for radius in RADII),
        )
        rate_tips = (t.COLUMN_RATE_TIP.format(radius=radius, unit=unit) for radius in RADII)
        self.show_all(titles, [_cells(row) for row in rows], (*t.COLUMN_TIPS, *rate_tips))
        if current in self._names:
            self.selectRow(self._names.index(current))


class PointTable(NumberTable):
    """Points, the farthest from the reference first; ``picked`` carries one."""

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__((0, 1, 3), 0)
        self.points: tuple[ComparedPoint, ...] = ()
        self.row_picked.connect(lambda row: self.picked.emit(self.points[row]))

    def show_points(self, points: Sequence[ComparedPoint], unit: str) -> None:
        """Show the first of some points."""
        t = evaluate_texts
        error = t.COLUMN_ERROR.format(unit=unit)
        self.points = tuple(points[:MOST_POINTS])
        notes = [
            t.OUTLIER if point.is_outlier else t.NOTES.get(str(point.outcome), "")
            for point in self.points
        ]
        rows = [
            (p.image, p.landmark, "–" if p.error is None else f"{p.error:.2f}", note)
            for p, note in zip(self.points, notes, strict=True)
        ]
        self.show_all(
            (t.COLUMN_IMAGE, t.COLUMN_LANDMARK, error, t.COLUMN_NOTE),
            rows,
            stand_out=[number for number, note in enumerate(notes) if note],
        )


def _cells(row: ErrorSummary) -> tuple[str, ...]:
    name = row.landmark or evaluate_texts.ALL
    if not row.n:
        return (name, "0", *["–"] * (2 + len(row.sdr_percent)))
    rates = (f"{rate:.0f}" for rate in row.sdr_percent)
    return (name, str(row.n), f"{row.mre:.2f}", f"{row.median:.2f}", *rates)
