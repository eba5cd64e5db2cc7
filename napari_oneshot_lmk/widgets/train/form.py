"""The controls of the tab "Train" before a training."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.estimate import Estimate
from napari_oneshot_lmk.training.methods import find_method
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.config_form import ConfigForm
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    NOTE,
    WARN,
    Button,
    MessageLabel,
    TemplateSummary,
    WarningLabel,
    add_parts,
    narrow,
    row_of,
)
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.advanced import AdvancedSettings
from napari_oneshot_lmk.widgets.train.image_check import CheckedFolder

SHOWN_FAILURES = 3
MAIN = ("method", "time")
"""Fields of the configuration that are always in sight."""


class TrainForm(QWidget):
    """The controls: template, images, method, time, and all else folded away."""

    changed = Signal()
    """The user has changed a setting."""

    def __init__(self) -> None:
        super().__init__()
        self._template: Template | None = None
        self.template = TemplateSummary()
        self.open_template = Button(texts.OPEN_TEMPLATE, texts.OPEN_TEMPLATE_TIP)
        # A long path must not make the dock wide.
        self.folder = QElidingLabel()
        self.folder.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.choose = Button(training_texts.CHOOSE_FOLDER, training_texts.CHOOSE_FOLDER_TIP)
        self.checked = MessageLabel()
        self.again = Button(training_texts.CHECK_AGAIN, training_texts.CHECK_AGAIN_TIP)
        self.failures = WarningLabel()
        self.warnings = MessageLabel("", NOTE)
        self.main = ConfigForm(TrainingConfig, MAIN, "", self._on_main)
        self.landmark = ComboBox(
            name="landmark",
            label=training_texts.LANDMARK,
            tooltip=training_texts.LANDMARK_TIP,
            choices=self._landmarks,
        )
        narrow(self.landmark.native)
        self.landmark.changed.connect(lambda _: self.changed.emit())
        self.main.insert(1, self.landmark)
        self.estimate = MessageLabel("", DIM)
        # superqt's QCollapsible leaves what it folds away in the order of the Tab key.
        self.fold = QToolButton()
        self.fold.setText(training_texts.MORE)
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.toggled.connect(self._on_fold)
        self.more = AdvancedSettings()
        self.more.changed.connect(self.changed)
        self._on_fold(False)
        self.train = Button(training_texts.TRAIN, training_texts.TRAIN_TIP)
        self.why = MessageLabel("", DIM)
        self.message = MessageLabel()
        self.report = Button(texts.COPY_REPORT, texts.COPY_REPORT_TIP)
        self.report.hide()
        checked = row_of(self.checked, stretched=self.checked)
        checked.addWidget(self.again, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        add_parts(
            layout,
            *(self.template, self.open_template),
            row_of(training_texts.IMAGES, self.folder, self.choose, stretched=self.folder),
            *(checked, self.failures, self.warnings, self.main.native, self.estimate),
            *(self.fold, self.more, self.train, self.why, self.message, self.report),
        )
        layout.addStretch(1)

    def _on_fold(self, unfolded: bool) -> None:
        self.fold.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self.more.setVisible(unfolded)

    def config(self) -> TrainingConfig:
        """Return what is chosen."""
        config = TrainingConfig(**self.main.values())
        if config.training_method.per_landmark and self.landmark.value:
            config = config.model_copy(update={"landmarks": (self.landmark.value,)})
        return self.more.with_settings(config)

    def show_config(self, config: TrainingConfig) -> None:
        """Show a configuration that was made before."""
        self.main.show_values(config)
        name = "".join(config.landmarks)
        if name in self.landmark.choices:
            with self.landmark.changed.blocked():
                self.landmark.value = name
        self._show_landmark()
        self.more.show_config(config)

    def _on_main(self) -> None:
        self._show_landmark()
        self.changed.emit()

    def _show_landmark(self) -> None:
        self.landmark.visible = find_method(self.main["method"].value).per_landmark

    def _landmarks(self, _: Any) -> list[tuple[str, str]]:
        placed = [] if self._template is None else self._template.landmarks.placed
        each = [(training_texts.EACH_IN_TURN, "")] if len(placed) > 1 else []
        return [(point.name, point.name) for point in placed] + each

    def show_template(self, template: Template | None) -> None:
        """Show the template, and offer its landmarks."""
        self._template = template
        self.template.show_template(template)
        with self.landmark.changed.blocked():
            self.landmark.reset_choices()

    def show_folder(self, folder: Path | None) -> None:
        """Show which folder was chosen, its end where it is long."""
        path = "" if folder is None else str(folder)
        self.folder.setStyleSheet("" if path else f"color: {DIM};")
        self.folder.setText((folder.name or path) if folder else training_texts.NO_FOLDER)
        self.folder.setToolTip(path)

    def show_checking(self, text: str) -> None:
        """Show that the images are being looked at."""
        self.checked.say(f"{text}…", DIM)
        self.again.hide()

    def show_checked(self, checked: CheckedFolder | None, problem: str = "") -> None:
        """Show what was found in the folder, or why nothing can be used."""
        self.again.setVisible(checked is not None or bool(problem))
        if checked is None:
            self.checked.say(problem, WARN)
            self.failures.warn("")
            self.warnings.say("")
            return
        self.checked.say(checked.summary)
        failed = [str(error) for error in checked.failed]
        shown, images = "; ".join(failed[:SHOWN_FAILURES]), texts.counted(len(failed), "image")
        if len(failed) > SHOWN_FAILURES:
            shown += training_texts.AND_MORE.format(count=len(failed) - SHOWN_FAILURES)
        text = training_texts.UNREADABLE.format(images=images, list=shown)
        self.failures.warn(text if failed else "")
        self.failures.setToolTip("\n".join(failed))
        self.warnings.say("<br>".join(map(escape, checked.warnings)), NOTE)

    def show_estimate(self, guess: Estimate | None, device: str, problem: str = "") -> None:
        """Show how long it will take here, or what is wrong with the preset."""
        if problem:
            self.estimate.say(problem, WARN)
        elif guess is None:
            self.estimate.say(training_texts.ESTIMATE_LATER, DIM)
        else:
            device = "GPU" if device.startswith("cuda") else device.upper()
            time = training_texts.duration(guess.seconds)
            memory = training_texts.memory_needed(guess.feature_bytes)
            text = training_texts.ESTIMATE.format(time=time, device=device, memory=memory)
            self.estimate.say(text)

    def show_reason(self, reason: str) -> None:
        """Enable the button, or say why it cannot be pressed."""
        self.train.set_reason(reason)
        self.why.say(texts.sentence(reason), DIM)

    def say(self, text: str, warn: bool = False) -> None:
        """Show what happened."""
        self.message.say(text, WARN if warn else "")


def blocking_reason(
    session: Session, folder: Path | None, found: CheckedFolder | None, checking: bool
) -> str:
    """Say what keeps a training from beginning; empty where nothing does."""
    if session.template is None:
        return texts.WHY_NO_TEMPLATE
    if folder is None:
        return training_texts.WHY_NO_IMAGES
    if checking:
        return training_texts.WHY_CHECKING
    return "" if found is not None else training_texts.WHY_BAD_IMAGES
