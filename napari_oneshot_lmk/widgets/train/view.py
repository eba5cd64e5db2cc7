"""The controls of the tab "Train" while a training runs, and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QCheckBox, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    LINK,
    NOTE,
    WARN,
    Button,
    MessageLabel,
    add_parts,
    row_of,
)
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.progress import TrainingProgress
from napari_oneshot_lmk.widgets.train.request import Phase
from napari_oneshot_lmk.widgets.train.run import TrainingRun

STAGE_COLOURS = {"template": NOTE, "pseudo-labels": LINK}
STAGE_NAMES = {
    "template": training_texts.STAGE_TEMPLATE,
    "pseudo-labels": training_texts.STAGE_LABELS,
}
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
        self.setToolTip(training_texts.CURVE_TIP)
        self._steps: Points = ()
        self._stages: Mapping[str, Points] = {}
        self._epochs = 1

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Prefer to be twice as wide as high."""
        return QSize(320, 160)

    def show_losses(self, steps: Points, stages: Mapping[str, Points], epochs: int) -> None:
        """Show the losses of steps, and each epoch's mean by stage; ``epochs`` is the last."""
        new = steps, {name: tuple(points) for name, points in stages.items()}, max(1, epochs)
        if new != (self._steps, self._stages, self._epochs):
            self._steps, self._stages, self._epochs = new
            self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        painter.setFont(font)
        box = QRectF(LEFT, TOP, self.width() - LEFT - RIGHT, self.height() - TOP - BOTTOM)
        curves = [self._steps, *self._stages.values()]
        losses = [loss for points in curves for _, loss in points if math.isfinite(loss)]
        if not losses or box.width() < 20 or box.height() < 20:
            painter.setPen(QColor(DIM))
            middle = Qt.AlignmentFlag.AlignCenter
            painter.drawText(self.rect(), middle, training_texts.CURVE_WAITING)
            painter.end()
            return
        low, high = loss_range(losses)
        self._axes(painter, box, low, high)

        def draw(points: Points, colour: str, width: float, dots: bool) -> None:
            placed = []
            for epoch, loss in points:
                if math.isfinite(loss):
                    share = (min(max(loss, low), high) - low) / (high - low)
                    x = box.left() + epoch / self._epochs * box.width()
                    placed.append(QPointF(x, box.bottom() - share * box.height()))
            painter.setPen(QPen(QColor(colour), width))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(QPolygonF(placed))
            painter.setBrush(QColor(colour))
            for point in placed if dots else ():
                painter.drawEllipse(point, 2.0, 2.0)

        painter.setClipRect(box.adjusted(-4, -4, 4, 4))
        draw(self._steps, RAW_COLOUR, 1.0, False)
        for stage, points in self._stages.items():
            # Dots that touch say no more than the line.
            draw(points, STAGE_COLOURS.get(stage, LINK), 2.0, len(points) <= 40)
        painter.end()

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
                painter.drawText(text, align, f"{training_texts.CURVE_EPOCH} {epoch}")
            else:
                painter.drawText(text, below, str(epoch))
        painter.drawText(QPointF(2, TOP - 6), training_texts.CURVE_TITLE)
        x = float(self.width() - RIGHT)
        legend = [(training_texts.CURVE_STEP, RAW_COLOUR)]
        legend += [(STAGE_NAMES.get(s, s), STAGE_COLOURS.get(s, LINK)) for s in self._stages]
        for name, colour in reversed(legend):
            width = painter.fontMetrics().horizontalAdvance(name)
            painter.setPen(QColor(colour))
            painter.drawText(QPointF(x - width, TOP - 6), name)
            x -= width + 14
            painter.setPen(QPen(QColor(DIM), 1))


