"""The bar above the dock that leads through the tour."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE, Button, MessageLabel, row_of
from napari_oneshot_lmk.widgets.settings import offers_tour, set_offers_tour
from napari_oneshot_lmk.widgets.tour import tour_texts
from napari_oneshot_lmk.widgets.tour.steps import STEPS, TourStep

LOOK_MS = 250
"""Time between two looks at whether the step was done."""


class TourBar(QFrame):
    """Offers the tour, or shows its current step, what it asks for and how to go on.

    ``dock`` is the composed dock. The step's control is outlined; a step that was done, by
    the user or by *Do it for me*, makes room for the next.
    """

    ended = Signal(bool)
    """The tour has ended; whether at its last step."""

    def __init__(self, dock: Any) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._dock = dock
        self.number: int | None = None
        """Index of the current step; None outside the tour."""
        self._outlined: tuple[QWidget, str] | None = None
        self.title, self.text = MessageLabel(), MessageLabel()
        self.waiting = MessageLabel("", NOTE)
        self.act = Button(tour_texts.ACT, tour_texts.ACT_TIP)
        self.skip = Button(tour_texts.SKIP, tour_texts.SKIP_TIP)
        self.end = Button(tour_texts.END, tour_texts.END_TIP)
        self.take = Button(tour_texts.TAKE, tour_texts.TAKE_TIP)
        self.decline = Button(tour_texts.DECLINE, tour_texts.DECLINE_TIP)
        self.act.clicked.connect(lambda *_: self._act())
        self.skip.clicked.connect(lambda *_: self._go_to((self.number or 0) + 1))
        self.end.clicked.connect(lambda *_: self.close_tour())
        self.take.clicked.connect(lambda *_: self.begin())
        self.decline.clicked.connect(lambda *_: self.close_tour())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (self.title, self.text, self.waiting):
            layout.addWidget(part)
        layout.addLayout(row_of(self.take, self.decline, self.act, self.skip, self.end))
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._show_offer()
        connect_until_destroyed(self, self._show_or_hide, dock.session.events.target)

    @property
    def step(self) -> TourStep | None:
        """The current step; None outside the tour and at its end."""
        inside = self.number is not None and self.number < len(STEPS)
        return STEPS[self.number] if inside else None  # type: ignore[index]

    def begin(self) -> None:
        """Start the tour, anew where it was begun."""
        self.setVisible(True)
        self._go_to(0)
        self._timer.start()

    def close_tour(self) -> None:
        """End the tour wherever it is; it is not offered again."""
        whole = self.number == len(STEPS)
        self._timer.stop()
        self._outline(None)
        self.number = None
        set_offers_tour(False)
        self.hide()
        self.ended.emit(whole)

    def look(self) -> None:
        """Go on where the current step was done."""
        step = self.step
        if step is None:
            return
        if step.done(self._dock):
            self._go_to((self.number or 0) + 1)
            return
        why = step.waiting(self._dock)
        self.act.set_reason(why)
        self.waiting.say(f"{why}." if why else "", NOTE)
        if step.control is not None:
            self._outline(step.control(self._dock))

    def _act(self) -> None:
        step = self.step
        if step is not None:
            step.act(self._dock)
            self.look()

    def _go_to(self, number: int) -> None:
        # What was done before the tour need not be done again.
        while number < len(STEPS) and STEPS[number].done(self._dock):
            number += 1
        self.number = number
        self._outline(None)
        step = self.step
        if step is not None and step.tab:
            self._dock.tabs.setCurrentWidget(self._dock.steps[step.tab])
        self._show_step(step)
        self.look()

    def _show_offer(self) -> None:
        self.title.say(tour_texts.OFFER_TITLE)
        self.text.say(tour_texts.OFFER, DIM)
        self._show_buttons(self.take, self.decline)
        self._show_or_hide()

    def _show_or_hide(self, target: Any = None) -> None:
        # Who has opened an image has begun, and the low screens need the room.
        if self.number is None and (self._dock.session.target or not offers_tour()):
            self.hide()
        elif self.parentWidget() is not None:
            # Without a parent it would be a window.
            self.show()

    def _show_step(self, step: TourStep | None) -> None:
        self.waiting.say("")
        if step is None:
            self.title.say(tour_texts.LAST_TITLE)
            self.text.say(tour_texts.LAST)
            self._show_buttons(self.end)
            return
        count = {"number": (self.number or 0) + 1, "count": len(STEPS)}
        self.title.say(tour_texts.STEP_TITLE.format(title=step.title, **count))
        self.text.say(step.text)
        self._show_buttons(self.act, self.skip, self.end)

    def _show_buttons(self, *shown: Button) -> None:
        for button in (self.take, self.decline, self.act, self.skip, self.end):
            button.setVisible(button in shown)

    def _outline(self, control: QWidget | None) -> None:
        """Outline a control and bring it into sight; None for none."""
        before = self._outlined
        if before is not None and before[0] is control:
            return
        if before is not None:
            before[0].setStyleSheet(before[1])
        self._outlined = None
        if control is None:
            return
        self._outlined = control, control.styleSheet()
        control.setStyleSheet(f"border: 2px solid {NOTE};")
        parent = control.parentWidget()
        while parent is not None and not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        if parent is not None:
            parent.ensureWidgetVisible(control)
