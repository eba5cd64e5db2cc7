"""A line with a question and two answers, instead of a window in the way."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_oneshot_lmk.widgets import words
from napari_oneshot_lmk.widgets.parts import NOTE, Button, Line


class OfferBar(QFrame):
    """Asks whether to go on with earlier work; hidden while there is none."""

    declined = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("offer")
        self.setStyleSheet(f"#offer {{ border: 1px solid {NOTE}; border-radius: 4px; }}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        self.text = Line()
        layout.addWidget(self.text)
        row = QHBoxLayout()
        self.take = Button(words.OFFER_TAKE)
        self.leave = Button(words.OFFER_LEAVE, words.OFFER_LEAVE_TIP)
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
