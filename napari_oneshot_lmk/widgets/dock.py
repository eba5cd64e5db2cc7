"""The dock "One-shot landmarks": the steps, one tab each, on one image."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_oneshot_lmk.widgets import measure_texts, review_texts, texts
from napari_oneshot_lmk.widgets.annotate.widget import AnnotateWidget
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.detectors import detectors_of
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.evaluate.widget import EvaluateWidget
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.measure.widget import MeasureWidget
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import DIM, WARN, MessageLabel
from napari_oneshot_lmk.widgets.review.widget import ReviewWidget
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.tour.help_menu import HelpMenu
from napari_oneshot_lmk.widgets.tour.widget import TourBar
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.models import KnownModel
from napari_oneshot_lmk.widgets.train.widget import TrainWidget
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of

STEPS = {
    texts.STEP_ANNOTATE: AnnotateWidget,
    training_texts.STEP_TRAIN: TrainWidget,
    texts.STEP_DETECT: DetectWidget,
    review_texts.STEP_REVIEW: ReviewWidget,
    measure_texts.STEP_MEASURE: MeasureWidget,
    evaluate_texts.STEP_EVALUATE: EvaluateWidget,
}
"""Title and widget of each tab; a new step is one more line here."""


class OneshotDock(QWidget):
    """From an annotated template to landmarks on other images."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session: Session = session_of(napari_viewer)
        layout = QVBoxLayout(self)
        self.header = ImageHeader(napari_viewer, self.session)
        layout.addWidget(self.header)
        self.tabs = QTabWidget()
        self.steps: dict[str, QWidget] = {}
        for title, make in STEPS.items():
            self.steps[title] = make(napari_viewer, self.session, with_header=False)
            self.tabs.addTab(self.steps[title], title)
        self.tour = TourBar(self)
        annotate = self.steps[texts.STEP_ANNOTATE]
        self.help = HelpMenu(self.tour.begin, annotate.show_keys)
        self.header.corner.addWidget(self.help)
        self.help_message = MessageLabel()
        self.help.said.connect(self._on_help)
        layout.insertWidget(0, self.tour)
        layout.addWidget(self.help_message)
        layout.addWidget(self.tabs, 1)
        connect_until_destroyed(self, self._on_model, self.session.events.model)

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Load what detects, in another thread, before it is asked for."""
        super().showEvent(event)
        detectors_of(workbench_of(self.viewer, self.session)).warm_up(preferences())

    def _on_help(self, text: str, failed: bool) -> None:
        self.help_message.say(text, WARN if failed else DIM)

    def _on_model(self, model: KnownModel | None) -> None:
        """Turn to detection with a model that was chosen in another dock.

        A project that is opened brings its model along; the user is about to review it.
        """
        reviewing = self.tabs.currentWidget() is self.steps[review_texts.STEP_REVIEW]
        if model is not None and not reviewing:
            self.tabs.setCurrentWidget(self.steps[texts.STEP_DETECT])
