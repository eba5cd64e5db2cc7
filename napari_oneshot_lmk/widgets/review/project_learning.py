"""What the corrected images of the open project gain for the others, applied and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.review.status import ReviewState, status_of
from napari_oneshot_lmk.widgets import learn_texts, texts
from napari_oneshot_lmk.widgets.review.learn import LearnPanel
from napari_oneshot_lmk.widgets.review.learn_run import templates_of
from napari_oneshot_lmk.widgets.train.models import KnownModel, model_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.learn import Trial
    from napari_oneshot_lmk.review.learnt import Learnt, Way
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.detectors import DetectorCache
    from napari_oneshot_lmk.widgets.review.project_bar import ProjectBar
    from napari_oneshot_lmk.widgets.session import Session


class ProjectLearning(QObject):
    """Lets the project of a bar learn from its corrected images; ``panel`` shows it.

    Parameters
    ----------
    bar : ProjectBar
    session : Session
        A correction moves the others with what is learnt.
    make_detector : DetectorCache
    """

    _missing = Signal(object)
    """The error of a corrected image that cannot be read, emitted in the worker's thread."""

    def __init__(self, bar: ProjectBar, session: Session, make_detector: DetectorCache) -> None:
        super().__init__(bar)
        self._bar, self._session = bar, session
        self.learnt: Learnt | None = None
        """What detections are helped by; None where nothing was learnt."""
        self.panel = LearnPanel(make_detector, self.apply, self.forget, self.tune)
        self.panel.run.read.connect(self.take)
        self._missing.connect(lambda error: bar.told.emit(f"{error}.", True))

    @property
    def running(self) -> bool:
        """Whether the gain is being measured, or templates are read."""
        return self.panel.run.running

    def follow(self, project: Project | None) -> None:
        """Turn to another project, or to none."""
        self.learnt = None if project is None else project.learnt
        # What another project has learnt helps nothing here.
        self._session.further, self._session.offsets = (), {}
        if project is not None and self.learnt is not None:
            self.panel.run.start_reading(project, self.learnt)

    def end(self) -> None:
        """Stop, and forget the figures."""
        self.panel.run.cancel()
        self.panel.clear()

    def note_removed(self) -> None:
        """Go on without an image that is not in the project any more."""
        # The figures may be of it, and it may have been a template.
        self.panel.clear()
        if self.learnt is not None and self._bar.images is not None:
            self.follow(self._bar.images.project)

    def read_further(self) -> Callable[[], Sequence[Template]]:
        """Return what reads the further templates in another thread."""
        images, learnt, tell = self._bar.images, self.learnt, self._missing.emit
        if images is None or learnt is None:
            return tuple
        return lambda: templates_of(images.project, learnt, tell)

    def take(self, further: Sequence[Template]) -> None:
        """Let corrections that are made from now on move the others with these templates."""
        self._session.further = tuple(further)
        self._session.offsets = {} if self.learnt is None else self.learnt.offsets

    # -- what the user does --------------------------------------------------------

    def begin(self) -> None:
        """Measure what the corrected images gain for the others, and show it."""
        images, template = self._bar.images, self._session.template
        if images is not None and template is not None and not self._bar.busy:
            # Figures of before are of other corrections.
            self.panel.clear()
            self.panel.run.start(images.project, template, self._untuned)

    def tune(self, trial: Trial, way: Way | None) -> None:
        """Fine-tune the model to measure what it gains, or for a way to apply it."""
        images, template = self._bar.images, self._session.template
        if images is not None and template is not None and not self._bar.busy:
            self.panel.run.start_tuning(images.project, template, self._untuned, trial, way)

    def apply(self, learnt: Learnt) -> None:
        """Detect anew on all images that nobody has finished, helped by corrected ones."""
        images, template = self._bar.images, self._session.template
        if images is None or template is None or self._bar.busy:
            return
        untuned = self._untuned
        try:
            images.forget_learnt()
            states = {key: status_of(images.landmarks(key), template).state for key in images.keys}
            open_ = [key for key, state in states.items() if state is not ReviewState.ACCEPTED]
            images.project.set_learnt(learnt, open_)
        except OneshotError as error:
            self._bar.told.emit(f"{error}.", True)
            return
        self._take_model(images.project, untuned, learnt)
        self.learnt = learnt
        self._bar.detect(ReviewState.TO_DO, ReviewState.DETECTED, ReviewState.CORRECTED)

    def forget(self) -> None:
        """Take back what was learnt, and what was detected with it, in one step."""
        images = self._bar.images
        if images is None or self._bar.busy:
            return
        untuned = self._untuned
        try:
            changed = images.forget_learnt()
        except OneshotError as error:
            self._bar.told.emit(f"{error}.", True)
            return
        self._take_model(images.project, untuned, None)
        self.learnt = None
        self._session.further, self._session.offsets = (), {}
        said = learn_texts.FORGOTTEN.format(images=texts.counted(changed, "image"))
        self._bar.told.emit(said, False)
        self._bar.changed.emit()

    def show_reasons(self, busy: str) -> None:
        """Show what is learnt, and say why something cannot be done now."""
        no_model = "" if self._session.model is not None else learn_texts.WHY_NO_MODEL
        self.panel.show_state(busy, self.learnt, no_model)

    @property
    def _untuned(self) -> Path | None:
        """The model that detects, as if nothing was learnt."""
        model, images = self._session.model, self._bar.images
        if model is None or images is None:
            return None
        tuned = model.path == images.project.model
        return images.project.own_model if tuned else model.path

    def _take_model(self, project: Project, untuned: Path | None, learnt: Learnt | None) -> None:
        """Let all docks detect with a fine-tuned model, or as before with the one it is of."""
        if learnt is not None and learnt.tuned:
            self._session.model = model_of(project)
        elif self.learnt is not None and self.learnt.tuned and untuned is not None:
            self._session.model = model_in(untuned)


def model_of(project: Project) -> KnownModel | None:
    """Return the model that a project detects with; a `ModelError` says if it is gone."""
    if project.model is None or project.own_model is None:
        return None
    model, own = model_in(project.model), model_in(project.own_model)
    if model.path == own.path:
        return own
    return KnownModel(learn_texts.TUNED_MODEL.format(model=own.title), model.path)
