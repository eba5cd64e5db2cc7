"""What the dock "Annotate template" looks like; it shows a session, no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.widgets import shortcuts, texts
from napari_oneshot_lmk.widgets.annotate.landmark_rows import rows_of
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE, WARN, Button, LandmarkTable, MessageLabel

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.widgets.session import Session


class RestorePrompt(QFrame):
    """Asks whether to go on with earlier work; hidden while there is none."""

    declined = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("offer")
        self.setStyleSheet(f"#offer {{ border: 1px solid {NOTE}; border-radius: 4px; }}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        self.text = MessageLabel()
        layout.addWidget(self.text)
        row = QHBoxLayout()
        self.take = Button(texts.OFFER_TAKE)
        self.leave = Button(texts.OFFER_LEAVE, texts.OFFER_LEAVE_TIP)
        row.addWidget(self.take)
        row.addWidget(self.leave)
        layout.addLayout(row)
        self._on_take: Callable[[], None] | None = None
        self.take.clicked.connect(self._taken)
        self.leave.clicked.connect(self._left)
        self.hide()

    def ask(self, text: str, on_take: Callable[[], None]) -> None:
        """Offer something; ``on_take`` is called when the user wants it."""
        self._on_take = on_take
        self.text.say(text)
        self.show()

    def clear(self) -> None:
        """Withdraw the offer."""
        self._on_take = None
        self.hide()

    def _left(self) -> None:
        self.clear()
        self.declined.emit()

    def _taken(self) -> None:
        on_take = self._on_take
        self.clear()
        if on_take is not None:
            on_take()


BUTTONS: Mapping[str, str] = {
    "previous": texts.PREVIOUS,
    "next": texts.NEXT,
    "skip": texts.SKIP,
    "absent": texts.ABSENT,
    "undo": texts.UNDO,
    "redo": texts.REDO,
    "help": texts.KEYS,
}
BUTTONS_A_ROW = 4


class AnnotateForm(QWidget):
    """The controls.

    Parameters
    ----------
    list_button : QWidget
        Chooses the list of landmarks.
    """

    def __init__(self, list_button: QWidget) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(QLabel(texts.LIST))
        self.list_title = QLabel(texts.NO_LIST)
        self.list_title.setWordWrap(True)
        row.addWidget(self.list_title, 1)
        row.addWidget(list_button)
        layout.addLayout(row)
        self.offer = RestorePrompt()
        layout.addWidget(self.offer)
        self.prompt = MessageLabel()
        font = self.prompt.font()
        font.setPointSize(font.pointSize() + 4)
        font.setBold(True)
        self.prompt.setFont(font)
        layout.addWidget(self.prompt)
        self.description = MessageLabel("", DIM)
        layout.addWidget(self.description)
        self.start = Button(texts.START, texts.START_TIP)
        layout.addWidget(self.start)
        layout.addLayout(self._keys())
        columns = (texts.COLUMN_NUMBER, texts.COLUMN_LANDMARK, texts.COLUMN_STATE)
        self.table = LandmarkTable(columns)
        layout.addWidget(self.table, 1)
        row = QHBoxLayout()
        self.progress = QProgressBar()
        row.addWidget(self.progress, 1)
        self.saved = QLabel()
        row.addWidget(self.saved)
        layout.addLayout(row)
        self.message = MessageLabel()
        layout.addWidget(self.message)
        self.use_template = Button(texts.USE_TEMPLATE, texts.USE_TEMPLATE_TIP)
        layout.addWidget(self.use_template)
        row = QHBoxLayout()
        self.save_template = Button(texts.SAVE_TEMPLATE, texts.SAVE_TEMPLATE_TIP)
        self.save_landmarks = Button(texts.SAVE_LANDMARKS, texts.SAVE_LANDMARKS_TIP)
        row.addWidget(self.save_template)
        row.addWidget(self.save_landmarks)
        layout.addLayout(row)

    def _keys(self) -> QGridLayout:
        help_of = {s.action: s.help for s in shortcuts.SHORTCUTS}
        grid = QGridLayout()
        grid.setSpacing(4)
        self.buttons: dict[str, Button] = {}
        for number, (action, text) in enumerate(BUTTONS.items()):
            key = shortcuts.hint(action)
            tip = f"{help_of[action][:1].upper()}{help_of[action][1:]} ({key})."
            # A key as long as Ctrl+Shift+Z would make the dock wide.
            button = Button(f"{text}  {key}" if len(key) == 1 else text, tip)
            self.buttons[action] = button
            grid.addWidget(button, number // BUTTONS_A_ROW, number % BUTTONS_A_ROW)
        return grid

    # -- showing a session ---------------------------------------------------------

    def show_session(self, session: Session, paused: str, started: bool) -> None:
        """Show where the annotation stands.

        Parameters
        ----------
        session : Session
            Whose annotation to show.
        paused : str
            Why clicks on the canvas place no landmarks now; empty if they do.
        started : bool
            There is a points layer to click in.
        """
        annotation = session.annotation
        names = annotation.landmarks.names
        count = texts.counted(len(names), "landmark")
        own_list = texts.OWN_LIST.format(landmarks=count) if names else texts.NO_LIST
        self.list_title.setText(annotation.title or own_list)
        placing = started and not paused
        self._show_prompt(session, paused, started)
        self._show_reasons(session)
        self.start.setText(texts.CONTINUE if started else texts.START)
        self.start.setVisible(not placing)
        if paused and paused == session.blocking_reason:
            self.start.set_reason(paused.rstrip("."))
        self.table.show_rows(rows_of(annotation), annotation.current)
        self.progress.setMaximum(max(1, len(names)))
        self.progress.setValue(annotation.done)
        self.progress.setFormat(texts.PROGRESS.format(done=annotation.done, count=len(names)))
        self.progress.setVisible(bool(names))

    def _show_prompt(self, session: Session, paused: str, started: bool) -> None:
        annotation = session.annotation
        landmarks, current = annotation.landmarks, annotation.current
        about, colour = "", ""
        if session.target is None:
            text = texts.PROMPT_NO_IMAGE
        elif session.blocking_reason:
            text, colour = session.blocking_reason, WARN
        elif not len(landmarks):
            text = texts.PROMPT_NO_LIST
        elif not started:
            count = texts.counted(len(landmarks), "landmark")
            text = texts.PROMPT_START.format(landmarks=count)
        elif paused and paused != texts.PAUSED_MODE:
            text = paused
        elif not current:
            skipped = len(annotation.passed_over)
            text, about = texts.PROMPT_DONE, texts.PROMPT_DONE_TIP
            if skipped:
                count = texts.counted(skipped, "landmark")
                text = texts.PROMPT_SKIPPED.format(skipped=count)
                about = texts.PROMPT_SKIPPED_TIP
        elif paused:
            text = paused
        else:
            placed = landmarks[current].state is State.PLACED
            text = (texts.PROMPT_AGAIN if placed else texts.PROMPT_CLICK).format(name=current)
            about, colour = landmarks[current].description, NOTE
        self.prompt.say(text, colour)
        self.description.say(about, DIM)

    def _show_reasons(self, session: Session) -> None:
        no_image = texts.NO_IMAGE if session.target is None else ""
        no_list = no_image or ("" if len(session.annotation.landmarks) else texts.WHY_NO_LIST)
        no_current = no_list or ("" if session.annotation.current else texts.WHY_NO_CURRENT)
        history = session.history
        reasons = {
            "previous": no_list,
            "next": no_list,
            "skip": no_current,
            "absent": no_current,
            "undo": no_list if not history.can_undo else "",
            "redo": no_list if not history.can_redo else "",
        }
        if not no_list:
            reasons["undo"] = "" if history.can_undo else texts.WHY_NOTHING_TO_UNDO
            reasons["redo"] = "" if history.can_redo else texts.WHY_NOTHING_TO_REDO
        for action, reason in reasons.items():
            self.buttons[action].set_reason(reason)
        self.start.set_reason(no_list)
        why_not = session.why_no_template
        current = session.template_is_current
        mine = session.target is not None and session.template_key == session.target.key
        label = texts.UPDATE_TEMPLATE if mine else texts.USE_TEMPLATE
        self.use_template.setText(texts.TEMPLATE_CURRENT if current else label)
        self.use_template.set_reason(why_not or (texts.WHY_TEMPLATE_CURRENT if current else ""))
        self.save_template.set_reason(why_not)
        self.save_landmarks.set_reason(why_not)

    def show_saved(self, path: Path | None, when: datetime | None) -> None:
        """Say when the annotation was saved, and where."""
        self.saved.setStyleSheet(f"color: {DIM};")
        self.saved.setText("" if when is None else texts.SAVED.format(time=f"{when:%H:%M}"))
        self.saved.setToolTip("" if path is None else texts.SAVED_TIP.format(path=path))

    def complain(self, text: str) -> None:
        """Show what went wrong."""
        self.message.say(text, WARN)
