"""The dock "Detect landmarks": one click on any open image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QVBoxLayout, QWidget

from napari_oneshot_lmk.errors import ImageError, OneshotError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import words, worker
from napari_oneshot_lmk.widgets.detect_form import DetectForm
from napari_oneshot_lmk.widgets.detecting import (
    CouldNot,
    Found,
    Looking,
    Ready,
    detect_on,
)
from napari_oneshot_lmk.widgets.failures import explained
from napari_oneshot_lmk.widgets.follow import Following
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.layers import ImageTarget, target_of
from napari_oneshot_lmk.widgets.results import ResultLayers
from napari_oneshot_lmk.widgets.saving import ask_save_landmarks
from napari_oneshot_lmk.widgets.session import session_of
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.view import look_at
from napari_oneshot_lmk.widgets.warm import WarmDetectors
from napari_oneshot_lmk.widgets.worker import Done, Failure

if TYPE_CHECKING:
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
    """

    _downloading = Signal(object, object)
    finished = Signal()
    """A run has ended, in whatever way."""

    def __init__(
        self,
        napari_viewer: Any,
        session: Session | None = None,
        with_header: bool = True,
        make_detector: MakesDetectors | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.make_detector = make_detector or WarmDetectors()
        self.results = ResultLayers(napari_viewer)
        self._worker: Any = None
        self._targets: dict[Any, ImageTarget] = {}
        self._seconds: list[float] = []
        self._errors: list[OneshotError] = []
        self._report = ""
        layout = QVBoxLayout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        self.form = DetectForm()
        layout.addWidget(self.form)
        self._connect()
        self.form.show_encoder(None, "")
        self._refresh()

    def _connect(self) -> None:
        following = Following(self)
        events, layers = self.session.events, self._viewer.layers
        for event in (events.target, events.template, events.found, events.busy):
            following.follow(event, self._refresh)
        for event in (layers.events.inserted, layers.events.removed):
            following.follow(event, self._refresh)
        # From the worker's thread; a signal of Qt brings it into the window's.
        self._downloading.connect(self._on_download)
        form = self.form
        form.open_template.clicked.connect(self._on_open_template)
        form.here.clicked.connect(self.detect_here)
        form.everywhere.clicked.connect(self.detect_everywhere)
        form.cancel.clicked.connect(self.cancel)
        form.report.clicked.connect(self._on_copy_report)
        form.table.picked.connect(self._on_picked)
        form.save.clicked.connect(self._on_save)

    # -- what the user does --------------------------------------------------------

    def detect_here(self) -> None:
        """Detect on the picture that the dock shows."""
        if self.session.target is not None:
            self._start([self.session.target])

    def detect_everywhere(self) -> None:
        """Detect on every open image but the template's own."""
        self._start(self._others())

    def cancel(self) -> None:
        """Stop after the image that is being worked on."""
        if self._worker is not None:
            self._worker.quit()
            self.form.cancel.setText(words.CANCELLING)
            self.form.cancel.setEnabled(False)

    def load_template(self, path: Path) -> None:
        """Open a template folder, or say why not."""
        try:
            self.session.load_template(Template.load(path))
        except OneshotError as error:
            self.form.complain(f"{error}.")
        else:
            self.form.message.say("")

    def _on_open_template(self) -> None:
        path = QFileDialog.getExistingDirectory(self, words.OPEN_TEMPLATE_TITLE)
        if path:
            self.load_template(Path(path))

    def _on_picked(self, name: str) -> None:
        target = self.session.target
        found = None if target is None else self.session.found.get(target.key)
        if (
            target is not None
            and found is not None
            and (position := found[name].position_yx)
        ):
            look_at(self._viewer, target, position)

    def _on_save(self) -> None:
        try:
            said = ask_save_landmarks(self, self._found_now())
        except OneshotError as error:
            self.form.complain(f"{error}.")
        else:
            if said:
                self.form.message.say(said)

    def _found_now(self) -> list[Any]:
        """Return what was found, with what the user has moved since."""
        found = self.session.found
        return [self.results.as_shown(key, found[key]) for key in found]

    def _on_copy_report(self) -> None:
        QApplication.clipboard().setText(self._report)

    # -- the run -------------------------------------------------------------------

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
        if template is None or not targets or self._worker is not None:
            return
        self._targets = {target.key: target for target in targets}
        self._seconds, self._errors, self._report = [], [], ""
        pictures = [
            (t.key, t.picture(self.session.spacing_for(t).mm_yx)) for t in targets
        ]
        wanted, make, tell = preferences(), self.make_detector, self._downloading.emit
        self.form.report.hide()
        self.form.cancel.setText(words.CANCEL)
        self.form.cancel.setEnabled(True)
        self._busy(words.BUSY_LOADING)
        self._worker = worker.start(
            lambda: detect_on(pictures, template, wanted, make, tell),
            self._on_step,
            self._on_cancelled,
        )

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Ready):
            self.form.show_encoder(step.card, step.device)
        elif isinstance(step, Looking):
            many = words.BUSY_DETECTING_MANY if step.total > 1 else words.BUSY_DETECTING
            text = many.format(image=step.image, number=step.number, count=step.total)
            # Of one image there is no telling how far it is.
            total = step.total if step.total > 1 else 0
            self._busy(text, step.number - 1, total)
        elif isinstance(step, Found):
            self._on_found(step)
        elif isinstance(step, CouldNot):
            self._errors.append(step.error)
        elif isinstance(step, Failure):
            text, self._report = explained(step)
            self._end(words.FAILED.format(error=text), failed=True)
        elif isinstance(step, Done):
            self._on_done()

    def _on_found(self, step: Found) -> None:
        target = self._targets[step.key]
        self._seconds.append(step.seconds)
        # The user may have closed the image meanwhile.
        if target.layer in self._viewer.layers:
            visible = self.session.target == target or len(self._targets) == 1
            self.results.show(target, step.landmarks, visible)
            self.session.keep_found(target, step.landmarks)

    def _on_done(self) -> None:
        done, seconds = len(self._seconds), sum(self._seconds)
        if self._errors:
            error = self._errors[0]
            text = words.FOUND_SOME.format(
                count=done, failed=len(self._errors), error=error
            )
            self._end(text if len(self._targets) > 1 else f"{error}.", failed=True)
        elif len(self._targets) > 1:
            self._end(words.FOUND_MANY.format(count=done, seconds=seconds))
        else:
            found = self.session.found.get(next(iter(self._targets)))
            placed = () if found is None else found.placed
            unsure = sum(p.unsure for p in placed)
            text = words.FOUND_UNSURE if unsure else words.FOUND_ONE
            self._end(text.format(count=len(placed), seconds=seconds, unsure=unsure))

    def _on_cancelled(self) -> None:
        self._end(words.CANCELLED)

    def _end(self, text: str, failed: bool = False) -> None:
        self._worker = None
        self._busy("")
        self.form.report.setVisible(bool(self._report))
        if failed:
            self.form.complain(text)
        else:
            self.form.message.say(text)
        self.finished.emit()

    def _on_download(self, done: int, total: int) -> None:
        megabyte = 1e6
        text = words.BUSY_DOWNLOADING.format(
            done=done / megabyte, total=total / megabyte
        )
        permille = round(1000 * done / total) if total else 0
        self._busy(text, permille, 1000 if total else 0)

    def _busy(self, text: str, done: int = 0, total: int = 0) -> None:
        self.form.show_busy(text, done, total)
        self.session.busy = text

    # -- what happens --------------------------------------------------------------

    def _refresh(self, event: Any = None) -> None:
        target = self.session.target
        found = None if target is None else self.session.found.get(target.key)
        self.form.show_template(self.session.template)
        self.form.show_found(found)
        self.form.show_reasons(self.session, len(self._others()))
