"""The settings of a training that are folded away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, LineEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.preset import PRESETS
from napari_oneshot_lmk.widgets.header import parse_spacing, spacing_text
from napari_oneshot_lmk.widgets.qt.config_form import ConfigForm
from napari_oneshot_lmk.widgets.qt.parts import WARN, Button, MessageLabel, narrow
from napari_oneshot_lmk.widgets.train import training_texts

FROM_FILE = "from a file"
NOT_HERE = {
    *("method", "time"),  # always in sight
    *("landmarks", "preset", "spacing_mm_yx"),  # have controls of their own
    *("device", "encoder_weights"),  # of the preferences
    "template_sha256",
}
ADVANCED = tuple(name for name in TrainingConfig.model_fields if name not in NOT_HERE)
"""Fields that a control is made for: each that is added to the configuration."""


class AdvancedSettings(QWidget):
    """Preset, and what is changed in it; emits ``changed``."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._files: list[str] = []
        self._before = ""
        self.preset = ComboBox(
            name="preset",
            label=training_texts.PRESET,
            choices=self._presets,
            tooltip=training_texts.PRESET_TIP,
        )
        narrow(self.preset.native)
        self.spacing = LineEdit(
            name="spacing",
            label=training_texts.IMAGE_SPACING,
            tooltip=training_texts.IMAGE_SPACING_TIP,
        )
        self.spacing.native.setPlaceholderText(training_texts.AS_FILES)
        unset = training_texts.AS_PRESET
        self.form = ConfigForm(TrainingConfig, ADVANCED, unset, self.changed.emit)
        self.form.insert(0, self.preset)
        self.form.append(self.spacing)
        self.spacing_note = MessageLabel("", WARN)
        self.defaults = Button(training_texts.DEFAULTS, training_texts.DEFAULTS_TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        for part in (self.form.native, self.spacing_note, self.defaults):
            layout.addWidget(part)
        self.show_config(TrainingConfig())
        self.preset.changed.connect(self._on_preset)
        self.spacing.native.editingFinished.connect(self.changed)
        self.defaults.clicked.connect(self._on_defaults)

    def with_settings(self, config: TrainingConfig) -> TrainingConfig:
        """Return a configuration with these settings."""
        update = {"preset": self.preset.value, "spacing_mm_yx": self._spacing()}
        return config.model_copy(update=update | self.form.values())

    def show_config(self, config: TrainingConfig) -> None:
        """Show the settings of a configuration."""
        self._choose(str(config.preset))
        self.form.show_values(config)
        mm_yx = config.spacing_mm_yx
        self.spacing.value = "" if mm_yx is None else spacing_text(mm_yx)

    def choose_file(self, path: Path) -> None:
        """Take a preset from a file."""
        self._choose(str(path))
        self.changed.emit()

    def _spacing(self) -> tuple[float, float] | None:
        """Return the spacing that was typed; None, and say so, where it is none."""
        try:
            spacing = checked_spacing(parse_spacing(self.spacing.value))
        except GeometryError as error:
            self.spacing_note.say(f"{error}.", WARN)
            return None
        self.spacing_note.say("")
        return spacing

    def _presets(self, _: Any) -> list[tuple[str, str]]:
        return [
            (training_texts.PRESET_AUTOMATIC, ""),
            *((name, name) for name in PRESETS),
            *((Path(path).name, path) for path in self._files),
            (training_texts.PRESET_FILE, FROM_FILE),
        ]

    def _choose(self, preset: str) -> None:
        """Select a preset by name or path, and offer that path from now on."""
        with self.preset.changed.blocked():
            if preset not in self.preset.choices:
                self._files.append(preset)
                self.preset.reset_choices()
            self.preset.value = preset
        self._before = preset

    def _on_preset(self, preset: str) -> None:
        if preset != FROM_FILE:
            self._before = preset
            self.changed.emit()
            return
        self._choose(self._before)
        path, _ = QFileDialog.getOpenFileName(
            self, training_texts.PRESET_FILE_TITLE, "", training_texts.PRESET_FILE_FILTER
        )
        if path:
            self.choose_file(Path(path))

    def _on_defaults(self) -> None:
        self.show_config(TrainingConfig())
        self.changed.emit()
