"""Which model detects: none, one that was trained here, or one from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy

from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets.models import KnownModel, known_models, model_in
from napari_oneshot_lmk.widgets.train_settings import training_folder

OPEN = "open"


class ModelChooser(QComboBox):
    """Emits ``chosen`` with a `KnownModel`, or None for instant detection."""

    chosen = Signal(object)
    refused = Signal(str)
    """Why a folder cannot be used."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(words.MODEL_TIP)
        # A long title must not make the dock wide.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._current: KnownModel | None = None
        self.activated.connect(self._on_activated)
        self.show_model(None)

    def show_model(self, model: KnownModel | None) -> None:
        """Show which model detects."""
        self._current = model
        models = known_models(training_folder())
        if model is not None and model.path not in [m.path for m in models]:
            models.append(model)
        self.clear()
        self.addItem(words.MODEL_INSTANT, None)
        for known in models:
            self.addItem(known.title, known)
            tip = str(known.path)
            self.setItemData(self.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.addItem(words.MODEL_OPEN, OPEN)
        paths = [None, *(m.path for m in models)]
        self.setCurrentIndex(paths.index(None if model is None else model.path))

    def showPopup(self) -> None:  # noqa: N802  Qt's name
        """Offer what has been trained since."""
        self.show_model(self._current)
        super().showPopup()

    def open(self, folder: Path) -> None:
        """Choose the model of a folder, or say why not."""
        try:
            model = model_in(folder)
        except ModelError as error:
            self.refused.emit(f"{error}.")
        else:
            self.chosen.emit(model)

    def _on_activated(self, index: int) -> None:
        data: Any = self.itemData(index)
        if data != OPEN:
            self.chosen.emit(data)
            return
        self.show_model(self._current)
        path = QFileDialog.getExistingDirectory(self, words.MODEL_OPEN_TITLE)
        if path:
            self.open(Path(path))
