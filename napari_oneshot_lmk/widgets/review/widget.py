"""The step "Review": which image is next, and whether its points are right."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QPoint
from qtpy.QtWidgets import QWidget

from napari_oneshot_lmk.review.status import ImageStatus, Reason, ReviewState, count, status_of
from napari_oneshot_lmk.widgets import review_texts, shortcuts, texts
from napari_oneshot_lmk.widgets.detectors import detectors_of
from napari_oneshot_lmk.widgets.display.menu import DisplayButton
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.parts import WARN
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.review.form import ReviewForm
from napari_oneshot_lmk.widgets.review.image_table import ImageRow
from napari_oneshot_lmk.widgets.review.project_bar import ProjectBar
from napari_oneshot_lmk.widgets.review.project_model import ProjectModel
from napari_oneshot_lmk.widgets.review.settle import STAYS_PX, SettleRun, distance_px
from napari_oneshot_lmk.widgets.review.similarity import SimilarityRun
from napari_oneshot_lmk.widgets.review.thumbnails import ThumbnailRun
from napari_oneshot_lmk.widgets.review_actions import OpenImages
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.widgets.detectors import DetectorCache
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView
    from napari_oneshot_lmk.widgets.review.project_images import ProjectImages
    from napari_oneshot_lmk.widgets.review_actions import ReviewActions
    from napari_oneshot_lmk.widgets.session import Session


class ReviewWidget(QWidget):
    """Lists the images by how much they need a look, and reviews them with a few keys.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose images to review.
    session : Session, optional
        Shared with other docks; the viewer's own when not given.
    with_header : bool
        Show which image is meant; not needed inside the composed dock.
    make_detector : optional
        Finds the other points after a correction; tests bring their own.
    """

    def __init__(
        self,
        napari_viewer: Any,
        session: Session | None = None,
        with_header: bool = True,
        make_detector: DetectorCache | None = None,
    ) -> None:
        super().__init__()
        self.session = session_of(napari_viewer) if session is None else session
        self.bench = workbench_of(napari_viewer, self.session)
        self.actions = self.bench.review
        self.actions.order = self._in_order
        self._statuses: dict[Hashable, tuple[Landmarks, Any, ImageStatus]] = {}
        self._outdated = False
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        detectors = make_detector or detectors_of(self.bench)
        self.settle = SettleRun(self.session, detectors)
        self.project = ProjectBar(napari_viewer, self.bench, detectors)
        layout.addWidget(self.project)
        layout.addWidget(self.project.learn)
        self.form = ReviewForm()
        self.display = DisplayButton(self.bench.display)
        self.form.bottom.addWidget(self.display)
        layout.addWidget(self.form)
        layers = napari_viewer.layers.events
        events = self.session.events
        shown = (layers.inserted, layers.removed, events.target, events.template, events.annotation)
        connect_until_destroyed(self, self._refresh, *shown, self.session.edited)
        connect_until_destroyed(self, self.settle.want, self.session.corrected)
        connect_until_destroyed(self, self.form.message.say, self.bench.told)
        connect_until_destroyed(self, self._refresh, events.busy, events.spacing, events.model)
        self.model = ProjectModel(self.project)
        connect_until_destroyed(self, self.model.take, events.model)
        self.project.opened.connect(self._on_project)
        self.project.changed.connect(self._refresh)
        self.project.told.connect(self._on_told)
        self.project.turn_to.connect(self.actions.turn_to)
        self.project.done.connect(self._show_first)
        self.settle.moved.connect(self._on_moved)
        self.settle.ended.connect(self._on_settle_ended)
        self.form.changed.connect(self._refresh)
        self.form.table.picked.connect(self.actions.turn_to)
        self.form.table.menu_wanted.connect(self._on_menu)
        self.similarity = SimilarityRun(self.session, self.settle.settler)
        self.form.patches.follow(self.similarity)
        compared = (events.template, events.further, events.model)
        connect_until_destroyed(self, self._on_compared_anew, *compared)
        self.thumbnails = ThumbnailRun()
        self.thumbnails.made.connect(self.form.table.show_thumbnail)
        self.form.table.seen.connect(self._on_seen)
        self.form.move_others.toggled.connect(self._on_move_others)
        for action, button in self.form.buttons.items():
            button.clicked.connect(without_argument(self.bench.actions[action]))
        shortcuts.bind_dock(self, self.bench.actions)
        self.bench.keys.serve(self)
        self.destroyed.connect(_forgetting_order(self.actions, self._in_order))
        self._refresh()

    # -- the list ------------------------------------------------------------------

    def status(self, key: Hashable) -> ImageStatus:
        """Return what is known of an image; worked out anew only where it has changed."""
        landmarks, template = self.actions.images.landmarks(key), self.session.template
        known = self._statuses.get(key)
        if known is None or known[0] != landmarks or known[1] is not template:
            known = landmarks, template, status_of(landmarks, template)
            self._statuses[key] = known
        return known[2]

    def _in_order(self, keys: Sequence[Hashable]) -> list[Hashable]:
        """Return the images that the filter lets through, in the chosen order."""
        return self._sorted({key: self.status(key) for key in keys})

    def _sorted(self, statuses: Mapping[Hashable, ImageStatus]) -> list[Hashable]:
        wanted = self.form.wanted
        chosen = [key for key, status in statuses.items() if wanted.lets_through(status)]
        by_name = sorted(chosen, key=self.actions.images.name)
        if not self.form.order.currentData():
            return by_name
        return sorted(by_name, key=lambda key: statuses[key].badness, reverse=True)

    def event(self, event: Any) -> bool:
        """Bring up to date what has changed while another tab was in front."""
        if event.type() == QEvent.Type.ShowToParent and self._outdated:
            self._refresh()
        return bool(super().event(event))

    def _refresh(self, event: Any = None) -> None:
        # A detection on many images changes something a hundred times; behind another tab
        # nobody sees it, and the window would be late.
        self._outdated = self.isHidden()
        if self._outdated:
            return
        images, form = self.actions.images, self.form
        keys = images.keys
        each = {key: self.status(key) for key in keys}
        statuses = list(each.values())
        counts = count(statuses)
        of_state = {state.name.lower(): number for state, number in counts.states.items()}
        form.counters.say(
            review_texts.COUNTERS.format(images=texts.counted(len(keys), "image"), **of_state)
        )
        template = self.session.template
        names = () if template is None else template.landmarks.names
        form.show_landmarks({**dict.fromkeys(names, 0), **counts.landmarks})
        # Neither names nor pixels of images that were removed are kept.
        self._statuses = {key: self._statuses[key] for key in keys}
        form.table.forget_thumbnails(but=keys)
        rows = [self._row(key, each[key]) for key in self._sorted(each)]
        form.table.show_rows(rows, images.current)
        self.project.show_reasons(statuses)
        annotation = self.session.annotation
        no_image = "" if keys else review_texts.WHY_NO_OTHER
        no_result = "" if annotation.is_result else review_texts.WHY_NOT_DETECTED
        if annotation.is_empty:
            no_result = texts.WHY_NO_LANDMARKS
        no_point = "" if annotation.current else review_texts.WHY_NO_POINT
        here = each[images.current].reasons if images.current in each else ()
        named = here.get(annotation.current, ()) if here else ()
        form.patches.show_landmark(self.session, _words(named))
        self.similarity.want()
        form.show_reasons(no_image, no_result, no_point)

    def _row(self, key: Hashable, status: ImageStatus) -> ImageRow:
        state = str(status.state)
        reviewers = ", ".join(name for name in status.reviewers if name)
        if reviewers:
            state = review_texts.BY.format(state=state, reviewers=reviewers)
        reasons = "\n".join(f"{name}: {_words(each)}" for name, each in status.reasons.items())
        accepted = status.state is ReviewState.ACCEPTED
        name = self.actions.images.name(key)
        return ImageRow(key, name, state, status.unsure, reasons, accepted)

    def _on_compared_anew(self, event: Any = None) -> None:
        self.similarity.forget()

    def _on_seen(self, keys: Sequence[Hashable]) -> None:
        """Draw thumbnails of the images that the list shows."""
        images = self.actions.images
        self.thumbnails.want([(key, images.pixels(key)) for key in keys])

    def _on_menu(self, key: Hashable, at: QPoint) -> None:
        # Open images are closed in napari's list of layers.
        if self.project.images is not None:
            self.project.removal.show_menu(str(key), at)

    def _on_project(self, images: ProjectImages | None) -> None:
        """Review the images of a project, or the open ones again."""
        self.actions.images = images or OpenImages(self.bench)
        self._statuses.clear()
        self.thumbnails.forget()
        self.form.table.forget_thumbnails()
        self._refresh()
        self._show_first()

    def _show_first(self) -> None:
        """Show the first image of the list where the canvas shows none of the project."""
        images = self.project.images
        keys = [] if images is None else self._in_order(images.keys)
        if images is not None and images.is_blank and keys:
            self.actions.turn_to(keys[0])

    def _on_told(self, text: str, complaint: bool) -> None:
        self.form.message.say(text, WARN if complaint else "")

    # -- one correction moves the others -------------------------------------------

    def _on_move_others(self, checked: bool) -> None:
        self.settle.enabled = checked

    def _on_moved(self, target: ImageView, before: Landmarks, after: Landmarks) -> None:
        moves = [
            (distance_px(before, after, point.name), point.name)
            for point in before.placed
            if not point.is_manual
        ]
        moved = sorted(move for move in moves if move[0] > STAYS_PX)
        if not moved:
            self.form.message.say(review_texts.NONE_MOVED)
            return
        px, name = moved[-1]
        mm_yx = self.session.spacing_for(target).mm_yx
        distance = f"{px:.1f} px" if mm_yx is None else f"{px * sum(mm_yx) / 2:.1f} mm"
        text = review_texts.MOVED_ONE if len(moved) == 1 else review_texts.MOVED
        values = {"name": name, "distance": distance, "count": len(moved)}
        self.form.message.say(text.format(**values, undo=shortcuts.hint("undo")))

    def _on_settle_ended(self, text: str, failed: bool, report: str) -> None:
        if failed:
            self.form.message.say(text, WARN)


def _forgetting_order(actions: ReviewActions, order: Any) -> Callable[[object], None]:
    """Return what lets the keys forget the order of a list that is gone."""

    def forget(_: object = None) -> None:
        if actions.order == order:
            actions.order = list

    return forget


def _words(reasons: Sequence[Reason]) -> str:
    return ", ".join(review_texts.REASON[reason] for reason in reasons)
