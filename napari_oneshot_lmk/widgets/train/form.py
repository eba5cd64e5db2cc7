"""What the tab "Train" looks like before a training; it shows, no more."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.training.config import Duration, TrainingConfig
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    NOTE,
    WARN,
    Button,
    MessageLabel,
    TemplateSummary,
    WarningLabel,
    row_of,
)
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.advanced import AdvancedSettings

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.estimate import Estimate
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.train.image_check import CheckedFolder

TIMES = {
    Duration.QUICK: (training_texts.QUICK, training_texts.QUICK_TIP),
    Duration.NORMAL: (training_texts.NORMAL, training_texts.NORMAL_TIP),
    Duration.THOROUGH: (training_texts.THOROUGH, training_texts.THOROUGH_TIP),
}
SHOWN_FAILURES = 3


class TrainForm(QWidget):
    """The controls: template, images, method, time, and all else folded away."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.template = TemplateSummary()
        layout.addWidget(self.template)
        self.open_template = Button(texts.OPEN_TEMPLATE, texts.OPEN_TEMPLATE_TIP)
        layout.addWidget(self.open_template)
        layout.addLayout(self._images())
        layout.addLayout(self._method())
        layout.addLayout(self._time())
        self.fold = QToolButton()
        self.fold.setText(training_texts.MORE)
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.toggled.connect(self._on_fold)
        layout.addWidget(self.fold)
        self.more = AdvancedSettings()
        layout.addWidget(self.more)
        self.train = Button(training_texts.TRAIN, training_texts.TRAIN_TIP)
        layout.addWidget(self.train)
        self.why = MessageLabel("", DIM)
        layout.addWidget(self.why)
        self.message = MessageLabel()
        layout.addWidget(self.message)
        self.report = Button(texts.COPY_REPORT, texts.COPY_REPORT_TIP)
        self.report.hide()
        layout.addWidget(self.report)
        layout.addStretch(1)
        self._on_fold(False)

    def _images(self) -> QVBoxLayout:
        part = QVBoxLayout()
        self.folder = QLabel()
        # A long path must not make the dock wide.
        self.folder.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.choose = Button(training_texts.CHOOSE_FOLDER, training_texts.CHOOSE_FOLDER_TIP)
        part.addLayout(
            row_of(training_texts.IMAGES, self.folder, self.choose, stretched=self.folder)
        )
        self.checked = MessageLabel()
        row = row_of(self.checked, stretched=self.checked)
        self.again = Button(training_texts.CHECK_AGAIN, training_texts.CHECK_AGAIN_TIP)
        row.addWidget(self.again, 0, Qt.AlignmentFlag.AlignTop)
        part.addLayout(row)
        self.failures = WarningLabel()
        part.addWidget(self.failures)
        self.warnings = MessageLabel("", NOTE)
        part.addWidget(self.warnings)
        return part

    def _method(self) -> QHBoxLayout:
        row = row_of(training_texts.METHOD)
        self.fused = QRadioButton(training_texts.METHOD_FUSED)
        self.fused.setToolTip(training_texts.METHOD_FUSED_TIP)
        self.single = QRadioButton(training_texts.METHOD_SINGLE)
        self.single.setToolTip(training_texts.METHOD_SINGLE_TIP)
        self.landmark = QComboBox()
        self.landmark.setToolTip(training_texts.METHOD_SINGLE_TIP)
        self.landmark.setMinimumWidth(90)
        self.landmark.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.single.toggled.connect(self.landmark.setEnabled)
        self.landmark.setEnabled(False)
        part = QVBoxLayout()
        part.addWidget(self.fused)
        part.addLayout(row_of(self.single, self.landmark, stretched=self.landmark))
        row.addLayout(part, 1)
        return row

    def _time(self) -> QVBoxLayout:
        part = QVBoxLayout()
        row = row_of(training_texts.TIME)
        self.times = QButtonGroup(self)
        self.time_buttons: dict[Duration, QPushButton] = {}
        for time, (text, tip) in TIMES.items():
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip)
            self.times.addButton(button)
            self.time_buttons[time] = button
            row.addWidget(button, 1)
        part.addLayout(row)
        self.estimate = MessageLabel("", DIM)
        part.addWidget(self.estimate)
        return part

    def _on_fold(self, unfolded: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow
        self.fold.setArrowType(arrow)
        self.more.setVisible(unfolded)

    # -- what is chosen --------------------------------------------------------------

    def config(self) -> TrainingConfig:
        """Return what is chosen."""
        single, landmark = self.single.isChecked(), str(self.landmark.currentData() or "")
        time = next(t for t, b in self.time_buttons.items() if b.isChecked())
        return self.more.with_settings(
            TrainingConfig(
                method="single" if single else "fused",
                landmarks=(landmark,) if single and landmark else (),
                time=time,
            )
        )

    def show_config(self, config: TrainingConfig) -> None:
        """Show a config that was made before."""
        single = config.training_method.per_landmark
        self.single.setChecked(single)
        self.fused.setChecked(not single)
        found = self.landmark.findData("".join(config.landmarks))
        if found >= 0:
            self.landmark.setCurrentIndex(found)
        self.time_buttons[config.time].setChecked(True)
        self.more.show_config(config)

    # -- showing ---------------------------------------------------------------------

    def show_template(self, template: Template | None) -> None:
        """Show the template, and offer its landmarks."""
        self.template.show_template(template)
        kept = self.landmark.currentData()
        self.landmark.clear()
        if template is None:
            return
        placed = template.landmarks.placed
        for point in placed:
            self.landmark.addItem(point.name, point.name)
        if len(placed) > 1:
            self.landmark.addItem(training_texts.EACH_IN_TURN, "")
            self.landmark.setItemData(
                len(placed), training_texts.EACH_IN_TURN_TIP, Qt.ItemDataRole.ToolTipRole
            )
        self.landmark.setCurrentIndex(max(0, self.landmark.findData(kept)))

    def show_folder(self, folder: Path | None) -> None:
        """Show which folder was chosen, its end where it is long."""
        if folder is None:
            self.folder.setText(training_texts.NO_FOLDER)
            self.folder.setStyleSheet(f"color: {DIM};")
            self.folder.setToolTip("")
            return
        self.folder.setStyleSheet("")
        self.folder.setText(folder.name or str(folder))
        self.folder.setToolTip(str(folder))

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
        text = ""
        if failed:
            shown = "; ".join(failed[:SHOWN_FAILURES])
            if len(failed) > SHOWN_FAILURES:
                shown += training_texts.AND_MORE.format(count=len(failed) - SHOWN_FAILURES)
            images = texts.counted(len(failed), "image")
            text = training_texts.UNREADABLE.format(images=images, list=shown)
        self.failures.warn(text)
        self.failures.setToolTip("\n".join(failed))
        self.warnings.say("<br>".join(map(escape, checked.warnings)), NOTE)

    def show_estimate(self, guess: Estimate | None, device: str, problem: str = "") -> None:
        """Show how long it will take here, or what is wrong with the preset."""
        if problem:
            self.estimate.say(problem, WARN)
        elif guess is None:
            self.estimate.say(training_texts.ESTIMATE_LATER, DIM)
        else:
            text = training_texts.ESTIMATE.format(
                time=training_texts.ABOUT.format(time=training_texts.duration(guess.seconds)),
                device="GPU" if device.startswith("cuda") else device.upper(),
                memory=training_texts.memory_needed(guess.feature_bytes),
            )
            self.estimate.say(f"{text[:1].upper()}{text[1:]}.")

    def show_reason(self, reason: str) -> None:
        """Enable the button, or say why it cannot be pressed."""
        self.train.set_reason(reason)
        self.why.say(f"{reason[:1].upper()}{reason[1:]}." if reason else "", DIM)

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
