"""The dock "Detect landmarks": one click on any open image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.files.dicom_sr import why_no_report
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import shortcuts, texts
from napari_oneshot_lmk.widgets.annotate.close_question import ask_before_unsaved_close
from napari_oneshot_lmk.widgets.detect.export import ExportRun
from napari_oneshot_lmk.widgets.detect.form import DetectForm
from napari_oneshot_lmk.widgets.detect.image_note import note_of
from napari_oneshot_lmk.widgets.detect.run import DetectionRun
from napari_oneshot_lmk.widgets.detectors import DetectorCache, detectors_of
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, shown_images
from napari_oneshot_lmk.widgets.layers.napari_versions import look_at
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import WARN
from napari_oneshot_lmk.widgets.qt.save_dialogs import ask_save_landmarks, ask_save_report
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.saved_images import results_of
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.models import KnownModel
from napari_oneshot_lmk.widgets.train.request import TEMPLATE
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of


class DetectWidget(QWidget):
    """Detects a template's landmarks on open images.

    ``session`` is shared with other docks, by default the viewer's own; ``with_header`` shows
    which image is meant, ``make_detector`` detects, ``export`` writes bundles.
    """

    finished = Signal()
    """A run has ended, in whatever way."""

    def __init__(
        self,
        napari_viewer: Any,
        session: Session | None = None,
        with_header: bool = True,
        make_detector: DetectorCache | None = None,
        export: ExportRun | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.bench = workbench_of(napari_viewer, self.session)
        self.run = DetectionRun(make_detector or detectors_of(self.bench))
        self.export = export or ExportRun()
        self._targets: dict[Any, ImageView] = {}
        self._exporting = False
        """Whether the last run is an export, and not a detection."""
        self._taken_over = 0
        """On how many images this run has found work of an earlier session."""
        self._report = ""
        self._looked_at: tuple[Any, str] = None, ""
        """Image and file that were asked for a DICOM report last, and why there can be none."""
        self._about: tuple[Key, Landmarks] | None = None
        """The image that the message is about, and its landmarks then; None for all images."""
        self.told_saved = ""
        """What was told of the last file with landmarks that was saved here."""
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
        events, layers = self.session.events, self._viewer.layers.events
        images = (layers.inserted, layers.removed, events.target)
        connect_until_destroyed(self, self._refresh, *images, events.template, events.busy)
        connect_until_destroyed(self, self._show_results, events.annotation, self.session.edited)
        connect_until_destroyed(self, self._drop_message, events.annotation, events.target)
        connect_until_destroyed(self, self._say_of_image, self.bench.told)
        connect_until_destroyed(self, self._on_model, events.model)
        form = self.form
        self.run.ready.connect(form.show_encoder)
        self.run.found.connect(self._on_found)
        for work in (self.run, self.export):
            work.going.connect(self._on_going)
            work.ended.connect(self._on_ended)
        form.open_template.clicked.connect(self._on_open_template)
        form.model.chosen.connect(self.choose_model)
        form.model.refused.connect(self._complain)
        form.export.clicked.connect(self._on_export)
        form.here.clicked.connect(self.detect_here)
        form.everywhere.clicked.connect(self.detect_everywhere)
        form.retry.clicked.connect(self.retry_download)
        form.cancel.clicked.connect(self.cancel)
        form.report.clicked.connect(lambda *_: QApplication.clipboard().setText(self._report))
        form.table.picked.connect(self._on_picked)
        form.undo.clicked.connect(lambda *_: self.bench.undo())
        form.redo.clicked.connect(lambda *_: self.bench.redo())
        form.reset_point.clicked.connect(self._on_reset_point)
        form.reset_image.clicked.connect(self._on_reset_image)
        form.save.clicked.connect(self._on_save)
        form.save_this.clicked.connect(self._on_save_this)
        form.save_report.clicked.connect(self._on_save_report)
        form.removed.linkActivated.connect(self._on_drop_removed)
        shortcuts.bind_dock(self, self.bench.actions)
        self.bench.keys.serve(self)

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Watch the window that the dock is now part of, and load ahead what detects."""
        super().showEvent(event)
        ask_before_unsaved_close(self, self.session)
        detectors_of(self.bench).warm_up(preferences())

    def detect_here(self) -> None:
        """Detect on the image that the dock shows."""
        if self.session.target is not None:
            self._start([self.session.target])

    def detect_everywhere(self) -> None:
        """Detect on every open image but the template's own."""
        self._start(self._others())

    def retry_download(self) -> None:
        """Download the weights that are missing, and detect on the same images again."""
        self.run.retry_download()
        self._start([t for t in self._targets.values() if t.is_shown_in(self._viewer)])

    def cancel(self) -> None:
        """Stop after the image that is being worked on."""
        self.run.cancel()
        self.export.cancel()
        self.form.show_cancelling(True)

    def load_template(self, path: Path) -> None:
        """Open a template folder, or say why not."""
        self._say("")
        try:
            self.session.load_template(Template.load(path))
        except OneshotError as error:
            self._complain(f"{error}.")

    def choose_model(self, model: KnownModel | None) -> None:
        """Detect with a trained model from now on; None for instant detection."""
        self.session.model = model
        self._bring_template(model)

    def _bring_template(self, model: KnownModel | None) -> None:
        """Take a model's own template where there is none, whoever chose the model."""
        if model is not None and self.session.template is None:
            self.load_template(model.path / TEMPLATE)

    def export_model(self, out: Path) -> None:
        """Write the chosen model as a MONAI bundle, in another thread."""
        model = self.session.model
        if model is not None and self._ready_to_start():
            self._exporting = True
            self.export.start(model.path, out)

    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, training_texts.EXPORT_TITLE)
        if path:
            self.export_model(Path(path))

    def _on_open_template(self) -> None:
        path = QFileDialog.getExistingDirectory(self, texts.OPEN_TEMPLATE_TITLE)
        if path:
            self.load_template(Path(path))

    def _on_picked(self, name: str) -> None:
        if self.session.target is not None:
            self.bench.look_for(name)
            position = self.session.annotation.landmarks[name].position_yx
            if position is not None:
                look_at(self._viewer, self.session.target, position)

    def _on_reset_point(self) -> None:
        name = self.session.annotation.current
        self.bench.reset([name])
        if self.session.annotation.landmarks[name].position_yx is None:
            self._say_of_image(texts.RESET_LATER.format(name=name))

    def _on_reset_image(self) -> None:
        annotation = self.session.annotation
        self.bench.reset(filter(annotation.is_manual, annotation.landmarks.names))

    def _on_drop_removed(self, link: str) -> None:
        self.session.removed.drop()
        self._show_results()

    def _on_save(self) -> None:
        images = results_of(self.bench, preferences().author)
        if self._save(images.landmarks, images.files, images.removed):
            self.session.note_results_saved()

    def _on_save_this(self) -> None:
        target = self.session.target
        if target is not None:
            landmarks = self.session.landmarks(preferences().author)
            kept = landmarks.with_points(self.session.annotation.kept)
            if self._save([kept], [self.bench.file_of(target)]):
                self.session.note_saved(target, landmarks)

    def _on_save_report(self) -> None:
        target = self.session.target
        file = None if target is None else self.bench.file_of(target)
        if target is not None and file is not None:
            landmarks = self.session.landmarks(preferences().author)
            if self._ask(lambda: ask_save_report(self, landmarks, file)):
                self.session.note_saved(target, landmarks)

    def _why_no_report(self) -> str:
        """Say why the image's file can have no DICOM report; each file is looked at once."""
        target = self.session.target
        if target is None:
            return texts.NO_IMAGE
        if target.slices > 1:
            return texts.WHY_NO_REPORT_STACK
        file = self.bench.file_of(target)
        if self._looked_at[0] != (target.key, file):
            self._looked_at = (target.key, file), why_no_report(file)
        return self._looked_at[1]

    def _save(
        self, images: Sequence[Landmarks], files: Sequence[Path | None], removed: int = 0
    ) -> bool:
        """Save landmarks where the user says; returns whether they were saved."""
        return self._ask(lambda: ask_save_landmarks(self, images, removed, files))

    def _ask(self, ask: Callable[[], str]) -> bool:
        """Ask where to save, and say what was saved, or why not; returns whether it was."""
        try:
            said = ask()
        except OneshotError as error:
            self._complain(f"{error}.")
            return False
        if said:
            self.told_saved = said
            self._say(said)
        return bool(said)

    def _others(self) -> list[ImageView]:
        """Return every image shown but the template's own."""
        return [t for t in shown_images(self._viewer) if not self.session.is_template(t)]

    def _start(self, targets: Sequence[ImageView]) -> None:
        template, model = self.session.template, self.session.model
        if template is not None and targets and self._ready_to_start():
            self._targets = {target.key: target for target in targets}
            images = [(t.key, t.read_pixels(self.session.spacing_for(t).mm_yx)) for t in targets]
            self.form.retry.hide()
            self._exporting, self._taken_over = False, 0
            further, offsets = self.session.further, self.session.offsets
            path = None if model is None else model.path
            self.run.start(images, template, path, lambda: further, offsets)

    def _ready_to_start(self) -> bool:
        """Clear what the last run has left, unless a run is under way."""
        if self.run.running or self.export.running:
            return False
        self._report = ""
        self.form.report.hide()
        self.form.show_cancelling(False)
        return True

    def _on_going(self, text: str, done: int, total: int) -> None:
        self.form.show_busy(text, done, total)
        self.session.busy = text

    def _on_found(self, key: Key, landmarks: Landmarks) -> None:
        target, autosave = self._targets[key], self.bench.autosave
        before = autosave.taken(target)
        self.bench.take_detection(target, landmarks)
        self._taken_over += before is None and autosave.taken(target) is not None

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._report = report
        self._on_going("", 0, 0)
        self.form.report.setVisible(bool(report))
        self.form.retry.setVisible(self.run.download_failed)
        self._show_end(text, WARN if failed else "")
        self.finished.emit()

    def _show_end(self, text: str, colour: str) -> None:
        """Show how a run has ended, and of which image that is true."""
        targets = list(self._targets.values())
        if self._exporting or len(targets) != 1:
            if self._taken_over and not self._exporting:
                images = texts.counted(self._taken_over, "image")
                text = texts.WORK_TAKEN_OF.format(found=text.rstrip("."), images=images)
            self._say(text, colour)
            return
        [target] = targets
        if target != self.session.target and not colour:
            # The user has turned to another image meanwhile.
            text = texts.ABOUT_OTHER.format(image=target.image_name, text=text)
        self._say(text, colour)
        self._about = target.key, self.session.annotation_of(target).landmarks

    def _say(self, text: str, colour: str = "") -> None:
        """Show what is true of no single image: it stays until something else is said."""
        self._about = None
        self.form.message.say(text, colour)

    def _complain(self, text: str) -> None:
        self._say(text, WARN)

    def _say_of_image(self, text: str) -> None:
        """Show what is true of the image until its landmarks change, or another is chosen."""
        self._say(text)
        if self.session.target is not None:
            self._about = self.session.target.key, self.session.annotation.landmarks

    def _drop_message(self, event: Any = None) -> None:
        """Take a message away that is about another image, or about earlier landmarks."""
        target = self.session.target
        here = None if target is None else (target.key, self.session.annotation.landmarks)
        if self._about is not None and self._about != here and not self.session.busy:
            self._say("")

    def _on_model(self, model: KnownModel | None) -> None:
        self.form.model.show_model(model)
        self._bring_template(model)
        self._refresh()
        self.form.show_encoder(None, "")

    def _refresh(self, event: Any = None) -> None:
        self.form.template.show_template(self.session.template)
        self.form.show_reasons(self.session, len(self._others()))
        self._show_results()

    def _show_results(self, event: Any = None) -> None:
        self.form.show_landmarks(self.session.annotation)
        self.form.of_image.say(*note_of(self.bench))
        self.form.show_results(self.session, self._why_no_report())
