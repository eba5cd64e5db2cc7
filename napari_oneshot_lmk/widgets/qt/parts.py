"""Small Qt parts that the docks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.row_table import RowTable

# Each has a contrast of at least 3 to 1 on the backgrounds of both themes.
WARN = "#e0503f"
NOTE = "#ad7a1e"
DIM = "#7f858d"
LINK = "#4680da"
THUMBNAIL = 88


class Button(QPushButton):
    """A button whose tooltip says why it is disabled."""

    def __init__(self, text: str, tip: str = "") -> None:
        super().__init__(text)
        self._tip = tip
        self.reason = ""
        self.setToolTip(tip)

    def set_reason(self, reason: str) -> None:
        """Disable the button for a reason, or enable it where there is none."""
        self.reason = reason
        self.setEnabled(not reason)
        self.setToolTip(texts.sentence(reason) or self._tip)


class MessageLabel(QLabel):
    """A wrapped text that takes no room while it is empty."""

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
    """One landmark in a `LandmarkTable`; ``cells`` are the texts right of its name."""

    name: str
    cells: tuple[str, ...]
    colour: str
    """CSS colour of its dot."""
    hollow: bool = False
    """Whether the dot is drawn as a ring."""
    dim: bool = False
    tip: str = ""


class LandmarkTable(RowTable):
    """A row per landmark: number, name with a coloured dot, and further columns."""

    picked = Signal(str)
    """On a click, when a key has moved to another row, and on Enter; never by `show_rows`."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns, stretched=1)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setIconSize(QSize(12, 12))
        self.cellClicked.connect(lambda row, _: self.picked.emit(self.rows[row].name))

    def show_rows(self, rows: Sequence[LandmarkRow], current: str = "") -> None:
        """Show landmarks and highlight one of them."""
        names = [row.name for row in rows]
        self.show_list(rows, names.index(current) if current in names else None)

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
        if (chosen or row != before) and 0 <= row < len(self.rows):
            self.picked.emit(self.rows[row].name)

    def draw_row(self, number: int, row: LandmarkRow) -> None:
        """Set the cells of a landmark."""
        for column, text in enumerate((str(number + 1), row.name, *row.cells)):
            item = QTableWidgetItem(text)
            item.setToolTip(row.tip)
            if row.dim or column == 0:
                item.setForeground(QBrush(QColor(DIM)))
            if column == 1:
                item.setIcon(dot(row.colour, row.hollow))
            self.setItem(number, column, item)


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
        """Return the text beside the image."""
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
        placed = texts.counted(len(template.landmarks.placed), "landmark")
        name = template.name
        self._lines.say(texts.TEMPLATE_LINES.format(name=name, landmarks=placed, spacing=spacing))


def row_of(*parts: QWidget | str, stretched: QWidget | None = None) -> QHBoxLayout:
    """Lay widgets and labels of texts side by side; ``stretched`` takes the room left."""
    row = QHBoxLayout()
    for part in parts:
        widget = QLabel(part) if isinstance(part, str) else part
        row.addWidget(widget, int(widget is stretched))
    return row


def add_parts(
    layout: QVBoxLayout, *parts: QWidget | QHBoxLayout, stretched: QWidget | None = None
) -> None:
    """Put widgets and rows one below the other; ``stretched`` takes the room left."""
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, int(part is stretched))
        else:
            layout.addLayout(part)


def narrow(control: QWidget) -> None:
    """Let no long text of a control make the dock wide."""
    control.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)


def dot(colour: str, hollow: bool = False) -> Any:
    """Draw a small disc or ring as an icon."""
    pixmap = QPixmap(24, 24)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), 4))
    painter.setBrush(Qt.BrushStyle.NoBrush if hollow else QBrush(QColor(colour)))
    painter.drawEllipse(4, 4, 16, 16)
    painter.end()
    icon = QIcon()
    icon.addPixmap(pixmap)
    # In a selected row Qt would tint it.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon


def thumbnail(pixels: np.ndarray) -> QPixmap:
    """Draw grey (H, W) pixels small, stretched from the 1st to the 99th percentile."""
    step = max(1, max(pixels.shape) // (2 * THUMBNAIL))
    small = pixels[::step, ::step]
    low, high = np.percentile(small, (1, 99))
    grey = np.clip((small - low) / max(high - low, 1e-6), 0, 1)
    rows, columns = grey.shape
    data = (255 * grey).astype(np.uint8).tobytes()
    image = QImage(data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image).scaled(THUMBNAIL, THUMBNAIL, keep, smooth)


def icon_of(grey: np.ndarray) -> QIcon:
    """Return (h, w) uint8 grey pixels as an icon."""
    rows, columns = grey.shape
    data = grey.tobytes()
    image = QImage(data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    pixmap, icon = QPixmap.fromImage(image), QIcon()
    icon.addPixmap(pixmap)
    # In a selected row Qt would tint it.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
