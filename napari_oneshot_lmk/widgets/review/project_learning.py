"""What the corrected images of the open project gain for the others, applied and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.review.status import ReviewState, status_of
from napari_oneshot_lmk.widgets import learn_texts, texts
from napari_oneshot_lmk.widgets.review.learn import LearnPanel, templates_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.learnt import Learnt
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
        self.panel = LearnPanel(make_detector, self.apply, self.forget)
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
        images, template, model = self._bar.images, self._session.template, self._session.model
        if images is not None and template is not None and not self._bar.busy:
            # Figures of before are of other corrections.
            self.panel.clear()
            path = None if model is None else model.path
            self.panel.run.start(images.project, template, path)

    def apply(self, learnt: Learnt) -> None:
        """Detect anew on all images that nobody has finished, helped by corrected ones."""
        images, template = self._bar.images, self._session.template
        if images is None or template is None or self._bar.busy:
            return
        images.forget_learnt()
        states = {key: status_of(images.landmarks(key), template).state for key in images.keys}
        open_ = [key for key, state in states.items() if state is not ReviewState.ACCEPTED]
        try:
            images.project.set_learnt(learnt, open_)
        except OneshotError as error:
            self._bar.told.emit(f"{error}.", True)
            return
        self.learnt = learnt
        self._bar.detect(ReviewState.TO_DO, ReviewState.DETECTED, ReviewState.CORRECTED)

    def forget(self) -> None:
        """Take back what was learnt, and what was detected with it, in one step."""
        images = self._bar.images
        if images is None or self._bar.busy:
            return
        try:
            changed = images.forget_learnt()
        except OneshotError as error:
            self._bar.told.emit(f"{error}.", True)
            return
        self.learnt = None
        self._session.further, self._session.offsets = (), {}
        said = learn_texts.FORGOTTEN.format(images=texts.counted(changed, "image"))
        self._bar.told.emit(said, False)
        self._bar.changed.emit()
