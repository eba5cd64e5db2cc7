"""Which project is reviewed, and what can be done with it as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QProgressBar, QWidget
from superqt import QElidingLabel

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.review.next_image import rank_next
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.status import ReviewState, status_of
from napari_oneshot_lmk.widgets import learn_texts, review_texts, texts
from napari_oneshot_lmk.widgets.detect.run import DetectionRun
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.parts import Button
from napari_oneshot_lmk.widgets.review.adding import AddRun
from napari_oneshot_lmk.widgets.review.export import export_landmarks
from napari_oneshot_lmk.widgets.review.image_removal import ImageRemoval
from napari_oneshot_lmk.widgets.review.project_images import ProjectImages
from napari_oneshot_lmk.widgets.review.project_learning import ProjectLearning, model_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.review.status import ImageStatus
    from napari_oneshot_lmk.widgets.detectors import DetectorCache
    from napari_oneshot_lmk.widgets.workbench import Workbench


GROUPS = ("add", "next", "spacing", "export", "close")
"""Entries of the menu that have a line above them."""


class ProjectBar(QWidget):
    """A menu and a line that says which project is open.

    ``opened`` carries its images, or None when the open images are reviewed again;
    ``changed`` says that its images or their landmarks have changed, ``told`` what to tell and
    whether it is a complaint.
    """

    opened = Signal(object)
    changed = Signal()
    told = Signal(str, bool)
    turn_to = Signal(object)
    """An image to be shown."""
    done = Signal()
    """Images were added, or detected on, as far as it went."""

    def __init__(self, viewer: Any, bench: Workbench, make_detector: DetectorCache) -> None:
        super().__init__()
        self._viewer, self._bench, self._session = viewer, bench, bench.session
        self.images: ProjectImages | None = None
        self._statuses: dict[str, ImageStatus] = {}
        self.adding, self.detecting = AddRun(), DetectionRun(make_detector)
        self.learning = ProjectLearning(self, self._session, make_detector)
        self.learn = self.learning.panel
        self.removal = ImageRemoval(self)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.actions_: dict[str, QAction] = {}
        for name, (text, tip, action) in self._offers().items():
            if name in GROUPS:
                self.menu.addSeparator()
            entry = self.menu.addAction(text)
            entry.setToolTip(tip)
            entry.triggered.connect(without_argument(action))
            self.actions_[name] = entry
        self.button = Button(review_texts.PROJECT, review_texts.PROJECT_TIP)
        self.button.setMenu(self.menu)
        self.label = QElidingLabel(review_texts.PROJECT_NONE)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.cancel = Button(texts.CANCEL, review_texts.CANCEL_TIP)
        self.cancel.clicked.connect(self._on_cancel)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.progress)
        layout.addWidget(self.cancel)
        for part in (self.progress, self.cancel):
            part.hide()
        self.adding.ended.connect(self._on_added)
        for run in (self.adding, self.detecting, self.learn.run):
            run.going.connect(self._on_going)
            run.ended.connect(self._on_ended)
        self.learn.run.ended.connect(self.learn.apply_trained)
        self.detecting.found.connect(self._on_found)
        self.detecting.learned.connect(self.learning.take)
        connect_until_destroyed(self, self._on_project, bench.project_changed)
        if bench.project is not None:
            # A dock that was closed and opened again goes on with it.
            self._follow(bench.project)

    def _offers(self) -> dict[str, tuple[str, str, Callable[[], None]]]:
        t = review_texts
        return {
            "new": (t.PROJECT_NEW, t.PROJECT_NEW_TIP, self._on_new),
            "open": (t.PROJECT_OPEN, t.PROJECT_OPEN_TIP, self._on_open),
            "add": (t.PROJECT_ADD, t.PROJECT_ADD_TIP, self._on_add),
            "detect": (t.PROJECT_DETECT, t.PROJECT_DETECT_TIP, self.detect_new),
            "next": (learn_texts.NEXT, learn_texts.NEXT_TIP, self.correct_next),
            "learn": (learn_texts.LEARN, learn_texts.LEARN_TIP, self.learning.begin),
            "spacing": (t.PROJECT_SPACING, t.PROJECT_SPACING_TIP, self.set_spacing),
            "remove": (t.PROJECT_REMOVE, t.PROJECT_REMOVE_TIP, self._on_remove),
            "locate": (t.PROJECT_LOCATE, t.PROJECT_LOCATE_TIP, self._on_locate),
            "export": (t.PROJECT_EXPORT, t.PROJECT_EXPORT_TIP, self._on_export),
            "close": (t.PROJECT_CLOSE, t.PROJECT_CLOSE_TIP, self.close_project),
        }

    # -- what the user does --------------------------------------------------------

    def create(self, folder: Path) -> None:
        """Make a project with the session's template and model, and open it."""
        session = self._session
        assert session.template is not None  # the action is disabled without one
        model = None if session.model is None else session.model.path
        try:
            Project.create(folder, session.template, model=model).close()
        except OneshotError as error:
            self.told.emit(f"{error}.", True)
        else:
            self.open(folder)

    def open(self, folder: Path) -> None:
        """Open a project, or say why not."""
        try:
            project = Project.open(folder, writing=True)
            template = project.template
            model = model_of(project)
            # Here, so that a damaged file of what was learnt is said.
            _ = project.learnt
        except OneshotError as error:
            self.told.emit(f"{error}.", True)
            return
        self.close_project()
        if self.images is not None:
            # Its last edit cannot be written; that has been said.
            project.close()
            return
        self._session.load_template(template)
        self._session.model = model
        # All docks of the window follow.
        self._bench.project = ProjectImages(self._viewer, self._bench, project)

    def _follow(self, images: ProjectImages | None) -> None:
        self.images = images
        self.learning.follow(None if images is None else images.project)
        folder = "" if images is None else str(images.project.folder)
        if images is not None:
            connect_until_destroyed(self, self._on_told, images.told)
        self.label.setText(folder or review_texts.PROJECT_NONE)
        self.label.setToolTip(folder)

    def _on_project(self, images: ProjectImages | None) -> None:
        self._follow(images)
        self.opened.emit(images)

    def add(self, folder: Path) -> None:
        """Add all images of a folder."""
        if self.images is not None and not self.busy:
            self.adding.start(self.images.project, folder)

    def detect_new(self) -> None:
        """Detect on all images without landmarks."""
        self.detect(ReviewState.TO_DO)

    def correct_next(self) -> None:
        """Turn to the image whose corrections would help the others most, and say why."""
        images, template = self.images, self._session.template
        if images is None or template is None:
            return
        works = {key: images.landmarks(key) for key in images.keys}
        known = self._statuses if self._statuses.keys() == works.keys() else None
        ranked = rank_next(works, template, known)
        if ranked:
            best = ranked[0]
            self.turn_to.emit(best.key)
            name = images.name(best.key)
            self.told.emit(learn_texts.CORRECT.format(image=name, reason=best.reason), False)

    def set_spacing(self) -> None:
        """Take the spacing of the image in the docks for all that have none."""
        mm_yx = self._session.spacing.mm_yx
        if self.images is not None and mm_yx is not None:
            self.images.set_spacing(mm_yx)
            text = review_texts.SPACING_SET.format(rows=mm_yx[0], columns=mm_yx[1])
            self.told.emit(text, False)
            self.changed.emit()

    def image_after(self, key: str) -> str | None:
        """Return the next image of the list, None where there is no other."""
        if self.images is None:
            return None
        order = [str(each) for each in self._bench.review.order(self.images.keys)]
        at = order.index(key) if key in order else -1
        return next((each for each in order[at + 1 :] + order[: max(at, 0)]), None)

    def note_removed(self) -> None:
        """Go on without an image that was taken out of the project."""
        self.learning.note_removed()
        self.changed.emit()

    def locate(self, folder: Path) -> None:
        """Look for missing images in a folder."""
        if self.images is not None:
            found = self.images.project.locate(folder)
            images = texts.counted(len(found), "image")
            self.told.emit(review_texts.LOCATED.format(images=images), False)

    def close_project(self) -> None:
        """Go back to the open images."""
        if self.images is None:
            return
        self.detecting.cancel()
        self.learning.end()
        if not self.images.close():
            return
        self._bench.project = None

    @property
    def busy(self) -> bool:
        """Whether images are being added or detected on."""
        return self.adding.running or self.detecting.running or self.learning.running

    @property
    def why_not_changed(self) -> str:
        """Why images can be neither added nor removed now; empty where they can."""
        if self.images is None:
            return review_texts.WHY_NO_PROJECT
        busy = self._session.busy
        return texts.WHY_BUSY.format(what=busy) if busy or self.busy else ""

    def show_reasons(self, statuses: Sequence[ImageStatus]) -> None:
        """Enable what can be done, and say why the rest cannot."""
        session = self._session
        busy = texts.WHY_BUSY.format(what=session.busy) if session.busy or self.busy else ""
        none = "" if self.images is not None else review_texts.WHY_NO_PROJECT
        states = {status.state for status in statuses}
        if self.images is not None:
            # Another dock may have turned to other images meanwhile.
            self._statuses = dict(zip(self.images.keys, statuses, strict=False))
        new = "" if ReviewState.TO_DO in states else review_texts.WHY_NOTHING_NEW
        decided = {ReviewState.CORRECTED, ReviewState.ACCEPTED}
        corrected = sum(status.state in decided for status in statuses)
        learnable = "" if corrected > 1 else learn_texts.WHY_TWO
        learnable = learnable if corrected else review_texts.WHY_NOTHING_CORRECTED
        self.learning.show_reasons(texts.sentence(busy) if busy else "")
        reasons = {
            "new": busy or ("" if session.template is not None else texts.WHY_NO_TEMPLATE),
            "open": busy,
            "add": self.why_not_changed,
            "detect": busy or none or new,
            "next": none or ("" if ReviewState.DETECTED in states else learn_texts.WHY_NO_NEXT),
            "learn": busy or none or learnable,
            "spacing": none or ("" if session.spacing.mm_yx else review_texts.WHY_NO_SPACING),
            "remove": self.why_not_changed or self._why_none_shown,
            "locate": busy or none,
            "export": none,
            "close": busy or none,
        }
        for name, (_, tip, _) in self._offers().items():
            self.actions_[name].setEnabled(not reasons[name])
            self.actions_[name].setToolTip(texts.sentence(reasons[name]) or tip)

    @property
    def _why_none_shown(self) -> str:
        shown = self.images is not None and self.images.current is not None
        return "" if shown else review_texts.WHY_NONE_SHOWN

    # -- dialogs -------------------------------------------------------------------

    def _on_new(self) -> None:
        title, beside = review_texts.PROJECT_NEW_TITLE, self._beside_images
        place = "" if beside is None else str(beside.parent / review_texts.PROJECT_NEW_NAME)
        path, _ = QFileDialog.getSaveFileName(self, title, place)
        if path:
            self.create(Path(path))
            if self.images is not None and self.images.project.folder == Path(path).absolute():
                self._on_add()

    def _on_open(self) -> None:
        self._ask(review_texts.PROJECT_OPEN_TITLE, self.open)

    def _on_add(self) -> None:
        self._ask(review_texts.PROJECT_IMAGES_TITLE, self.add)

    def _on_locate(self) -> None:
        self._ask(review_texts.PROJECT_LOCATE_TITLE, self.locate)

    @property
    def _beside_images(self) -> Path | None:
        """The folder of the image that is shown, where a dialog begins."""
        target = self._session.target
        file = None if target is None else self._bench.file_of(target)
        return None if file is None else file.parent

    def _ask(self, title: str, act: Callable[[Path], None]) -> None:
        beside = self._beside_images
        path = QFileDialog.getExistingDirectory(self, title, "" if beside is None else str(beside))
        if path:
            act(Path(path))

    def _on_export(self) -> None:
        if self.images is not None:
            said, complaint = export_landmarks(self, self.images)
            if said:
                self.told.emit(said, complaint)

    def _on_remove(self) -> None:
        if self.images is not None and self.images.current is not None:
            self.removal.ask(self.images.current)

    # -- what runs -----------------------------------------------------------------

    def detect(self, *states: ReviewState) -> None:
        """Detect on all images in these states."""
        images, template = self.images, self._session.template
        if images is None or template is None or self.busy:
            return
        chosen = [
            (key, images.pixels(key))
            for key in images.keys
            if status_of(images.landmarks(key), template).state in states
        ]
        model = None if self._session.model is None else self._session.model.path
        learnt = self.learning.learnt
        offsets = {} if learnt is None else learnt.offsets
        self.detecting.start(chosen, template, model, self.learning.read_further(), offsets)

    def _on_found(self, key: str, landmarks: Landmarks) -> None:
        if self.images is not None:
            self.images.take_detection(key, landmarks)
            self.changed.emit()

    def _on_added(self, text: str, failed: bool, report: str) -> None:
        if self.images is not None:
            self.images.read()

    def _on_going(self, text: str, done: int, total: int) -> None:
        self._session.busy = text
        self.progress.setVisible(bool(text) and total > 0)
        self.progress.setMaximum(total)
        self.progress.setValue(done)
        self.cancel.setVisible(self.busy)
        if text:
            self.told.emit(f"{text}…", False)

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._on_going("", 0, 0)
        self.cancel.hide()
        self.told.emit(text, failed)
        self.changed.emit()
        self.done.emit()

    def _on_cancel(self) -> None:
        self.adding.cancel()
        self.detecting.cancel()
        self.learn.run.cancel()

    def _on_told(self, text: str) -> None:
        self.told.emit(text, True)
