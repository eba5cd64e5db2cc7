"""The loss over the epochs, drawn by hand: no plotting library in the window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets.parts import DIM, LINK, NOTE

STAGE_COLOURS = {"template": NOTE, "pseudo-labels": LINK}
STAGE_NAMES = {"template": words.STAGE_TEMPLATE, "pseudo-labels": words.STAGE_LABELS}
RAW_COLOUR = "#8a9099"
LEFT, RIGHT, TOP, BOTTOM = 38, 10, 18, 20
"""Margins in pixels: numbers stand left of the curve and below it."""

Points = Sequence[tuple[float, float]]
"""(epoch, loss), in order."""


class LossCurve(QWidget):
    """Thin: every step. Thick, with dots: the mean of each epoch, by stage."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(110)
        self.setToolTip(words.CURVE_TIP)
        self._steps: Points = ()
        self._stages: Mapping[str, Points] = {}
        self._epochs = 1

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Prefer to be twice as wide as high."""
        return QSize(320, 160)

    def show_losses(self, steps: Points, stages: Mapping[str, Points], epochs: int) -> None:
        """Show the losses so far.

        Parameters
        ----------
        steps : sequence of (epoch, loss)
            Of steps, epochs from 0.
        stages : mapping of str to sequence of (epoch, loss)
            Mean of each epoch, by stage.
        epochs : int
            Until where the curve will go.
        """
        new = (steps, {name: tuple(points) for name, points in stages.items()})
        if (new, epochs) == ((self._steps, self._stages), self._epochs):
            return
        self._steps, self._stages = new
        self._epochs = max(1, epochs)
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        painter.setFont(font)
        box = QRectF(LEFT, TOP, self.width() - LEFT - RIGHT, self.height() - TOP - BOTTOM)
        losses = [loss for _, loss in self._all() if math.isfinite(loss)]
        if not losses or box.width() < 20 or box.height() < 20:
            painter.setPen(QColor(DIM))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, words.CURVE_WAITING)
            painter.end()
            return
        low, high = loss_range(losses)
        self._axes(painter, box, low, high)
        place = _Place(box, float(self._epochs), low, high)
        painter.setClipRect(box.adjusted(-4, -4, 4, 4))
        _line(painter, place, self._steps, RAW_COLOUR, 1.0, dots=False)
        for stage, points in self._stages.items():
            colour = STAGE_COLOURS.get(stage, LINK)
            # Dots that touch say no more than the line.
            _line(painter, place, points, colour, 2.0, dots=len(points) <= 40)
        painter.end()

    def _all(self) -> list[tuple[float, float]]:
        return [*self._steps, *(p for points in self._stages.values() for p in points)]

    def _axes(self, painter: QPainter, box: QRectF, low: float, high: float) -> None:
        painter.setPen(QPen(QColor(DIM), 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        painter.drawLine(box.bottomLeft(), box.topLeft())
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in (low, (low + high) / 2, high):
            y = box.bottom() - (value - low) / (high - low) * box.height()
            painter.drawText(QRectF(0, y - 8, LEFT - 4, 16), right, f"{value:.3g}")
        below = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        for epoch in epoch_ticks(self._epochs):
            x = box.left() + epoch / self._epochs * box.width()
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + 3))
            text = QRectF(x - 30, box.bottom() + 3, 60, 16)
            if epoch == self._epochs:
                text.moveRight(self.width())
                align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
                painter.drawText(text, align, f"{words.CURVE_EPOCH} {epoch}")
            else:
                painter.drawText(text, below, str(epoch))
        painter.drawText(QPointF(2, TOP - 6), words.CURVE_TITLE)
        x = float(self.width() - RIGHT)
        legend = [(words.CURVE_STEP, RAW_COLOUR)]
        for stage in self._stages:
            colour = STAGE_COLOURS.get(stage, LINK)
            legend.append((STAGE_NAMES.get(stage, stage), colour))
        for name, colour in reversed(legend):
            width = painter.fontMetrics().horizontalAdvance(name)
            painter.setPen(QColor(colour))
            painter.drawText(QPointF(x - width, TOP - 6), name)
            x -= width + 14
            painter.setPen(QPen(QColor(DIM), 1))


class _Place:
    """From (epoch, loss) to a point of the widget."""

    def __init__(self, box: QRectF, epochs: float, low: float, high: float) -> None:
        self._box, self._epochs, self._low, self._high = box, epochs, low, high

    def __call__(self, epoch: float, loss: float) -> QPointF:
        box = self._box
        share = (min(max(loss, self._low), self._high) - self._low) / (self._high - self._low)
        return QPointF(
            box.left() + epoch / self._epochs * box.width(), box.bottom() - share * box.height()
        )


def _line(
    painter: QPainter, place: _Place, points: Points, colour: str, width: float, *, dots: bool
) -> None:
    here = [place(e, loss) for e, loss in points if math.isfinite(loss)]
    if not here:
        return
    path = QPainterPath(here[0])
    for point in here[1:]:
        path.lineTo(point)
    painter.setPen(QPen(QColor(colour), width))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)
    if dots:
        painter.setBrush(QColor(colour))
        for point in here:
            painter.drawEllipse(point, 2.0, 2.0)


def loss_range(losses: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest loss to show, never the same.

    The first steps of a training are many times as high as all others; a few of
    them may leave the picture.
    """
    ordered = sorted(losses)
    low, high = ordered[0], ordered[-1]
    if len(ordered) > 20:
        high = ordered[round(0.98 * (len(ordered) - 1))]
    room = 0.05 * (high - low) or max(abs(high), 1e-3) * 0.05
    return low - room, high + room


def epoch_ticks(epochs: int) -> tuple[int, ...]:
    """Return a few round epochs from 0 to the last one."""
    step = 1
    for candidate in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        step = candidate
        if epochs / candidate <= 6:
            break
    ticks = [e for e in range(0, epochs, step) if epochs - e > 0.6 * step]
    return (*ticks, epochs)
