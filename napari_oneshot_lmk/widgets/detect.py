"""The dock "Detect landmarks": one click on any open image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_oneshot_lmk.errors import ImageError, OneshotError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import words, words_train
from napari_oneshot_lmk.widgets.detect_form import DetectForm
from napari_oneshot_lmk.widgets.detection_run import DetectionRun
from napari_oneshot_lmk.widgets.export_run import ExportRun
from napari_oneshot_lmk.widgets.follow import Following
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.layers import ImageTarget, target_of
from napari_oneshot_lmk.widgets.results import ResultLayers
from napari_oneshot_lmk.widgets.saving import ask_save_landmarks
from napari_oneshot_lmk.widgets.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.session import session_of
from napari_oneshot_lmk.widgets.view import look_at
from napari_oneshot_lmk.widgets.warm import WarmDetectors

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.widgets.detecting import Found, Ready
    from napari_oneshot_lmk.widgets.models import KnownModel
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.warm import MakesDetectors


class DetectWidget(QWidget):
    """Finds a template's landmarks on open images.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose images to work on.
    session : Session, optional
        Shared with other docks; the viewer's own when not given.
    with_header : bool
        Show which image is meant; not needed inside the composed dock.
    make_detector : MakesDetectors, optional
        Turns a template into a detector; the instant method when not given.
    export : ExportRun, optional
        Writes bundles.
    """

    finished = Signal()
    """A run has ended, in whatever way."""

    def __init__(
        self,
        napari_viewer: Any,
        session: Session | None = None,
        with_header: bool = True,
        make_detector: MakesDetectors | None = None,
        export: ExportRun | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.run = DetectionRun(make_detector or WarmDetectors())
        self.export = export or ExportRun()
        self.results = ResultLayers(napari_viewer)
        self._targets: dict[Any, ImageTarget] = {}
        self._report = ""
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        self.form = DetectForm()
        layout.addWidget(self.form)
        self._connect()
        self.form.show_encoder(None, "")
        self.form.model.show_model(self.session.model)
        self._bring_template(self.session.model)
        self._refresh()

    def _connect(self) -> None:
        following = Following(self)
        events, layers = self.session.events, self._viewer.layers
        for event in (events.target, events.template, events.found, events.busy):
            following.follow(event, self._refresh)
        following.follow(events.model, self._on_model)
        for event in (layers.events.inserted, layers.events.removed):
            following.follow(event, self._refresh)
        self.run.ready.connect(self._on_ready)
        self.run.found.connect(self._on_found)
        self.run.going.connect(self._on_going)
        self.run.ended.connect(self._on_ended)
        self.export.going.connect(self._on_going)
        self.export.ended.connect(self._on_ended)
        form = self.form
        form.open_template.clicked.connect(self._on_open_template)
        form.model.chosen.connect(self.choose_model)
        form.model.refused.connect(form.complain)
        form.export.clicked.connect(self._on_export)
        form.here.clicked.connect(self.detect_here)
        form.everywhere.clicked.connect(self.detect_everywhere)
        form.cancel.clicked.connect(self.cancel)
        form.report.clicked.connect(self._on_copy_report)
        form.table.picked.connect(self._on_picked)
        form.save.clicked.connect(self._on_save)

    # -- what the user does ---------------------------------------------------------

    def detect_here(self) -> None:
        """Detect on the picture that the dock shows."""
        if self.session.target is not None:
            self._start([self.session.target])

    def detect_everywhere(self) -> None:
        """Detect on every open image but the template's own."""
        self._start(self._others())

    def cancel(self) -> None:
        """Stop after the image that is being worked on."""
        self.run.cancel()
        self.export.cancel()
        self.form.show_cancelling(True)

    def load_template(self, path: Path) -> None:
        """Open a template folder, or say why not."""
        try:
            self.session.load_template(Template.load(path))
        except OneshotError as error:
            self.form.complain(f"{error}.")
        else:
            self.form.message.say("")

    def choose_model(self, model: KnownModel | None) -> None:
        """Detect with a trained model from now on; None for instant detection."""
        self.session.model = model
        self._bring_template(model)

    def _bring_template(self, model: KnownModel | None) -> None:
        """Take a model's own template where there is none, whoever chose the model."""
        if model is not None and self.session.template is None:
            self.load_template(model.template_path)

    def export_model(self, out: Path) -> None:
        """Write the chosen model as a MONAI bundle, in another thread."""
        model = self.session.model
        if model is None or self.run.running or self.export.running:
            return
        self._report = ""
        self.form.report.hide()
        self.form.show_cancelling(False)
        self.export.start(model.path, out)

    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, words_train.EXPORT_TITLE)
        if path:
            self.export_model(Path(path))

    def _on_open_template(self) -> None:
        path = QFileDialog.getExistingDirectory(self, words.OPEN_TEMPLATE_TITLE)
        if path:
            self.load_template(Path(path))

    def _on_picked(self, name: str) -> None:
        target = self.session.target
        found = None if target is None else self.session.found.get(target.key)
        if target is None or found is None:
            return
        position = found[name].position_yx
        if position is not None:
            look_at(self._viewer, target, position)

    def _on_save(self) -> None:
        try:
            said = ask_save_landmarks(self, self._found_now())
        except OneshotError as error:
            self.form.complain(f"{error}.")
        else:
            if said:
                self.form.message.say(said)

    def _found_now(self) -> list[Landmarks]:
        """Return what was found, with what the user has moved since."""
        found = self.session.found
        return [self.results.as_shown(key, found[key]) for key in found]

    def _on_copy_report(self) -> None:
        QApplication.clipboard().setText(self._report)

    # -- the run --------------------------------------------------------------------

    def _others(self) -> list[ImageTarget]:
        """Every picture shown, without the template's own."""
        targets = []
        for layer in self._viewer.layers:
            if isinstance(layer, Image):
                try:
                    target = target_of(layer, self._viewer)
                except ImageError:
                    continue
                if target.key != self.session.template_key:
                    targets.append(target)
        return targets

    def _start(self, targets: Sequence[ImageTarget]) -> None:
        template = self.session.template
        busy = self.run.running or self.export.running
        if template is None or not targets or busy:
            return
        self._targets = {target.key: target for target in targets}
        pictures = [
            (t.key, t.picture(self.session.spacing_for(t).mm_yx)) for t in targets
        ]
        self._report = ""
        self.form.report.hide()
        self.form.show_cancelling(False)
        model = self.session.model
        self.run.start(pictures, template, None if model is None else model.path)

    def _on_ready(self, step: Ready) -> None:
        self.form.show_encoder(step.card, step.device)

    def _on_going(self, text: str, done: int, total: int) -> None:
        self.form.show_busy(text, done, total)
        self.session.busy = text

    def _on_found(self, step: Found) -> None:
        target = self._targets[step.key]
        # The user may have closed the image meanwhile.
        if target.layer in self._viewer.layers:
            visible = self.session.target == target or len(self._targets) == 1
            self.results.show(target, step.landmarks, visible)
            self.session.keep_found(target, step.landmarks)

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._report = report
        self._on_going("", 0, 0)
        self.form.report.setVisible(bool(report))
        if failed:
            self.form.complain(text)
        else:
            self.form.message.say(text)
        self.finished.emit()

    # -- what happens ---------------------------------------------------------------

    def _on_model(self, model: KnownModel | None) -> None:
        self.form.model.show_model(model)
        self._bring_template(model)
        self._refresh()
        self.form.show_encoder(None, "")

    def _refresh(self, event: Any = None) -> None:
        target = self.session.target
        found = None if target is None else self.session.found.get(target.key)
        self.form.show_template(self.session.template)
        self.form.show_found(found)
        self.form.show_reasons(self.session, len(self._others()))
