"""Choosing the landmark list: shipped, numbered, typed, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QInputDialog,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.lists import (
    ISBI19_CEPHALOGRAM,
    LandmarkList,
    ListedLandmark,
    numbered,
    parse_landmark_list,
    read_landmark_list,
)
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.parts import WARN, MessageLabel
from napari_oneshot_lmk.widgets.qt.save_dialogs import open_filter

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template

LARGEST_LIST = 999


class ListButton(QPushButton):
    """A menu of landmark lists.

    ``choose`` is called with the list that the user chose, ``tell`` with what went wrong.
    """

    def __init__(self, choose: Callable[[LandmarkList], None], tell: Callable[[str], None]) -> None:
        super().__init__(texts.CHOOSE_LIST)
        self.setToolTip(texts.CHOOSE_LIST_TIP)
        self._choose = choose
        self._tell = tell
        self._template: Template | None = None
        self._layers: Callable[[], list[Any]] = list
        self._adopt: Callable[[Any], None] = choose
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self._fill()

    def offer_template(self, template: Template | None) -> None:
        """Offer the names of the template in use, too."""
        self._template = template

    def offer_layers(self, layers: Callable[[], list[Any]], adopt: Callable[[Any], None]) -> None:
        """Offer the landmarks of points layers, too; ``adopt`` takes those of one layer."""
        self._layers, self._adopt = layers, adopt

    def _fill(self) -> None:
        menu = self._menu
        menu.clear()
        lists = {ISBI19_CEPHALOGRAM.title: ISBI19_CEPHALOGRAM}
        if self._template is not None:
            landmarks, name = self._template.landmarks, self._template.name
            named = (ListedLandmark(p.name, p.description) for p in landmarks)
            text = texts.LIST_FROM_TEMPLATE.format(name=name)
            lists[text] = LandmarkList(name, tuple(named))
        for text, names in lists.items():
            menu.addAction(text, partial(self._choose, names))
        menu.addSeparator()
        menu.addAction(texts.LIST_NUMBERED, self._ask_number)
        menu.addAction(texts.LIST_TYPE, self._ask_text)
        menu.addAction(texts.LIST_FILE, self._ask_file)
        layers = self._layers()
        if layers:
            from_layer = menu.addMenu(texts.LIST_FROM_LAYER)
            for layer in layers:
                from_layer.addAction(layer.name, partial(self._adopt, layer))

    def _ask_number(self) -> None:
        count, given = QInputDialog.getInt(
            self, texts.NUMBERED_TITLE, texts.NUMBERED_ASK, 10, 1, LARGEST_LIST
        )
        if given:
            self._choose(numbered(count))

    def _ask_text(self) -> None:
        dialog = NamesDialog(self)
        if dialog.exec() and dialog.names is not None:
            self._choose(dialog.names)

    def _ask_file(self) -> None:
        kinds = open_filter(texts.LIST_FILE_FILTER)
        path, _ = QFileDialog.getOpenFileName(self, texts.LIST_FILE_TITLE, "", kinds)
        if path:
            self.choose_file(Path(path))

    def choose_file(self, path: Path) -> None:
        """Take the names in a file, or say why not."""
        try:
            self._choose(read_landmark_list(path))
        except OneshotError as error:
            self._tell(f"{error}.")


class NamesDialog(QDialog):
    """A text field for names; OK is enabled once they make a list."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(texts.TYPE_TITLE)
        self.resize(420, 360)
        self.names: LandmarkList | None = None
        self.text = QPlainTextEdit()
        self.text.setPlaceholderText(texts.TYPE_EXAMPLE)
        self.problem = MessageLabel("", WARN)
        standard = QDialogButtonBox.StandardButton
        self.buttons: Any = QDialogButtonBox(standard.Ok | standard.Cancel)
        layout = QVBoxLayout(self)
        for part in (QLabel(texts.TYPE_HELP), self.text, self.problem, self.buttons):
            layout.addWidget(part)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.text.textChanged.connect(self._on_text)
        self._on_text()

    def _on_text(self) -> None:
        text, problem = self.text.toPlainText(), ""
        self.names = None
        try:
            self.names = parse_landmark_list(text)
        except OneshotError as error:
            problem = f"{error}."
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        ok.setEnabled(self.names is not None)
        self.problem.say(problem if text.strip() else "", WARN)
