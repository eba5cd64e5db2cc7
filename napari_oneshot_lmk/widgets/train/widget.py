"""The dock "Train model": trains a model from a template and a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import DIM
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train import close_question, training_texts
from napari_oneshot_lmk.widgets.train.form import TrainForm, blocking_reason
from napari_oneshot_lmk.widgets.train.image_check import (
    CheckedFolder,
    FolderCheck,
    ImageInspector,
    SpeedMeasurement,
    inspect_files,
    measure_machine,
)
from napari_oneshot_lmk.widgets.train.models import model_of
from napari_oneshot_lmk.widgets.train.preview import TrainingPreview
from napari_oneshot_lmk.widgets.train.remembered import (
    RememberedSettings,
    remember,
    remembered,
    training_folder,
)
from napari_oneshot_lmk.widgets.train.request import Phase, write_request
from napari_oneshot_lmk.widgets.train.run import TrainingRun, training_run_of
from napari_oneshot_lmk.widgets.train.view import TrainingView
from napari_oneshot_lmk.widgets.viewer_session import session_of


class TrainWidget(QWidget):
    """Trains a model of a template's landmarks on images without any.

    ``session`` is shared with other docks, by default the viewer's own; ``with_header`` shows
    which image is meant, ``run`` follows the training, by default the session's own,
    ``inspector`` and ``measurement`` look at the images and at the machine.
    """

    checked = Signal()
    """A check of the images has ended, in whatever way."""

    def __init__(
        self,
        napari_viewer: Any,
        session: Session | None = None,
        with_header: bool = True,
        run: TrainingRun | None = None,
        inspector: ImageInspector = inspect_files,
        measurement: SpeedMeasurement = measure_machine,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.run = training_run_of(self.session) if run is None else run
        self.check = FolderCheck(inspector, measurement)
        self.found: CheckedFolder | None = None
        self._found_for: tuple[Any, ...] = ()
        self._problem = ""
        self._report = ""
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        self.form, self.view = TrainForm(), TrainingView()
        self.previews = TrainingPreview(napari_viewer, self.session, self.run, self.view.preview)
        layout.addWidget(self.form, 1)
        layout.addWidget(self.view, 1)
        self._show_memory()
        self._connect()
        if self.run.find([training_folder()]):
            self.view.notice.say(training_texts.FOUND_AGAIN, DIM)
        self._refresh()

    def _show_memory(self) -> None:
        memory = remembered()
        folder = Path(memory.images) if memory.images else None
        self.folder = folder if folder is not None and folder.is_dir() else None
        self.form.show_template(self.session.template)
        self.form.show_config(memory.config)
        self.form.show_folder(self.folder)
        self.form.show_checked(None)
        self.view.preview.setChecked(memory.preview)

    def _connect(self) -> None:
        events = self.session.events
        connect_until_destroyed(self, self._on_template, events.template)
        connect_until_destroyed(self, self.previews.ask, events.target)
        self.check.going.connect(self.form.show_checking)
        self.check.checked.connect(self._on_checked)
        self.check.ended.connect(self._on_check_ended)
        self.run.changed.connect(self._refresh)
        self.run.discarded.connect(self._on_discarded)
        self.run.refused.connect(self._on_refused)
        form, view = self.form, self.view
        form.open_template.clicked.connect(self._on_open_template)
        form.choose.clicked.connect(self._on_choose_folder)
        form.again.clicked.connect(self.check_images)
        form.changed.connect(self._on_choice)
        form.train.clicked.connect(self.start)
        form.report.clicked.connect(self._on_copy_report)
        view.stop.clicked.connect(self.run.stop)
        view.cancel.clicked.connect(self._on_discard)
        view.discard.clicked.connect(self._on_discard)
        view.resume.clicked.connect(self.run.resume)
        view.another.clicked.connect(self.run.put_away)
        view.use_model.clicked.connect(self._on_use_model)
        view.report.clicked.connect(self._on_copy_report)
        view.preview.toggled.connect(self._keep)

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Check the remembered folder only when somebody looks."""
        super().showEvent(event)
        # Afterwards: only then does the dock lie in its window.
        QTimer.singleShot(0, self, self._on_shown)

    def _on_shown(self) -> None:
        close_question.ask_when_closing(self, self.run)
        self._check_if_new()

    def choose_folder(self, folder: Path) -> None:
        """Train on the images of a folder, from now on."""
        self.folder = folder
        self.form.show_folder(folder)
        self._keep()
        self.check_images()

    def check_images(self) -> None:
        """Look at the images again."""
        template = self.session.template
        self.found, self._problem = None, ""
        if self.folder is not None and template is not None:
            self._found_for = self._what_is_checked()
            self.check.start(self.folder, template, self.form.config().spacing_mm_yx)
        self._refresh()

    def _check_if_new(self) -> None:
        known = self.folder is not None and self.session.template is not None
        if known and self.isVisible() and self._found_for != self._what_is_checked():
            self.check_images()

    def _what_is_checked(self) -> tuple[Any, ...]:
        template = self.session.template
        content = None if template is None else template.content_sha256
        return self.folder, content, self.form.config().spacing_mm_yx

    def _on_checked(self, found: CheckedFolder) -> None:
        self.found = found
        self.previews.files = found.paths
        self._refresh()

    def _on_check_ended(self, problem: str, failed: bool, report: str) -> None:
        self._problem, self._report = problem, report
        if failed:
            self.found = None
        self.form.report.setVisible(bool(report))
        self._refresh()
        self.checked.emit()

    def start(self) -> None:
        """Begin a training with what the form says."""
        template, folder, found = self.session.template, self.folder, self.found
        if template is None or folder is None or found is None:
            return
        self._keep()
        self.form.say("")
        self.view.notice.say("")
        self.previews.clear()
        config, wanted, base = self.form.config(), preferences(), training_folder()
        on_gpu = found.machine is not None and found.machine.on_gpu
        self.run.start(lambda: write_request(base, template, [folder], config, wanted, on_gpu))

    def _on_open_template(self) -> None:
        path = QFileDialog.getExistingDirectory(self, texts.OPEN_TEMPLATE_TITLE)
        if path:
            self.form.say("")
            try:
                self.session.load_template(Template.load(path))
            except OneshotError as error:
                self.form.say(f"{error}.", warn=True)

    def _on_choose_folder(self) -> None:
        title, before = training_texts.CHOOSE_FOLDER_TITLE, str(self.folder or "")
        path = QFileDialog.getExistingDirectory(self, title, before)
        if path:
            self.choose_folder(Path(path))

    def _on_choice(self, _: Any = None) -> None:
        self._keep()
        self._check_if_new()
        self._refresh()

    def _on_copy_report(self) -> None:
        QApplication.clipboard().setText(self.run.report or self._report)

    def _on_discard(self) -> None:
        if not close_question.ask_whether_to_discard(self, self.run):
            return
        # It may have ended well while the question was open.
        if self.run.phase is Phase.DONE:
            self.view.notice.say(training_texts.DISCARD_TOO_LATE, DIM)
        else:
            self.run.discard()

    def _on_use_model(self) -> None:
        request = self.run.request
        self.run.put_away()
        self.previews.clear()
        if request is not None:
            self.session.model = model_of(request)

    def _keep(self, _: Any = None) -> None:
        images = "" if self.folder is None else str(self.folder)
        preview = self.view.preview.isChecked()
        remember(RememberedSettings(self.form.config(), images, preview))

    def _on_template(self, template: Any = None) -> None:
        self.form.show_template(self.session.template)
        self._check_if_new()
        self._refresh()

    def _on_discarded(self, told: str) -> None:
        self.previews.clear()
        self.form.say(told)

    def _on_refused(self, told: str, report: str) -> None:
        self._report = report
        self.form.report.setVisible(bool(report))
        self.form.say(told, warn=True)

    def _refresh(self) -> None:
        showing_run = self.run.phase is not Phase.NONE
        self.form.setVisible(not showing_run)
        self.view.setVisible(showing_run)
        if showing_run:
            self.view.show_run(self.run)
            self.previews.ask()
            return
        checking = self.check.running
        if not checking:
            self.form.show_checked(self.found, self._problem)
        self._show_estimate()
        checking = checking or not (self.found or self._problem)
        self.form.show_reason(blocking_reason(self.session, self.folder, self.found, checking))

    def _show_estimate(self) -> None:
        found, template = self.found, self.session.template
        if found is None or found.machine is None or template is None:
            self.form.show_estimate(None, "")
            return
        from napari_oneshot_lmk.training.estimate import estimate

        landmarks = len(template.landmarks.placed)
        try:
            guess = estimate(self.form.config(), found.machine, len(found.paths), landmarks)
        except OneshotError as error:
            self.form.show_estimate(None, "", f"{error}.")
        else:
            self.form.show_estimate(guess, found.machine.device)
