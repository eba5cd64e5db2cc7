"""The controls of the dock "Annotate template"; they show a session and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.widgets import advise_texts, shortcuts, texts
from napari_oneshot_lmk.widgets.annotate.landmark_rows import rows_of
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    NOTE,
    WARN,
    Button,
    LandmarkTable,
    MessageLabel,
    row_of,
)

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from napari_oneshot_lmk.widgets.session import Session


class RestorePrompt(QFrame):
    """Asks whether to continue earlier work; hidden while there is none."""

    declined = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("offer")
        self.setStyleSheet(f"#offer {{ border: 1px solid {NOTE}; border-radius: 4px; }}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        self.text = MessageLabel()
        self.take = Button(texts.OFFER_TAKE)
        self.leave = Button(texts.OFFER_LEAVE, texts.OFFER_LEAVE_TIP)
        layout.addWidget(self.text)
        layout.addLayout(row_of(self.take, self.leave))
        self._on_take: Callable[[], None] | None = None
        self.take.clicked.connect(self._taken)
        self.leave.clicked.connect(self._left)
        self.hide()

    def ask(self, text: str, on_take: Callable[[], None]) -> None:
        """Offer something; ``on_take`` is called when the user accepts."""
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


BUTTONS = {
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
    """The controls; ``list_button`` chooses the landmark list."""

    def __init__(self, list_button: QWidget) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.list_title = QLabel(texts.NO_LIST)
        self.list_title.setWordWrap(True)
        layout.addLayout(
            row_of(texts.LIST, self.list_title, list_button, stretched=self.list_title)
        )
        self.advise = Button(advise_texts.ADVISE, advise_texts.ADVISE_TIP)
        layout.addWidget(self.advise)
        self.offer = RestorePrompt()
        self.prompt = MessageLabel()
        font = self.prompt.font()
        font.setPointSize(font.pointSize() + 4)
        font.setBold(True)
        self.prompt.setFont(font)
        self.description = MessageLabel("", DIM)
        self.start = Button(texts.START, texts.START_TIP)
        for part in (self.offer, self.prompt, self.description, self.start):
            layout.addWidget(part)
        layout.addLayout(self._action_buttons())
        self.table = LandmarkTable((texts.COLUMN_NUMBER, texts.COLUMN_LANDMARK, texts.COLUMN_STATE))
        layout.addWidget(self.table, 1)
        self.progress = QProgressBar()
        self.saved = QLabel()
        layout.addLayout(row_of(self.progress, self.saved, stretched=self.progress))
        self.message = MessageLabel()
        layout.addWidget(self.message)
        self.use_template = Button(texts.USE_TEMPLATE, texts.USE_TEMPLATE_TIP)
        layout.addWidget(self.use_template)
        self.save_template = Button(texts.SAVE_TEMPLATE, texts.SAVE_TEMPLATE_TIP)
        self.save_landmarks = Button(texts.SAVE_LANDMARKS, texts.SAVE_LANDMARKS_TIP)
        layout.addLayout(row_of(self.save_template, self.save_landmarks))

    def _action_buttons(self) -> QGridLayout:
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

    def show_session(self, session: Session, paused: str, started: bool) -> None:
        """Show the state of the annotation.

        ``paused`` says why clicks on the canvas place no landmarks now, empty if they do;
        ``started`` whether there is a points layer to click in.
        """
        annotation = session.annotation
        names = annotation.landmarks.names
        own_list = texts.OWN_LIST.format(landmarks=texts.counted(len(names), "landmark"))
        self.list_title.setText(annotation.title or (own_list if names else texts.NO_LIST))
        prompt, colour, about = _prompt(session, paused, started)
        self.prompt.say(prompt, colour)
        self.description.say(about, DIM)
        self._show_reasons(session)
        self.start.setText(texts.CONTINUE if started else texts.START)
        self.start.setVisible(bool(paused) or not started)
        if paused and paused == session.blocking_reason:
            self.start.set_reason(paused.rstrip("."))
        self.table.show_rows(rows_of(annotation), annotation.current)
        self.progress.setMaximum(max(1, len(names)))
        self.progress.setValue(annotation.done)
        self.progress.setFormat(texts.PROGRESS.format(done=annotation.done, count=len(names)))
        self.progress.setVisible(bool(names))

    def _show_reasons(self, session: Session) -> None:
        no_list = texts.NO_IMAGE
        if session.target is not None:
            no_list = "" if len(session.annotation.landmarks) else texts.WHY_NO_LIST
        no_current = no_list or ("" if session.annotation.current else texts.WHY_NO_CURRENT)
        reasons = {
            "previous": no_list,
            "next": no_list,
            "skip": no_current,
            "absent": no_current,
            "undo": "" if session.history.can_undo else no_list or texts.WHY_NOTHING_TO_UNDO,
            "redo": "" if session.history.can_redo else no_list or texts.WHY_NOTHING_TO_REDO,
        }
        for action, reason in reasons.items():
            self.buttons[action].set_reason(reason)
        self.start.set_reason(no_list)
        why_not, current = session.why_no_template, session.template_is_current
        mine = session.target is not None and session.template_key == session.target.key
        label = texts.UPDATE_TEMPLATE if mine else texts.USE_TEMPLATE
        self.use_template.setText(texts.TEMPLATE_CURRENT if current else label)
        self.use_template.set_reason(why_not or (texts.WHY_TEMPLATE_CURRENT if current else ""))
        self.save_template.set_reason(why_not)
        self.save_landmarks.set_reason(why_not)

    def show_saved(self, path: Path | None, when: datetime | None) -> None:
        """Show when and where the annotation was saved."""
        self.saved.setStyleSheet(f"color: {DIM};")
        self.saved.setText("" if when is None else texts.SAVED.format(time=f"{when:%H:%M}"))
        self.saved.setToolTip("" if path is None else texts.SAVED_TIP.format(path=path))

    def complain(self, text: str) -> None:
        """Show what went wrong."""
        self.message.say(text, WARN)


def _prompt(session: Session, paused: str, started: bool) -> tuple[str, str, str]:
    """Return what to do next, its colour, and a description."""
    landmarks, current = session.annotation.landmarks, session.annotation.current
    if session.target is None:
        return texts.PROMPT_NO_IMAGE, "", ""
    if session.blocking_reason:
        return session.blocking_reason, WARN, ""
    if not len(landmarks):
        return texts.PROMPT_NO_LIST, "", ""
    if not started:
        count = texts.counted(len(landmarks), "landmark")
        return texts.PROMPT_START.format(landmarks=count), "", ""
    # Nothing is left to place: that says more than the layer's mode.
    if paused and (current or paused != texts.PAUSED_MODE):
        return paused, "", ""
    if current:
        placed = landmarks[current].state is State.PLACED
        text = texts.PROMPT_AGAIN if placed else texts.PROMPT_CLICK
        return text.format(name=current), NOTE, landmarks[current].description
    skipped = len(session.annotation.passed_over)
    if not skipped:
        return texts.PROMPT_DONE, "", texts.PROMPT_DONE_TIP
    count = texts.counted(skipped, "landmark")
    return texts.PROMPT_SKIPPED.format(skipped=count), "", texts.PROMPT_SKIPPED_TIP