def loss_range(losses: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest loss to show, never the same.

    The first steps of a training are many times as high as all others; a few of
    them may leave the plot.
    """
    ordered = sorted(losses)
    low, high = ordered[0], ordered[-1]
    if len(ordered) > 20:
        high = ordered[round(0.98 * (len(ordered) - 1))]
    room = 0.05 * (high - low) or max(abs(high), 1e-3) * 0.05
    return low - room, high + room


def epoch_ticks(epochs: int) -> tuple[int, ...]:
    """Return a few round epochs from 0 to the last one."""
    steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    step = next((step for step in steps if epochs / step <= 6), steps[-1])
    ticks = [e for e in range(0, epochs, step) if epochs - e > 0.6 * step]
    return (*ticks, epochs)


PER_MILLE = 1000
SHOWN_NOTES, NOTE_LENGTH = 2, 110
PREPARING = {
    "files": training_texts.CHECKING,
    "images": training_texts.PREPARING_IMAGES,
    "copies": training_texts.PREPARING_COPIES,
    "certainty": training_texts.PREPARING_CERTAINTY,
}


class TrainingView(QWidget):
    """Bar, time left, curve, and how it ended; shows a run and changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.title = MessageLabel()
        font = self.title.font()
        font.setBold(True)
        font.setPointSize(font.pointSize() + 2)
        self.title.setFont(font)
        self.notice = MessageLabel("", DIM)
        self.state = MessageLabel()
        self.bar = QProgressBar()
        self.bar.setMaximum(PER_MILLE)
        self.bar.setTextVisible(False)
        self.left = MessageLabel("", DIM)
        self.curve = LossCurve()
        self.shift = MessageLabel("", DIM)
        self.best = MessageLabel("", DIM)
        self.notes = MessageLabel("", NOTE)
        self.preview = QCheckBox(training_texts.SHOW_PREVIEW)
        self.preview.setToolTip(training_texts.SHOW_PREVIEW_TIP)
        self.preview.setChecked(True)
        self.stop = Button(training_texts.STOP, training_texts.STOP_TIP)
        self.cancel = Button(training_texts.CANCEL, training_texts.CANCEL_TIP)
        self.message = MessageLabel()
        self.use_model = Button(training_texts.USE_MODEL, training_texts.USE_MODEL_TIP)
        self.resume = Button(training_texts.RESUME, training_texts.RESUME_TIP)
        self.discard = Button(training_texts.DISCARD, training_texts.DISCARD_TIP)
        self.another = Button(training_texts.TRAIN_ANOTHER, training_texts.TRAIN_ANOTHER_TIP)
        self.report = Button(texts.COPY_REPORT, texts.COPY_REPORT_TIP)
        add_parts(
            layout,
            *(self.title, self.notice, self.state, self.bar, self.left, self.curve),
            *(self.shift, self.best, self.notes, self.preview, row_of(self.stop, self.cancel)),
            *(self.message, self.use_model, row_of(self.resume, self.discard)),
            *(self.another, self.report),
            stretched=self.curve,
        )

    def show_run(self, run: TrainingRun) -> None:
        """Show where a run stands."""
        phase, progress = run.phase, run.progress
        self.title.say("" if run.request is None else run.request.title)
        going = run.running or phase is Phase.DISCARDING
        self.state.say(state_of(phase, progress))
        self.bar.setVisible(going)
        share, preparing = progress.fraction, progress.preparing
        if preparing is not None and progress.step is None:
            share = preparing.done / max(1, preparing.total)
        self.bar.setValue(round(PER_MILLE * share))
        self.left.say(_time_left(progress) if phase is Phase.RUNNING else "", DIM)
        epochs = 1 if progress.step is None else progress.step.epochs
        self.curve.show_losses(progress.trace.points, progress.stages, epochs)
        self.curve.setVisible(going or progress.step is not None)
        self._show_epoch(progress)
        self._show_notes(progress)
        self.preview.setVisible(going)
        self._show_buttons(run)
        self._show_end(run)

    def _show_epoch(self, progress: TrainingProgress) -> None:
        epoch, best = progress.epoch, progress.best_epoch
        shift = "" if progress.step is None else training_texts.SHIFT_FIRST
        if epoch is not None:
            shift = training_texts.SHIFT.format(shift=epoch.shift, unit=epoch.unit)
        self.shift.say(shift, DIM)
        self.best.say(training_texts.BEST.format(epoch=best) if best else "", DIM)

    def _show_notes(self, progress: TrainingProgress) -> None:
        """Show the latest warnings, and all that was said as a tooltip."""
        serious = [note.text for note in progress.notes if note.serious]
        short = (shorten(text, NOTE_LENGTH, placeholder="…") for text in serious[-SHOWN_NOTES:])
        self.notes.say("<br>".join(map(escape, short)), NOTE)
        said = "\n\n".join(note.text for note in progress.notes)
        for part in (self.notes, self.state):
            part.setToolTip(said)

    def _show_buttons(self, run: TrainingRun) -> None:
        phase = run.phase
        going = run.running or phase is Phase.DISCARDING
        for button in (self.stop, self.cancel):
            button.setVisible(going)
        starting = training_texts.STARTING if phase is Phase.STARTING else ""
        discarding = training_texts.WHY_DISCARDING if phase is Phase.DISCARDING else ""
        stopping = training_texts.WHY_STOPPING if phase is Phase.STOPPING else ""
        self.stop.set_reason(starting or discarding or stopping)
        self.stop.setText(training_texts.STOPPING if stopping else training_texts.STOP)
        # It stays in reach while the best model is being kept.
        self.cancel.set_reason(starting or discarding)
        self.cancel.setText(training_texts.DISCARDING if discarding else training_texts.CANCEL)
        for button in (self.use_model, self.another):
            button.setVisible(phase is Phase.DONE)
        for button in (self.resume, self.discard):
            button.setVisible(phase is Phase.FAILED)
        self.report.setVisible(phase is Phase.FAILED and bool(run.report))

    def _show_end(self, run: TrainingRun) -> None:
        finished, failed = run.progress.finished, run.progress.failed
        if run.phase is Phase.DONE and finished is not None:
            text = training_texts.DONE_STOPPED if finished.stopped else training_texts.DONE
            time = training_texts.duration(finished.seconds)
            self.message.say(text.format(time=time, epoch=finished.epoch))
            self.message.setToolTip(training_texts.MODEL_AT.format(path=finished.model))
        elif run.phase is Phase.FAILED and failed is not None:
            self.message.say(texts.sentence(failed.sentence.rstrip(".")), WARN)
        else:
            self.message.say("")


def state_of(phase: Phase, progress: TrainingProgress) -> str:
    """Say in a few words where a training stands."""
    if phase in (Phase.STOPPING, Phase.DISCARDING):
        return training_texts.STOPPING if phase is Phase.STOPPING else training_texts.DISCARDING
    if phase not in (Phase.STARTING, Phase.RUNNING):
        return ""
    step, preparing = progress.step, progress.preparing
    if preparing is not None:
        text = PREPARING.get(preparing.what, training_texts.PREPARING)
        return text.format(done=preparing.done, total=preparing.total)
    if step is None:
        return f"{training_texts.STARTING}…"
    text = training_texts.EPOCH_OF if step.model else training_texts.EPOCH
    return text.format(model=step.model, epoch=step.epoch, epochs=step.epochs)


def _time_left(progress: TrainingProgress) -> str:
    if progress.seconds_left is None:
        return training_texts.TIME_UNKNOWN
    return training_texts.TIME_LEFT.format(time=training_texts.duration(progress.seconds_left))
