"""What the step "Review" looks like; it shows what it is given, no more."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QVBoxLayout, QWidget

from napari_oneshot_lmk.review.status import Filter, Reason, ReviewState
from napari_oneshot_lmk.widgets import review_texts, shortcuts
from napari_oneshot_lmk.widgets.qt.parts import DIM, Button, MessageLabel, narrow, row_of
from napari_oneshot_lmk.widgets.review.image_table import ImageTable
from napari_oneshot_lmk.widgets.review.patches import PatchView

BUTTONS = {
    "previous_image": review_texts.PREVIOUS_IMAGE,
    "next_image": review_texts.NEXT_IMAGE,
    "next_corrected": review_texts.NEXT_CORRECTED,
    "next_unsure": review_texts.NEXT_UNSURE,
    "accept_point": review_texts.ACCEPT_POINT,
    "reset_point": review_texts.RESET_POINT,
    "accept_image": review_texts.ACCEPT_IMAGE,
}
"""Actions with a button, and its text."""


class ReviewForm(QWidget):
    """The controls; ``changed`` says that a filter or the order was chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.counters = MessageLabel("", DIM)
        layout.addWidget(self.counters)
        self.filter = QComboBox()
        self.filter.setToolTip(review_texts.FILTER_TIP)
        narrow(self.filter)
        self.filter.addItem(review_texts.FILTER_ALL, None)
        for state in ReviewState:
            self.filter.addItem(review_texts.FILTER_STATE.format(state=state), state)
        for reason in Reason:
            self.filter.addItem(review_texts.FILTER_REASON[reason], reason)
        self.landmark = QComboBox()
        self.landmark.setToolTip(review_texts.FILTER_LANDMARK_TIP)
        self.landmark.addItem(review_texts.FILTER_ANY_LANDMARK, "")
        narrow(self.landmark)
        self.order = QComboBox()
        self.order.setToolTip(review_texts.ORDER_TIP)
        self.order.addItem(review_texts.ORDER_WORST, True)
        self.order.addItem(review_texts.ORDER_NAME, False)
        filters = row_of(self.filter, self.landmark, self.order)
        for box in (self.filter, self.landmark):
            filters.setStretchFactor(box, 1)
        for box in (self.filter, self.landmark, self.order):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        layout.addLayout(filters)
        self.table = ImageTable()
        layout.addWidget(self.table, 1)
        self.patches = PatchView()
        layout.addWidget(self.patches)
        helps = {shortcut.action: shortcut for shortcut in shortcuts.SHORTCUTS}
        self.buttons: dict[str, Button] = {}
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, (action, text) in enumerate(BUTTONS.items()):
            known = helps[action]
            tip = f"{known.help[:1].upper()}{known.help[1:]} ({known.shown})."
            self.buttons[action] = Button(text, tip)
            whole_row = action == "accept_image"
            grid.addWidget(self.buttons[action], number // 3, number % 3, 1, 3 if whole_row else 1)
        layout.addLayout(grid)
        self.move_others = QCheckBox(review_texts.MOVE_OTHERS)
        self.move_others.setToolTip(review_texts.MOVE_OTHERS_TIP)
        self.move_others.setChecked(True)
        self.bottom = row_of(self.move_others, stretched=self.move_others)
        layout.addLayout(self.bottom)
        self.message = MessageLabel()
        layout.addWidget(self.message)

    @property
    def wanted(self) -> Filter:
        """Which images the list shows."""
        # Qt gives back the text of a member.
        chosen = self.filter.currentData()
        states = frozenset(state for state in ReviewState if state == chosen)
        reasons = frozenset(reason for reason in Reason if reason == chosen)
        return Filter(states, reasons, self.landmark.currentData())

    def show_landmarks(self, flagged: Mapping[str, int]) -> None:
        """Offer landmarks to filter by, each with the number of images to look at it on."""
        box, chosen = self.landmark, self.landmark.currentData()
        texts = [review_texts.FILTER_ANY_LANDMARK]
        texts += [
            review_texts.FILTER_LANDMARK.format(name=name, count=n) for name, n in flagged.items()
        ]
        if texts == [box.itemText(row) for row in range(box.count())]:
            return
        before = box.blockSignals(True)
        box.clear()
        for text, name in zip(texts, ["", *flagged], strict=True):
            box.addItem(text, name)
        box.setCurrentIndex(max(0, box.findData(chosen)))
        box.blockSignals(before)

    def show_reasons(self, no_image: str, no_result: str, no_point: str) -> None:
        """Enable what can be done, and say why the rest cannot."""
        for action, button in self.buttons.items():
            of_images = action in ("previous_image", "next_image", "next_corrected")
            of_point = action in ("accept_point", "reset_point")
            button.set_reason(no_image if of_images else no_result or (no_point * of_point))
