"""Asks what becomes of a training when the window closes, or it is to be deleted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets.training_run import TrainingRun
from napari_oneshot_lmk.widgets.training_view import state_of


class Answer(StrEnum):
    """What to do with a training."""

    KEEP = "keep"
    STOP = "stop"
    DISCARD = "discard"
    NOT_CLOSE = "not close"


class CloseQuestion(QObject):
    """Watches a window for being closed while a training runs.

    Parameters
    ----------
    window : QMainWindow
        It owns this object.
    run : TrainingRun
        The training of this window.
    """

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
    """Ask in a dialog."""
    box = QMessageBox(window)
    box.setWindowTitle(words.CLOSE_TITLE)
    title = "" if run.order is None else run.order.title
    state = state_of(run.phase, run.progress)
    box.setText(words.CLOSE_TEXT.format(title=title, state=state))
    buttons = {
        box.addButton(text, role): answer
        for text, role, answer in (
            (words.CLOSE_KEEP, QMessageBox.ButtonRole.AcceptRole, Answer.KEEP),
            (words.CLOSE_STOP, QMessageBox.ButtonRole.ActionRole, Answer.STOP),
            (
                words.CLOSE_DISCARD,
                QMessageBox.ButtonRole.DestructiveRole,
                Answer.DISCARD,
            ),
            (words.CLOSE_NOT, QMessageBox.ButtonRole.RejectRole, Answer.NOT_CLOSE),
        )
    }
    box.exec()
    # Escape and the dialog's own cross: rather too much kept than too little.
    return buttons.get(box.clickedButton(), Answer.NOT_CLOSE)


def ask_whether_to_discard(window: QWidget, run: TrainingRun) -> bool:
    """Ask in a dialog whether what a training has made may be deleted."""
    box = QMessageBox(window)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(words.DISCARD_TITLE)
    title = "" if run.order is None else run.order.title
    text = words.DISCARD_TEXT.format(title=title)
    if state := state_of(run.phase, run.progress):
        text += words.DISCARD_STATE.format(state=state)
    box.setText(text)
    yes = box.addButton(words.DISCARD_YES, QMessageBox.ButtonRole.DestructiveRole)
    no = box.addButton(words.DISCARD_NO, QMessageBox.ButtonRole.RejectRole)
    # Enter and Escape keep it.
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec()
    return box.clickedButton() is yes


_ASKING: WeakSet[TrainingRun] = WeakSet()


def ask_when_closing(widget: QWidget, run: TrainingRun) -> None:
    """Watch the main window that a widget lies in, once for each training."""
    window = main_window_of(widget)
    if window is not None and run not in _ASKING:
        _ASKING.add(run)
        CloseQuestion(window, run)


def main_window_of(widget: QWidget) -> QMainWindow | None:
    """Return the main window above a widget; a floating dock is below it, too."""
    above: Any = widget
    while above is not None and not isinstance(above, QMainWindow):
        above = above.parentWidget()
    return above
