"""Asks before a window closes while landmarks or measurements are not saved in any file."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QEvent, QObject, QThread
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import measure_texts, texts
from napari_oneshot_lmk.widgets.qt.questions import ask_one_of, main_window_of
from napari_oneshot_lmk.widgets.qt.save_dialogs import ask_save_landmarks, ask_set_file
from napari_oneshot_lmk.widgets.saved_images import results_and_unsaved_of, unsaved_of
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.session import Session

NAMES_SHOWN = 5


class Answer(StrEnum):
    """What to do with what is not saved."""

    SAVE = "save"
    CLOSE = "close"
    STAY = "stay"


class UnsavedQuestion(QObject):
    """Event filter of a main window, which owns it; asks when a user closes the window.

    A script that closes its viewer is not asked: nobody may be there to answer.
    """

    def __init__(self, window: QMainWindow, session: Session) -> None:
        super().__init__(window)
        self._session = session
        window.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802  Qt's name
        """Keep the window open where the answer says so."""
        if event.type() != QEvent.Type.Close:
            return False
        thread = QThread.currentThread()
        by_a_person = event.spontaneous() or (thread and thread.loopLevel() > 0)
        if by_a_person and not self.may_close(watched):
            event.ignore()
            return True
        if self._session.workbench is not None:
            self._session.workbench.release_locks()
        return False

    def may_close(self, window: QWidget) -> bool:
        """Ask, and save where that is the answer; return whether to close."""
        return self._landmarks_may_go(window) and self._set_may_go(window)

    def _landmarks_may_go(self, window: QWidget) -> bool:
        if not self._session.unsaved():
            return True
        bench = self._session.workbench
        answer = ask_what_becomes_of(window, unsaved_of(bench).names)
        if answer is not Answer.SAVE:
            return answer is Answer.CLOSE
        images = results_and_unsaved_of(bench, preferences().author)
        try:
            return bool(ask_save_landmarks(window, images.landmarks, images.removed, images.files))
        except OneshotError as error:
            QMessageBox.warning(window, texts.UNSAVED_TITLE, f"{error}.")
            return False

    def _set_may_go(self, window: QWidget) -> bool:
        bench = self._session.workbench
        chosen = None if bench is None else bench.measuring
        unsaved = None if chosen is None else chosen.in_no_file
        if chosen is None or unsaved is None:
            return True
        answer = ask_about_measurements(window, [each.name for each in unsaved.measurement])
        if answer is not Answer.SAVE:
            return answer is Answer.CLOSE
        place = ask_set_file(window)
        if place is None:
            return False
        try:
            chosen.save_unsaved(place)
        except OneshotError as error:
            QMessageBox.warning(window, measure_texts.SET_UNSAVED_TITLE, f"{error}.")
            return False
        return True


def ask_what_becomes_of(window: QWidget, names: list[str]) -> Answer:
    """Ask what to do with the unsaved landmarks of images."""
    images = texts.counted(len(names), "image")
    text = texts.UNSAVED_TEXT.format(images=images, names=_listed(names))
    return _ask(window, texts.UNSAVED_TITLE, text)


def ask_about_measurements(window: QWidget, names: list[str]) -> Answer:
    """Ask what to do with measurements that are in no file."""
    text = measure_texts.SET_UNSAVED_TEXT.format(names=_listed(names))
    return _ask(window, measure_texts.SET_UNSAVED_TITLE, text)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _ask(window: QWidget, title: str, text: str) -> Answer:
    role = QMessageBox.ButtonRole
    choices = (
        (texts.UNSAVED_SAVE, role.AcceptRole, Answer.SAVE),
        (texts.UNSAVED_CLOSE, role.DestructiveRole, Answer.CLOSE),
        (texts.UNSAVED_STAY, role.RejectRole, Answer.STAY),
    )
    # A closed dialog keeps too much rather than too little.
    return Answer(ask_one_of(window, title, text, choices, Answer.STAY))


_WATCHED: WeakSet[Session] = WeakSet()


def ask_before_unsaved_close(widget: QWidget, session: Session) -> None:
    """Watch the main window that contains a widget, once per session."""
    window = main_window_of(widget)
    if window is not None and session not in _WATCHED:
        _WATCHED.add(session)
        session.workbench.autosave.locks.in_window = True
        UnsavedQuestion(window, session)
