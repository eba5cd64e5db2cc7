"""What the step "Measure" looks like; it shows what it is given, no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QProgressBar,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.widgets import measure_texts as t
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.measure.definition import DefinitionForm
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    NOTE,
    Button,
    MessageLabel,
    add_parts,
    narrow,
    row_of,
)
from napari_oneshot_lmk.widgets.qt.row_table import RowTable


@dataclass(frozen=True)
class ValueRow:
    """One measurement in the table."""

    name: str
    value: str
    norm: str = ""
    deviation: str = ""
    tip: str = ""
    missing: bool = False
    far: bool = False
    """Whether it lies more than two standard deviations from the norm."""


@dataclass(frozen=True)
class Reasons:
    """Why each button is disabled; empty where it is not."""

    define: str = ""
    remove: str = ""
    save: str = ""
    all_images: str = ""


class ValueTable(RowTable):
    """A row per measurement; ``picked`` is emitted on a click and when a key moves on."""

    picked = Signal(str)

    def __init__(self) -> None:
        titles = (t.COLUMN_NAME, t.COLUMN_VALUE, t.COLUMN_NORM, t.COLUMN_DEVIATION)
        super().__init__(titles, least_px=180)
        self.setToolTip(t.TABLE_TIP)
        self.cellClicked.connect(lambda row, _: self.picked.emit(self.rows[row].name))

    def show_rows(self, rows: Sequence[ValueRow], chosen: str) -> None:
        """Show measurements and highlight one."""
        names = [row.name for row in rows]
        self.show_list(rows, names.index(chosen) if chosen in names else None)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Pick the row that a key moves to."""
        before = self.currentRow()
        super().keyPressEvent(event)
        if self.currentRow() != before and 0 <= self.currentRow() < len(self.rows):
            self.picked.emit(self.rows[self.currentRow()].name)

    def draw_row(self, number: int, row: ValueRow) -> None:
        """Set the cells of a measurement."""
        for column, text in enumerate((row.name, row.value, row.norm, row.deviation)):
            item = QTableWidgetItem(text)
            item.setToolTip(row.tip)
            if row.missing:
                item.setForeground(QBrush(QColor(DIM)))
            elif row.far and column == 3:
                item.setForeground(QBrush(QColor(NOTE)))
            self.setItem(number, column, item)


class MeasureForm(QWidget):
    """The controls, one below the other."""

    def __init__(self) -> None:
        super().__init__()
        self.sets = QComboBox()
        self.sets.setToolTip(t.SET_TIP)
        narrow(self.sets)
        self.open = Button(t.SET_OPEN, t.SET_OPEN_TIP)
        self.save = Button(t.SET_SAVE, t.SET_SAVE_TIP)
        self.hint = MessageLabel("", DIM)
        self.table = ValueTable()
        self.tracing = QCheckBox(t.TRACING)
        self.tracing.setToolTip(t.TRACING_TIP)
        self.define = Button(t.DEFINE, t.DEFINE_TIP)
        self.remove = Button(t.REMOVE, t.REMOVE_TIP)
        self.definition = DefinitionForm()
        self.all_images = Button(t.TABLE, t.TABLE_TIP_ALL)
        self.pages = Button(t.PAGES, t.PAGES_TIP)
        self.page_format = QComboBox()
        self.page_format.setToolTip(t.PAGE_FORMAT_TIP)
        for form, words in t.PAGE_FORMATS.items():
            self.page_format.addItem(words, form)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.cancel = Button(texts.CANCEL)
        self.message = MessageLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        add_parts(
            layout,
            row_of(t.SET, self.sets, self.open, self.save, stretched=self.sets),
            self.hint,
            self.table,
            row_of(self.tracing, self.define, self.remove, stretched=self.tracing),
            self.definition,
            row_of(self.all_images, self.pages, self.page_format, stretched=self.all_images),
            row_of(self.progress, self.cancel, stretched=self.progress),
            self.message,
            stretched=self.table,
        )
        self.show_progress(0, 0)

    def show_sets(self, titles: Sequence[tuple[str, str]], chosen: str) -> None:
        """Offer sets by title and name; the names of what is not offered are empty."""
        self.sets.blockSignals(True)
        self.sets.clear()
        for title, name in titles:
            self.sets.addItem(title, name)
        self.sets.setCurrentIndex(self.sets.findData(chosen))
        self.sets.blockSignals(False)

    def show_progress(self, done: int, total: int) -> None:
        """Show how much is done of how much; nothing where there is nothing to do."""
        for part in (self.progress, self.cancel):
            part.setVisible(total > 0)
        self.progress.setMaximum(total)
        self.progress.setValue(done)

    def show_reasons(self, reasons: Reasons) -> None:
        """Enable what can be done, and say why the rest cannot."""
        self.define.set_reason(reasons.define)
        self.remove.set_reason(reasons.remove)
        self.save.set_reason(reasons.save)
        self.all_images.set_reason(reasons.all_images)
        self.pages.set_reason(reasons.all_images)
