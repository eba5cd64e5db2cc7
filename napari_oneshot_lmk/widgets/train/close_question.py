"""Asks what to do with a training when the window closes, and before it is deleted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_oneshot_lmk.widgets.qt.questions import ask_one_of, main_window_of
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.run import TrainingRun
from napari_oneshot_lmk.widgets.train.view import state_of


class Answer(StrEnum):
    """What to do with a training."""

    KEEP = "keep"
    STOP = "stop"
    DISCARD = "discard"
    NOT_CLOSE = "not close"


class CloseQuestion(QObject):
    """Watches a window, which owns this object, for being closed while a training runs."""

    def __init__(self, window: QMainWindow, run: TrainingRun) -> None:
        super().__init__(window)
        # The window owns this object; holding it would keep both for ever.
        self._run = run
        window.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802  Qt's name
        """Ask before the window closes; keep it open where the answer says so."""
        if event.type() != QEvent.Type.Close or not self._run.running:
            return False
        answer = ask_what_becomes_of(watched, self._run)
        if answer is Answer.NOT_CLOSE:
            event.ignore()
            return True
        if answer is Answer.STOP:
            self._run.stop()
        elif answer is Answer.DISCARD:
            self._run.discard_now()
        return False


def ask_what_becomes_of(window: QWidget, run: TrainingRun) -> Answer:
    """Ask what to do with a training when its window closes."""
    title, state = _title_and_state(run)
    text = training_texts.CLOSE_TEXT.format(title=title, state=state)
    role = QMessageBox.ButtonRole
    choices = (
        (training_texts.CLOSE_KEEP, role.AcceptRole, Answer.KEEP),
        (training_texts.STOP, role.ActionRole, Answer.STOP),
        (training_texts.CANCEL, role.DestructiveRole, Answer.DISCARD),
        (training_texts.CLOSE_NOT, role.RejectRole, Answer.NOT_CLOSE),
    )
    # Rather too much kept than too little.
    return Answer(ask_one_of(window, training_texts.CLOSE_TITLE, text, choices, Answer.NOT_CLOSE))


def ask_whether_to_discard(window: QWidget, run: TrainingRun) -> bool:
    """Ask whether what a training has made may be deleted."""
    title, state = _title_and_state(run)
    text = training_texts.DISCARD_TEXT.format(title=title)
    if state:
        text += training_texts.DISCARD_STATE.format(state=state)
    role = QMessageBox.ButtonRole
    choices = (
        (training_texts.DISCARD, role.DestructiveRole, Answer.DISCARD),
        (training_texts.DISCARD_NO, role.RejectRole, Answer.KEEP),
    )
    title = training_texts.DISCARD_TITLE
    return ask_one_of(window, title, text, choices, Answer.KEEP, dangerous=True) == Answer.DISCARD


def _title_and_state(run: TrainingRun) -> tuple[str, str]:
    return run.request.title if run.request else "", state_of(run.phase, run.progress)


_ASKING: WeakSet[TrainingRun] = WeakSet()


def ask_when_closing(widget: QWidget, run: TrainingRun) -> None:
    """Watch the main window that a widget lies in, once for each training."""
    window = main_window_of(widget)
    if window is not None and run not in _ASKING:
        _ASKING.add(run)
        CloseQuestion(window, run)
