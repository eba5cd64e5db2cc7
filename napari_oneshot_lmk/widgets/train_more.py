"""The settings of a training that are folded away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.preset import PRESETS
from napari_oneshot_lmk.widgets import words_train as words
from napari_oneshot_lmk.widgets.header import parse_spacing, spacing_text
from napari_oneshot_lmk.widgets.parts import WARN, Button, Line

FROM_FILE = object()


class MoreSettings(QWidget):
    """Preset, and what is changed in it; emits ``changed``."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        form = QFormLayout(self)
        form.setContentsMargins(12, 0, 0, 0)
        self.preset = QComboBox()
        self.preset.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.preset.setToolTip(words.PRESET_TIP)
        self.preset.addItem(words.PRESET_AUTOMATIC, "")
        for name in PRESETS:
            self.preset.addItem(name, name)
        self.preset.addItem(words.PRESET_FILE, FROM_FILE)
        self._before = 0
        self.preset.activated.connect(self._on_preset)
        self.epochs = _number(0, 100_000, words.EPOCHS_TIP)
        self.adapters = _number(-1, 512, words.ADAPTERS_TIP)
        self.labels = QComboBox()
        self.labels.setToolTip(words.LABELS_TIP)
        self.labels.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for text, value in (
            (words.LABELS_PRESET, ""),
            (words.LABELS_INSTANT, "instant"),
            (words.LABELS_RANDOM, "random"),
        ):
            self.labels.addItem(text, value)
        self.template_stage = QCheckBox(words.TEMPLATE_STAGE)
        self.template_stage.setToolTip(words.TEMPLATE_STAGE_TIP)
        self.pack = QCheckBox(words.PACK)
        self.pack.setToolTip(words.PACK_TIP)
        self.spacing = QLineEdit()
        self.spacing.setToolTip(words.IMAGE_SPACING_TIP)
        self.spacing.setPlaceholderText(words.AS_FILES)
        self.spacing_note = Line("", WARN)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(words.SEED_TIP)
        self.defaults = Button(words.DEFAULTS, words.DEFAULTS_TIP)
        form.addRow(words.PRESET, self.preset)
        form.addRow(words.EPOCHS, self.epochs)
        form.addRow(words.ADAPTERS, self.adapters)
        form.addRow(words.LABELS, self.labels)
        form.addRow("", self.template_stage)
        form.addRow(words.IMAGE_SPACING, self.spacing)
        form.addRow("", self.spacing_note)
        form.addRow(words.SEED, self.seed)
        form.addRow("", self.pack)
        form.addRow("", self.defaults)
        self.show_choice(TrainingConfig())
        for spin in (self.epochs, self.adapters, self.seed):
            spin.valueChanged.connect(self._on_changed)
        self.labels.currentIndexChanged.connect(self._on_changed)
        self.template_stage.toggled.connect(self._on_changed)
        self.pack.toggled.connect(self._on_changed)
        self.spacing.editingFinished.connect(self._on_changed)
        self.defaults.clicked.connect(self._on_defaults)

    def added_to(self, choice: TrainingConfig) -> TrainingConfig:
        """Return a choice with these settings."""
        adapters = self.adapters.value()
        return choice.model_copy(
            update={
                "preset": str(self.preset.currentData()),
                "epochs": self.epochs.value() or None,
                "adapter_channels": None if adapters < 0 else adapters,
                "template_stage": self.template_stage.isChecked(),
                "initial_labels": str(self.labels.currentData()) or None,
                "spacing_mm_yx": self._spacing(),
                "seed": self.seed.value(),
                "pack": self.pack.isChecked(),
            }
        )

    def show_choice(self, choice: TrainingConfig) -> None:
        """Show a choice."""
        self._choose(str(choice.preset))
        self.epochs.setValue(choice.epochs or 0)
        adapters = choice.adapter_channels
        self.adapters.setValue(-1 if adapters is None else adapters)
        self.template_stage.setChecked(choice.template_stage)
        self.labels.setCurrentIndex(self.labels.findData(choice.initial_labels or ""))
        mm_yx = choice.spacing_mm_yx
        self.spacing.setText("" if mm_yx is None else spacing_text(mm_yx))
        self.seed.setValue(choice.seed)
        self.pack.setChecked(choice.pack)

    def choose_file(self, path: Path) -> None:
        """Take a preset from a file."""
        self._choose(str(path))
        self._on_changed()

    def _spacing(self) -> tuple[float, float] | None:
        """Return the spacing that was typed; None, and say so, where it is none."""
        try:
            spacing = checked_spacing(parse_spacing(self.spacing.text()))
        except GeometryError as error:
            self.spacing_note.say(f"{error}.", WARN)
            return None
        self.spacing_note.say("")
        return spacing

    def _choose(self, preset: str) -> None:
        """Select a preset by name or path, and offer that path from now on."""
        found = self.preset.findData(preset)
        if found < 0:
            found = self.preset.count() - 1
            self.preset.insertItem(found, Path(preset).name, preset)
        self.preset.setCurrentIndex(found)
        self._before = found

    def _on_preset(self, index: int) -> None:
        if self.preset.itemData(index) is not FROM_FILE:
            self._before = index
            self._on_changed()
            return
        self.preset.setCurrentIndex(self._before)
        path, _ = QFileDialog.getOpenFileName(
            self, words.PRESET_FILE_TITLE, "", words.PRESET_FILE_FILTER
        )
        if path:
            self.choose_file(Path(path))

    def _on_changed(self, _: Any = None) -> None:
        self.changed.emit()

    def _on_defaults(self) -> None:
        self.show_choice(TrainingConfig())
        self._on_changed()


def _number(lowest: int, highest: int, tip: str) -> QSpinBox:
    """Return a number whose lowest value means: as the preset says."""
    spin = QSpinBox()
    spin.setRange(lowest, highest)
    # A long text must not make the dock wide.
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    spin.setSpecialValueText(words.AS_PRESET)
    spin.setToolTip(tip)
    return spin
