"""The plots of the step "Evaluate", drawn in the colours of the window.

They are drawn anew after each correction and at each width of the dock. Qt does that in some
hundredths of a second; the figures of `evaluation.plots` on a canvas of matplotlib took more than
ten times as long (19 landmarks on 150 images), during which the window stood still.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_oneshot_lmk.evaluation.comparison import RADII
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.evaluate.tables import STANDS_OUT

if TYPE_CHECKING:
    from napari_oneshot_lmk.evaluation.comparison import Comparison

BLUE = "#3f88c5"
"""Read on a light and on a dark window."""
LEFT, RIGHT, TOP, BOTTOM = 40, 30, 8, 34
"""Margins in pixels: numbers stand left of a plot and below it."""
INK_ALPHA = 170
NAMES = 118
"""Pixels for the names of landmarks."""
ROW = 15
MOST_STEPS = 600
MANY = 50
"""Dots of a row from which on they are drawn without smooth edges."""
LEAST_RANGE = RADII[-1] + 1
"""Of the axis of errors, so that all radii are on it."""


class ErrorPlot(QWidget):
    """Errors along the x axis, with dotted lines at the radii of the table."""

    left = LEFT

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setToolTip(tip)
        self.comparison: Comparison | None = None
        self.limit = LEAST_RANGE

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Prefer to be twice as wide as high."""
        return QSize(320, 170)

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """As high as it needs to be read."""
        return QSize(200, self.sizeHint().height())

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Show the errors of a comparison."""
        self.comparison = comparison
        errors = np.empty(0) if comparison is None else comparison.errors()
        # Single gross errors must not squeeze all others.
        far = float(np.percentile(errors, 98)) if errors.size else 0.0
        self.limit = max(LEAST_RANGE, far * 1.05)
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        painter.setFont(font)
        width = self.width() - self.left - RIGHT
        box = QRectF(self.left, TOP, width, self.height() - TOP - BOTTOM)
        shown = self.comparison
        if shown is None or not shown.overall.n or box.width() < 20 or box.height() < 20:
            painter.setPen(self.ink)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, evaluate_texts.PLOT_EMPTY)
        else:
            self._draw_axis(painter, box, shown.unit)
            self.draw(painter, box, shown)
        painter.end()

    @property
    def ink(self) -> QColor:
        """Colour of axes and words: that of the window's text, fainter."""
        colour = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        colour.setAlpha(INK_ALPHA)
        return colour

    @abstractmethod
    def draw(self, painter: QPainter, box: QRectF, shown: Comparison) -> None:
        """Draw the errors into a box."""

    def x(self, error: float, box: QRectF) -> float:
        """Return where an error lies."""
        return float(box.left() + min(error, self.limit) / self.limit * box.width())

    def _draw_axis(self, painter: QPainter, box: QRectF, unit: str) -> None:
        painter.setPen(QPen(self.ink, 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        middle = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        for tick in _ticks(self.limit):
            x = self.x(tick, box)
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + 3))
            painter.drawText(QRectF(x - 30, box.bottom() + 3, 60, 15), middle, f"{tick:g}")
        title = QRectF(box.left(), box.bottom() + 17, box.width(), 16)
        painter.drawText(title, middle, evaluate_texts.PLOT_AXIS.format(unit=unit))
        painter.setPen(QPen(self.ink, 1, Qt.PenStyle.DotLine))
        for radius in RADII:
            x = self.x(radius, box)
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))


class CumulativePlot(ErrorPlot):
    """The share of points that are nearer than each distance."""

    def __init__(self) -> None:
        super().__init__(evaluate_texts.PLOT_CUMULATIVE_TIP)

    def draw(self, painter: QPainter, box: QRectF, shown: Comparison) -> None:
        """Draw steps, each at an error."""
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.setPen(QPen(self.ink, 1))
        painter.drawLine(box.bottomLeft(), box.topLeft())
        for percent in (0, 50, 100):
            y = box.bottom() - percent / 100 * box.height()
            painter.drawText(QRectF(0, y - 8, LEFT - 4, 16), right, f"{percent} %")
        errors = np.sort(shown.errors())
        errors = errors[errors <= self.limit]
        count = shown.overall.n
        line = [QPointF(box.left(), box.bottom())]
        # More steps than pixels look the same and take long to draw.
        numbers = np.unique(np.linspace(1, len(errors), min(len(errors), MOST_STEPS), dtype=int))
        for number, error in zip(numbers.tolist(), errors[numbers - 1], strict=True):
            x = self.x(float(error), box)
            line.append(QPointF(x, line[-1].y()))
            line.append(QPointF(x, box.bottom() - number / count * box.height()))
        line.append(QPointF(box.right(), line[-1].y()))
        painter.setPen(QPen(QColor(BLUE), 2))
        painter.drawPolyline(QPolygonF(line))


class LandmarkPlot(ErrorPlot):
    """A row of dots per landmark, with a bar at the median."""

    left = NAMES

    def __init__(self) -> None:
        super().__init__(evaluate_texts.PLOT_LANDMARKS_TIP)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """As high as its rows."""
        rows = 0 if self.comparison is None else len(self.comparison.landmarks)
        return QSize(320, max(170, TOP + BOTTOM + ROW * rows))

    def draw(self, painter: QPainter, box: QRectF, shown: Comparison) -> None:
        """Draw the rows in the order of the reference."""
        row = box.height() / len(shown.landmarks)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        metrics = painter.fontMetrics()
        blue = QColor(BLUE)
        blue.setAlpha(170)
        dots = QPen(blue, 4.4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
        for number, each in enumerate(shown.landmarks):
            y = box.top() + (number + 0.5) * row
            elide = Qt.TextElideMode.ElideMiddle
            name = metrics.elidedText(each.landmark, elide, NAMES - 8)
            painter.setPen(self.ink)
            painter.drawText(QRectF(0, y - row / 2, NAMES - 6, row), right, name)
            errors = shown.errors(each.landmark)
            beyond = int((errors > self.limit).sum())
            if beyond:
                text = evaluate_texts.BEYOND.format(count=beyond)
                painter.drawText(QRectF(box.right() + 3, y - row / 2, RIGHT, row), left, text)
            painter.setPen(dots)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, len(errors) < MANY)
            near = errors[errors <= self.limit]
            painter.drawPoints(QPolygonF([QPointF(self.x(float(e), box), y) for e in near]))
            if each.n:
                x = self.x(each.median, box)
                painter.setPen(QPen(QColor(STANDS_OUT), 2.5))
                painter.drawLine(QPointF(x, y - row * 0.38), QPointF(x, y + row * 0.38))


def _ticks(limit: float) -> list[float]:
    """Return up to seven round numbers from 0 to a limit."""
    step = 10.0 ** np.floor(np.log10(limit / 6))
    step *= next(factor for factor in (1, 2, 5, 10) if limit / (step * factor) <= 6.5)
    return [float(n * step) for n in range(int(limit / step) + 1)]
