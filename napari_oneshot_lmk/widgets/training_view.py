"""What the tab "Train" looks like while a training runs, and after it."""

from __future__ import annotations

from html import escape
from textwrap import shorten
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_oneshot_lmk.widgets import words, words_train
from napari_oneshot_lmk.widgets.loss_curve import LossCurve
from napari_oneshot_lmk.widgets.parts import DIM, NOTE, WARN, Button, Line
from napari_oneshot_lmk.widgets.training_child import Phase

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.training_progress import TrainingProgress
    from napari_oneshot_lmk.widgets.training_run import TrainingRun

PER_MILLE = 1000
SHOWN_NOTES, NOTE_LENGTH = 2, 110
PREPARING = {
    "files": words_train.PREPARING_FILES,
    "images": words_train.PREPARING_IMAGES,
    "copies": words_train.PREPARING_COPIES,
}


class TrainingView(QWidget):
    """Bar, time left, curve, and how it ended; shows a run, no more."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.title = Line()
        font = self.title.font()
        font.setBold(True)
        font.setPointSize(font.pointSize() + 2)
        self.title.setFont(font)
        layout.addWidget(self.title)
        self.told = Line("", DIM)
        layout.addWidget(self.told)
        self.state = Line()
        layout.addWidget(self.state)
        self.bar = QProgressBar()
        self.bar.setMaximum(PER_MILLE)
        self.bar.setTextVisible(False)
        layout.addWidget(self.bar)
        self.left = Line("", DIM)
        layout.addWidget(self.left)
        self.curve = LossCurve()
        layout.addWidget(self.curve, 1)
        self.shift = Line("", DIM)
        layout.addWidget(self.shift)
        self.best = Line("", DIM)
        layout.addWidget(self.best)
        self.notes = Line("", NOTE)
        layout.addWidget(self.notes)
        self.preview = QCheckBox(words_train.SHOW_PREVIEW)
        self.preview.setToolTip(words_train.SHOW_PREVIEW_TIP)
        self.preview.setChecked(True)
        layout.addWidget(self.preview)
        self.stop = Button(words_train.STOP, words_train.STOP_TIP)
        self.cancel = Button(words_train.CANCEL, words_train.CANCEL_TIP)
        layout.addLayout(_row(self.stop, self.cancel))
        self.message = Line()
        layout.addWidget(self.message)
        self.use_model = Button(words_train.USE_MODEL, words_train.USE_MODEL_TIP)
        self.resume = Button(words_train.RESUME, words_train.RESUME_TIP)
        self.discard = Button(words_train.DISCARD, words_train.DISCARD_TIP)
        self.another = Button(words_train.TRAIN_ANOTHER, words_train.TRAIN_ANOTHER_TIP)
        self.report = Button(words.COPY_REPORT, words.COPY_REPORT_TIP)
        layout.addWidget(self.use_model)
        layout.addLayout(_row(self.resume, self.discard))
        layout.addWidget(self.another)
        layout.addWidget(self.report)

    def show_run(self, run: TrainingRun) -> None:
        """Show where a run stands."""
        phase, progress = run.phase, run.progress
        self.title.say("" if run.order is None else run.order.title)
        going = run.running or phase is Phase.DISCARDING
        self.state.say(state_of(phase, progress))
        self.bar.setVisible(going)
        preparing = progress.preparing
        if preparing is not None and progress.step is None:
            share = preparing.done / max(1, preparing.total)
        else:
            share = progress.fraction
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
        epoch = progress.epoch
        if epoch is None:
            waiting = words_train.SHIFT_FIRST if progress.step is not None else ""
            self.shift.say(waiting, DIM)
            self.best.say("")
            return
        self.shift.say(words_train.SHIFT.format(shift=epoch.shift, unit=epoch.unit), DIM)
        best = progress.best_epoch
        self.best.say(words_train.BEST.format(epoch=best) if best else "", DIM)

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
        starting = words_train.STARTING if phase is Phase.STARTING else ""
        discarding = words_train.WHY_DISCARDING if phase is Phase.DISCARDING else ""
        stopping = words_train.WHY_STOPPING if phase is Phase.STOPPING else ""
        self.stop.set_reason(starting or discarding or stopping)
        self.stop.setText(words_train.STOPPING if stopping else words_train.STOP)
        # It stays in reach while the best model is being kept.
        self.cancel.set_reason(starting or discarding)
        text = words_train.DISCARDING if discarding else words_train.CANCEL
        self.cancel.setText(text)
        self.use_model.setVisible(phase is Phase.DONE)
        self.another.setVisible(phase is Phase.DONE)
        self.resume.setVisible(phase is Phase.FAILED)
        self.discard.setVisible(phase is Phase.FAILED)
        self.report.setVisible(phase is Phase.FAILED and bool(run.report))

    def _show_end(self, run: TrainingRun) -> None:
        finished, failed = run.progress.finished, run.progress.failed
        if run.phase is Phase.DONE and finished is not None:
            text = words_train.DONE_STOPPED if finished.stopped else words_train.DONE
            said = text.format(time=words_train.duration(finished.seconds), epoch=finished.epoch)
            self.message.say(said)
            self.message.setToolTip(words_train.MODEL_AT.format(path=finished.model))
        elif run.phase is Phase.FAILED and failed is not None:
            said = failed.sentence.rstrip(".")
            self.message.say(f"{said[:1].upper()}{said[1:]}.", WARN)
        else:
            self.message.say("")


def state_of(phase: Phase, progress: TrainingProgress) -> str:
    """Say in a few words where a training stands."""
    if phase is Phase.STOPPING:
        return words_train.STOPPING
    if phase is Phase.DISCARDING:
        return words_train.DISCARDING
    if phase in (Phase.DONE, Phase.FAILED, Phase.NONE):
        return ""
    step, preparing = progress.step, progress.preparing
    if step is None:
        if preparing is None:
            return f"{words_train.STARTING}…"
        text = PREPARING.get(preparing.what, words_train.PREPARING)
        return text.format(done=preparing.done, total=preparing.total)
    text = words_train.EPOCH_OF if step.model else words_train.EPOCH
    return text.format(model=step.model, epoch=step.epoch, epochs=step.epochs)


def _time_left(progress: TrainingProgress) -> str:
    seconds = progress.seconds_left
    if seconds is not None:
        time = words_train.ABOUT.format(time=words_train.duration(seconds))
        text = words_train.TIME_LEFT.format(time=time)
    else:
        text = words_train.TIME_UNKNOWN
    return f"{text[:1].upper()}{text[1:]}"


def _row(*buttons: Button) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
