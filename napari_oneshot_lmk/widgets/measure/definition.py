"""Defining a measurement: its kind, then its points by clicks."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.measure.draft import Draft
from napari_oneshot_lmk.measure.measurement import Kind
from napari_oneshot_lmk.widgets import measure_texts, texts
from napari_oneshot_lmk.widgets.qt.connections import without_argument
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    WARN,
    Button,
    LandmarkRow,
    LandmarkTable,
    MessageLabel,
    narrow,
    row_of,
)

DOT, TAKEN = "#56B4E9", "#F0E442"


class DefinitionForm(QWidget):
    """Asks for kind, points and name of a measurement.

    ``defined`` carries the measurement, ``ended`` says that it was given up or taken;
    ``drafted`` that another point was chosen.
    """

    defined = Signal(object)
    drafted = Signal()
    ended = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.draft = Draft()
        self._names: tuple[str, ...] = ()
        self.kind = QComboBox()
        self.kind.setToolTip(measure_texts.KIND_TIP)
        for kind in Kind:
            self.kind.addItem(measure_texts.KINDS[kind], kind)
        self.kind.currentIndexChanged.connect(without_argument(self._on_kind))
        self.say = MessageLabel()
        self.chosen = MessageLabel("", DIM)
        self.list = LandmarkTable(("", "landmark"))
        self.list.setToolTip(measure_texts.LIST_TIP)
        self.list.picked.connect(self.take_landmark)
        self.name = QLineEdit()
        self.name.setToolTip(measure_texts.NAME_TIP)
        self.words = QLineEdit()
        self.words.setToolTip(measure_texts.DEFINITION_TIP)
        self.words.setPlaceholderText(measure_texts.DEFINITION_HINT)
        self.add = Button(measure_texts.ADD, measure_texts.ADD_TIP)
        self.back = Button(measure_texts.BACK, measure_texts.BACK_TIP)
        self.cancel = Button(texts.CANCEL)
        self.add.clicked.connect(without_argument(self._on_add))
        self.back.clicked.connect(without_argument(self._on_back))
        self.cancel.clicked.connect(without_argument(self.end))
        self.name.returnPressed.connect(self._on_add)
        narrow(self.kind)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.kind)
        layout.addWidget(self.say)
        layout.addWidget(self.chosen)
        layout.addWidget(self.list)
        layout.addLayout(row_of(measure_texts.NAME, self.name, stretched=self.name))
        layout.addWidget(self.words)
        layout.addLayout(row_of(self.add, self.back, self.cancel, stretched=self.add))
        self.hide()

    @property
    def defining(self) -> bool:
        """Whether a measurement is being defined."""
        return not self.isHidden()

    def begin(self) -> None:
        """Ask for a new measurement, of the kind that was asked for last."""
        self.draft = Draft(self.draft.kind)
        self.name.clear()
        self.words.clear()
        self.setVisible(True)
        self._show()

    def end(self) -> None:
        """Ask no more."""
        if self.defining:
            self.setVisible(False)
            self.ended.emit()

    def show_landmarks(self, names: Sequence[str]) -> None:
        """Show which landmarks there are to click on."""
        self._names = tuple(names)
        self._show_list()

    def take_landmark(self, name: str) -> None:
        """Take a landmark as the next point."""
        if self.draft.kind is not Kind.DIFFERENCE:
            self._take(self.draft.with_name(name))

    def take_measurement(self, name: str) -> None:
        """Take a measurement as the next part of a difference."""
        if self.draft.kind is Kind.DIFFERENCE:
            self._take(self.draft.with_name(name))

    def _take(self, draft: Draft) -> None:
        if draft != self.draft:
            self.draft = draft
            self._show()

    def _on_kind(self) -> None:
        self._take(self.draft.with_kind(Kind(self.kind.currentData())))

    def _on_back(self) -> None:
        self._take(self.draft.without_last())

    def _on_add(self) -> None:
        if not self.draft.complete:
            return
        try:
            measurement = self.draft.measurement(self.name.text(), self.words.text())
        except OneshotError as error:
            self.say.say(f"{error}.", WARN)
        else:
            self.defined.emit(measurement)

    def refuse(self, why: str) -> None:
        """Say why a measurement could not be taken; it can be changed."""
        self.say.say(why, WARN)

    def _show(self) -> None:
        draft = self.draft
        self.kind.setCurrentIndex(self.kind.findData(draft.kind))
        if draft.full:
            self.say.say(measure_texts.COMPLETE)
        else:
            roles = measure_texts.ROLES.get(draft.kind, ())
            number = len(draft.names)
            role = roles[number] if number < len(roles) else measure_texts.ROLE_NEXT
            is_difference = draft.kind is Kind.DIFFERENCE
            ask = measure_texts.CLICK_MEASUREMENT if is_difference else measure_texts.CLICK_POINT
            self.say.say(ask.format(role=role))
        self.chosen.say(" – ".join(draft.names) or measure_texts.PICKED_NONE, DIM)
        self.name.setPlaceholderText(draft.proposed_name)
        self.add.set_reason("" if draft.complete else measure_texts.WHY_INCOMPLETE)
        self.back.set_reason("" if draft.names else measure_texts.WHY_NO_POINT_YET)
        self.list.setVisible(draft.kind is not Kind.DIFFERENCE)
        self._show_list()
        self.drafted.emit()

    def _show_list(self) -> None:
        taken = self.draft.names
        rows = [
            LandmarkRow(name, (), TAKEN if name in taken else DOT, hollow=name not in taken)
            for name in self._names
        ]
        self.list.show_rows(rows, taken[-1] if taken else "")
