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
from napari_oneshot_lmk.widgets.header import parse_spacing, spacing_text
from napari_oneshot_lmk.widgets.qt.parts import WARN, Button, MessageLabel
from napari_oneshot_lmk.widgets.train import training_texts

FROM_FILE = object()


class AdvancedSettings(QWidget):
    """Preset, and what is changed in it; emits ``changed``."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        form = QFormLayout(self)
        form.setContentsMargins(12, 0, 0, 0)
        self.preset = QComboBox()
        self.preset.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.preset.setToolTip(training_texts.PRESET_TIP)
        self.preset.addItem(training_texts.PRESET_AUTOMATIC, "")
        for name in PRESETS:
            self.preset.addItem(name, name)
        self.preset.addItem(training_texts.PRESET_FILE, FROM_FILE)
        self._before = 0
        self.preset.activated.connect(self._on_preset)
        self.epochs = _number(0, 100_000, training_texts.EPOCHS_TIP)
        self.adapters = _number(-1, 512, training_texts.ADAPTERS_TIP)
        self.labels = QComboBox()
        self.labels.setToolTip(training_texts.LABELS_TIP)
        self.labels.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for text, value in (
            (training_texts.LABELS_PRESET, ""),
            (training_texts.LABELS_INSTANT, "instant"),
            (training_texts.LABELS_RANDOM, "random"),
        ):
            self.labels.addItem(text, value)
        self.template_stage = QCheckBox(training_texts.TEMPLATE_STAGE)
        self.template_stage.setToolTip(training_texts.TEMPLATE_STAGE_TIP)
        self.pack = QCheckBox(training_texts.PACK)
        self.pack.setToolTip(training_texts.PACK_TIP)
        self.spacing = QLineEdit()
        self.spacing.setToolTip(training_texts.IMAGE_SPACING_TIP)
        self.spacing.setPlaceholderText(training_texts.AS_FILES)
        self.spacing_note = MessageLabel("", WARN)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(training_texts.SEED_TIP)
        self.defaults = Button(training_texts.DEFAULTS, training_texts.DEFAULTS_TIP)
        form.addRow(training_texts.PRESET, self.preset)
        form.addRow(training_texts.EPOCHS, self.epochs)
        form.addRow(training_texts.ADAPTERS, self.adapters)
        form.addRow(training_texts.LABELS, self.labels)
        form.addRow("", self.template_stage)
        form.addRow(training_texts.IMAGE_SPACING, self.spacing)
        form.addRow("", self.spacing_note)
        form.addRow(training_texts.SEED, self.seed)
        form.addRow("", self.pack)
        form.addRow("", self.defaults)
        self.show_config(TrainingConfig())
        for spin in (self.epochs, self.adapters, self.seed):
            spin.valueChanged.connect(self._on_changed)
        self.labels.currentIndexChanged.connect(self._on_changed)
        self.template_stage.toggled.connect(self._on_changed)
        self.pack.toggled.connect(self._on_changed)
        self.spacing.editingFinished.connect(self._on_changed)
        self.defaults.clicked.connect(self._on_defaults)

    def with_settings(self, config: TrainingConfig) -> TrainingConfig:
        """Return a config with these settings."""
        adapters = self.adapters.value()
        return config.model_copy(
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

    def show_config(self, config: TrainingConfig) -> None:
        """Show a config."""
        self._choose(str(config.preset))
        self.epochs.setValue(config.epochs or 0)
        adapters = config.adapter_channels
        self.adapters.setValue(-1 if adapters is None else adapters)
        self.template_stage.setChecked(config.template_stage)
        self.labels.setCurrentIndex(self.labels.findData(config.initial_labels or ""))
        mm_yx = config.spacing_mm_yx
        self.spacing.setText("" if mm_yx is None else spacing_text(mm_yx))
        self.seed.setValue(config.seed)
        self.pack.setChecked(config.pack)

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
            self, training_texts.PRESET_FILE_TITLE, "", training_texts.PRESET_FILE_FILTER
        )
        if path:
            self.choose_file(Path(path))

    def _on_changed(self, _: Any = None) -> None:
        self.changed.emit()

    def _on_defaults(self) -> None:
        self.show_config(TrainingConfig())
        self._on_changed()


def _number(lowest: int, highest: int, tip: str) -> QSpinBox:
    """Return a number whose lowest value means: as the preset says."""
    spin = QSpinBox()
    spin.setRange(lowest, highest)
    # A long text must not make the dock wide.
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    spin.setSpecialValueText(training_texts.AS_PRESET)
    spin.setToolTip(tip)
    return spin
