"""The controls of the dock "Detect landmarks"; they show a session and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QLinearGradient, QPainter, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.encoders.encoder import EncoderCard
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.annotate.landmark_rows import rows_of
from napari_oneshot_lmk.widgets.layers.style import UNSURE_COLOUR, css, score_colours
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    LINK,
    NOTE,
    Button,
    LandmarkTable,
    MessageLabel,
    TemplateSummary,
    WarningLabel,
    add_parts,
    narrow,
    row_of,
)
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.models import KnownModel, known_models, model_in
from napari_oneshot_lmk.widgets.train.remembered import training_folder

OPEN = "open"


class ModelChooser(QComboBox):
    """Emits ``chosen`` with a `KnownModel`, or None for instant detection."""

    chosen = Signal(object)
    refused = Signal(str)
    """Why a folder cannot be used."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(training_texts.MODEL_TIP)
        narrow(self)
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
        self.addItem(training_texts.MODEL_INSTANT, None)
        for row, known in enumerate(models, start=1):
            self.addItem(known.title, known)
            self.setItemData(row, str(known.path), Qt.ItemDataRole.ToolTipRole)
        self.addItem(training_texts.MODEL_OPEN, OPEN)
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
        path = QFileDialog.getExistingDirectory(self, training_texts.MODEL_OPEN_TITLE)
        if path:
            self.open(Path(path))


