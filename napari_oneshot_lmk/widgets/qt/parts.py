"""Small Qt parts that the docks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_oneshot_lmk.widgets import texts

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template

WARN = "#ff7a70"
NOTE = "#e8b34b"
DIM = "#9aa0a8"
LINK = "#8ab4f8"
THUMBNAIL = 88


class Button(QPushButton):
    """A button that says why it cannot be pressed.

    Parameters
    ----------
    text : str
        What it does.
    tip : str
        More about it.
    """

    def __init__(self, text: str, tip: str = "") -> None:
        super().__init__(text)
        self._tip = tip
        self.reason = ""
        self.setToolTip(tip)

    def set_reason(self, reason: str) -> None:
        """Disable the button for a reason, or enable it where there is none."""
        self.reason = reason
        self.setEnabled(not reason)
        self.setToolTip(f"{reason[:1].upper()}{reason[1:]}." if reason else self._tip)


class MessageLabel(QLabel):
    """A wrapped line of text that takes no room while it is empty."""

    def __init__(self, text: str = "", colour: str = "") -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._colour = ""
        self.say(text, colour)

    def say(self, text: str, colour: str = "") -> None:
        """Show a text, in a colour where it matters."""
        if colour != self._colour:
            self._colour = colour
            self.setStyleSheet(f"color: {colour};" if colour else "")
        self.setText(text)
        # Without a parent, showing it would open a window.
        if not text or self.parentWidget() is not None:
            self.setVisible(bool(text))


class WarningLabel(MessageLabel):
    """A warning of which only the first part shows until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.linkActivated.connect(self._unfold)
        self._whole = ""

    def warn(self, text: str) -> None:
        """Show a warning; up to its first colon it must make sense alone."""
        if text == self._whole:
            return
        self._whole = text
        short, colon, _ = text.partition(": ")
        self.say(texts.NOTE_MORE.format(short=short, link=LINK) if colon else text, NOTE)

    def _unfold(self, _: str) -> None:
        self.say(self._whole, NOTE)


@dataclass(frozen=True)
class LandmarkRow:
    """One landmark in a table.

    Parameters
    ----------
    name : str
        Its name.
    cells : tuple of str
        Texts right of the name.
    colour : str
        CSS colour of its dot.
    hollow : bool
        Draw the dot as a ring.
    dim : bool
        Nothing is known of it yet.
    tip : str
        Description.
    """

    name: str
    cells: tuple[str, ...]
    colour: str
    hollow: bool = False
    dim: bool = False
    tip: str = ""


class LandmarkTable(QTableWidget):
    """Number, coloured dot with name, and more.

    Emits ``picked`` on a click, when a key has moved to another row, and on Enter;
    never for what `show_rows` highlights.
    """

    picked = Signal(str)

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        # Tab goes on to the next control instead of through the cells.
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(12, 12))
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        for column in range(len(columns)):
            left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            self.horizontalHeaderItem(column).setTextAlignment(left)
        self.setMinimumHeight(150)
        self._rows: list[LandmarkRow] = []
        self.cellClicked.connect(self._on_click)

    def show_rows(self, rows: Sequence[LandmarkRow], current: str = "") -> None:
        """Show landmarks and highlight one of them."""
        if len(rows) != len(self._rows):
            self.setRowCount(len(rows))
            self._rows = []
        for number, row in enumerate(rows):
            if number < len(self._rows) and self._rows[number] == row:
                continue
            self._show(number, row)
        self._rows = list(rows)
        names = [row.name for row in rows]
        if current in names:
            self.selectRow(names.index(current))
            self.scrollToItem(self.item(names.index(current), 0))
        else:
            self.clearSelection()

    @property
    def rows(self) -> tuple[LandmarkRow, ...]:
        """What is shown."""
        return tuple(self._rows)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Pick the row that a key moves to, or the current one on Enter."""
        before = self.currentRow()
        chosen = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        # In a table of cells Qt takes Home and End for those of the row.
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: self.rowCount() - 1}
        if chosen:
            event.accept()
        elif event.key() in ends:
            self.setCurrentCell(ends[event.key()], max(0, self.currentColumn()))
        else:
            super().keyPressEvent(event)
        row = self.currentRow()
        if (chosen or row != before) and 0 <= row < len(self._rows):
            self.picked.emit(self._rows[row].name)

    def _show(self, number: int, row: LandmarkRow) -> None:
        for column, text in enumerate((str(number + 1), row.name, *row.cells)):
            item = QTableWidgetItem(text)
            item.setToolTip(row.tip)
            if row.dim or column == 0:
                item.setForeground(QBrush(QColor(DIM)))
            if column == 1:
                item.setIcon(dot(row.colour, row.hollow))
            self.setItem(number, column, item)

    def _on_click(self, row: int, column: int) -> None:
        self.picked.emit(self._rows[row].name)


class TemplateSummary(QWidget):
    """A template's image, name, number of landmarks and spacing."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QLabel()
        self._lines = MessageLabel()
        layout = row_of(self._image, self._lines, stretched=self._lines)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def text(self) -> str:
        """Return what is said of the template."""
        return str(self._lines.text())

    def show_template(self, template: Template | None) -> None:
        """Show a template, or how to get one."""
        self._image.setVisible(template is not None)
        if template is None:
            self._lines.say(texts.NO_TEMPLATE, DIM)
            return
        self._image.setPixmap(thumbnail(template.image.pixels))
        mm = template.image.geometry.spacing_mm_yx
        spacing = texts.SPACING_UNKNOWN
        if mm is not None:
            spacing = texts.TEMPLATE_SPACING.format(rows=mm[0], columns=mm[1])
        text = texts.TEMPLATE_LINES.format(
            name=template.name,
            landmarks=texts.counted(len(template.landmarks.placed), "landmark"),
            spacing=spacing,
        )
        self._lines.say(text)


def row_of(*parts: QWidget | str, stretched: QWidget | None = None) -> QHBoxLayout:
    """Lay parts beside each other, a text as its label; one may take the room left."""
    row = QHBoxLayout()
    for part in parts:
        widget = QLabel(part) if isinstance(part, str) else part
        row.addWidget(widget, int(widget is stretched))
    return row


def dot(colour: str, hollow: bool = False) -> Any:
    """Draw a small disc or ring as an icon."""
    size = 24
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), 4))
    painter.setBrush(Qt.BrushStyle.NoBrush if hollow else QBrush(QColor(colour)))
    painter.drawEllipse(4, 4, size - 8, size - 8)
    painter.end()
    icon = QIcon()
    # The same look in a selected row: Qt would tint it.
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(pixmap, mode)
    return icon


def thumbnail(pixels: np.ndarray) -> QPixmap:
    """Draw grey (H, W) pixels small, stretched from the 1st to the 99th percentile."""
    step = max(1, max(pixels.shape) // (2 * THUMBNAIL))
    small = pixels[::step, ::step]
    low, high = np.percentile(small, (1, 99))
    grey = np.clip((small - low) / max(high - low, 1e-6), 0, 1)
    grey = np.ascontiguousarray((255 * grey).astype(np.uint8))
    rows, columns = grey.shape
    image = QImage(grey.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image).scaled(
        THUMBNAIL,
        THUMBNAIL,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