class DetectForm(QWidget):
    """The controls."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.template = TemplateSummary()
        self.open_template = Button(texts.OPEN_TEMPLATE, texts.OPEN_TEMPLATE_TIP)
        self.model = ModelChooser()
        self.encoder = MessageLabel(texts.ENCODER_LATER, DIM)
        self.note = WarningLabel()
        self.retry = Button(texts.RETRY_DOWNLOAD, texts.RETRY_DOWNLOAD_TIP)
        self.here = Button(texts.DETECT_HERE, texts.DETECT_TIP)
        self.everywhere = Button(texts.DETECT_ALL.format(count=0), texts.DETECT_ALL_TIP)
        self.why = MessageLabel("", DIM)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.cancel = Button(texts.CANCEL)
        self.message = MessageLabel()
        self.of_image = MessageLabel()
        """What holds of the image that is shown, whatever was done last."""
        self.report = Button(texts.COPY_REPORT, texts.COPY_REPORT_TIP)
        self.table = LandmarkTable(
            (texts.COLUMN_NUMBER, texts.COLUMN_LANDMARK, texts.COLUMN_SCORE, texts.COLUMN_STATE)
        )
        self.removed = MessageLabel("", NOTE)
        self.removed.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        add_parts(
            layout,
            *(self.template, self.open_template),
            row_of(training_texts.MODEL, self.model, stretched=self.model),
            row_of(texts.ENCODER, self.encoder, stretched=self.encoder),
            *(self.note, self.retry, self.here, self.everywhere, self.why),
            row_of(self.progress, self.cancel, stretched=self.progress),
            *(self.message, self.of_image, self.report),
            *(self.table, ConfidenceLegend(), self.removed),
            stretched=self.table,
        )
        grid = QGridLayout()
        grid.setSpacing(4)
        self.undo = Button(texts.UNDO, texts.KEY_UNDO)
        self.redo = Button(texts.REDO, texts.KEY_REDO)
        self.reset_point = Button(texts.RESET_POINT, texts.RESET_POINT_TIP)
        self.reset_image = Button(texts.RESET_IMAGE, texts.RESET_IMAGE_TIP)
        self.save_this = Button(texts.SAVE_THIS, texts.SAVE_THIS_TIP)
        self.save_report = Button(texts.SAVE_REPORT, texts.SAVE_REPORT_TIP)
        self.save = Button(texts.SAVE_ALL.format(count=0), texts.SAVE_ALL_TIP)
        self.export = Button(training_texts.EXPORT, training_texts.EXPORT_TIP)
        for number, button in enumerate((self.undo, self.redo, self.reset_point, self.reset_image)):
            grid.addWidget(button, 0, number)
        grid.addWidget(self.save_this, 1, 0, 1, 2)
        grid.addWidget(self.save, 1, 2, 1, 2)
        grid.addWidget(self.save_report, 2, 0, 1, 2)
        grid.addWidget(self.export, 2, 2, 1, 2)
        layout.addLayout(grid)
        for part in (self.retry, self.report, self.progress, self.cancel):
            part.hide()

    def show_encoder(self, card: EncoderCard | None, device: str) -> None:
        """Show what makes the features, and where."""
        if card is None:
            self.encoder.say(texts.ENCODER_LATER, DIM)
            self.note.warn("")
            return
        device = {"cpu": "CPU", "cuda": "GPU", "cuda:0": "GPU"}.get(device, device)
        text = texts.ENCODER_LOADED.format(title=card.title, device=device)
        # A long file name may break at its underscores.
        self.encoder.say(text.replace("_", "_\u200b"))
        self.encoder.setToolTip(card.identity)
        self.note.warn(card.note)

    def show_landmarks(self, annotation: Annotation) -> None:
        """List the landmarks of the image: detected, corrected and placed."""
        self.table.show_rows(rows_of(annotation, with_score=True), annotation.current)

    def show_results(self, session: Session, why_no_report: str = "") -> None:
        """Enable what can be done with the landmarks, and say why the rest cannot.

        ``why_no_report`` is what keeps the image's file from having a DICOM report.
        """
        annotation, history = session.annotation, session.history
        none = "" if annotation.landmarks else texts.WHY_NO_LANDMARKS
        self.undo.set_reason("" if history.can_undo else texts.WHY_NOTHING_TO_UNDO)
        self.redo.set_reason("" if history.can_redo else texts.WHY_NOTHING_TO_REDO)
        picked = annotation.current
        manual = bool(picked) and annotation.is_manual(picked)
        self.reset_point.set_reason("" if manual else texts.WHY_NOT_MANUAL)
        self.reset_image.set_reason("" if annotation.has_manual else texts.WHY_NO_MANUAL)
        self.save_this.set_reason(none or (texts.WHY_NO_LANDMARKS if annotation.is_empty else ""))
        self.save_report.set_reason(self.save_this.reason or why_no_report)
        removed = session.removed.results()
        count = len(session.results()) + len(removed)
        self.save.setText(texts.SAVE_ALL.format(count=count))
        self.save.set_reason("" if count else texts.WHY_NO_FOUND)
        images = texts.counted(len(removed), "image")
        text = texts.REMOVED_KEPT.format(images=images, link=LINK) if removed else ""
        self.removed.say(text, NOTE if removed else "")

    def show_reasons(self, session: Session, others: int) -> None:
        """Enable what can be done, and say why the rest cannot."""
        target = session.target
        busy = texts.WHY_BUSY.format(what=session.busy) if session.busy else ""
        why = busy or ("" if session.template is not None else texts.WHY_NO_TEMPLATE)
        self.here.set_reason(why or (texts.NO_IMAGE if target is None else ""))
        self.everywhere.set_reason(why or ("" if others else texts.WHY_NO_OTHERS))
        self.open_template.set_reason(busy)
        self.retry.set_reason(busy)
        self.model.setEnabled(not busy)
        no_model = training_texts.WHY_NO_MODEL if session.model is None else ""
        self.export.set_reason(busy or no_model)
        text = texts.DETECT_HERE
        if target is not None and target.slices > 1:
            text = texts.DETECT_SLICE.format(number=target.slice_number, count=target.slices)
        self.here.setText(text)
        self.everywhere.setText(texts.DETECT_ALL.format(count=others))
        # One visible reason is enough; the rest stands in the tooltips.
        self.why.say("" if busy else texts.sentence(self.here.reason), DIM)

    def show_busy(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show what runs and how far it is; an empty text ends it.

        Without a total there is no bar: an animated one makes the whole window,
        canvas included, be drawn again and again, which costs the detection its
        processor where there is no graphics card.
        """
        self.progress.setVisible(bool(text) and total > 0)
        self.cancel.setVisible(bool(text))
        if text:
            self.progress.setMaximum(total)
            self.progress.setValue(done)
            self.message.say(f"{text}…")

    def show_cancelling(self, cancelling: bool) -> None:
        """Show that a cancelled run still has to finish its image."""
        self.cancel.setText(texts.CANCELLING if cancelling else texts.CANCEL)
        self.cancel.setEnabled(not cancelling)


class ConfidenceLegend(QWidget):
    """A strip with the colours of the scores."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        low, strip, high = QLabel(texts.LEGEND_LOW), QLabel(), QLabel(texts.LEGEND_HIGH)
        strip.setPixmap(_gradient(90, 10))
        for column, part in enumerate((low, strip, high, QLabel(texts.LEGEND_MANUAL))):
            grid.addWidget(part, 0, column)
        unsure = QLabel(texts.LEGEND_UNSURE)
        unsure.setStyleSheet(f"color: {css(UNSURE_COLOUR)};")
        grid.addWidget(unsure, 1, 0, 1, 4)
        grid.setColumnStretch(4, 1)


def _gradient(width: int, height: int) -> QPixmap:
    pixmap = QPixmap(width, height)
    gradient = QLinearGradient(0, 0, width, 0)
    for score in np.linspace(0, 1, 11):
        gradient.setColorAt(float(score), css(score_colours([score])[0]))
    painter = QPainter(pixmap)
    painter.fillRect(0, 0, width, height, gradient)
    painter.end()
    return pixmap
