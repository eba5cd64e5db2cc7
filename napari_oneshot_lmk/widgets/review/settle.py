"""After a correction the other points are found anew, given it, in another thread."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import hypot
from threading import Lock
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal

from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from napari_oneshot_lmk.detection.similarity_maps import SimilarityMaps
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.detectors import DetectorCache
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView, LayerPixels
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.settings import Preferences

WAIT_MS = 250
"""A person who moves a point with the arrow keys is not done after the first of them."""
STAYS_PX = 0.5
"""A point that would move less than this stays where it is."""


@dataclass(frozen=True)
class SettleRequest:
    """All that the other thread needs."""

    template: Template
    further: Sequence[Template]
    offsets: Mapping[str, tuple[float, float]]
    model: Path | None
    preferences: Preferences
    pixels: LayerPixels
    image: Hashable
    """Identity of the pixels: the image's key and its spacing."""
    decided: Landmarks

    @classmethod
    def about(cls, session: Session, target: ImageView) -> SettleRequest | None:
        """Ask for an image of a session; None where there is no template."""
        if session.template is None:
            return None
        mm_yx = session.spacing_for(target).mm_yx
        return cls(
            session.template,
            session.further,
            session.offsets,
            None if session.model is None else session.model.path,
            preferences(),
            target.read_pixels(mm_yx),
            (target.key, mm_yx),
            session.landmarks(target=target),
        )


class Settler:
    """Keeps a detector with the image that was looked at last; threads wait for each other."""

    def __init__(self, make: DetectorCache) -> None:
        self._make = make
        self._in_use = Lock()
        self._source: Any = None
        self._offsets: Mapping[str, tuple[float, float]] = {}
        self._detector: Any = None
        self._image: Hashable = None

    def settle(self, request: SettleRequest) -> Landmarks:
        """Find the landmarks that nobody has decided, given the others."""
        with self._in_use:
            found: Landmarks = self._with_image(request).settle(request.decided)
        return found

    def similarity_maps(self, request: SettleRequest) -> SimilarityMaps:
        """Return how similar each place of the image is to each landmark."""
        with self._in_use:
            maps: SimilarityMaps = self._with_image(request).similarity_maps()
        return maps

    def _with_image(self, request: SettleRequest) -> Any:
        """Return the detector; an image that it has already is not encoded again."""
        options: dict[str, Any] = {} if request.model is None else {"model": request.model}
        if request.further:
            options["further"] = request.further
        made = self._make(request.template, request.preferences, lambda *_: None, **options)
        if made is not self._source or request.offsets != self._offsets:
            # A copy has an image of its own: detection may run in another thread.
            self._source, self._offsets, self._image = made, request.offsets, None
            offsets = request.offsets
            self._detector = made.with_offsets(offsets) if offsets else copy(made)
        if self._image != request.image:
            self._detector.set_image(request.pixels.gray_image())
            self._image = request.image
        return self._detector


class SettleRun(WorkerRun):
    """Follows a session: each correction moves the points that nobody has decided.

    A result for which the person has meanwhile decided something else is thrown away and
    the points are found once more. ``ended`` says in words what failed.
    """

    moved = Signal(object, object, object)
    """An image, its landmarks before and after."""
    _settled = Signal(object, object, object)
    failed_text = review_texts.SETTLE_FAILED

    def __init__(self, session: Session, make: DetectorCache) -> None:
        super().__init__()
        self.enabled = True
        self._session = session
        self.settler = Settler(make)
        self._waiting: ImageView | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._start)
        self._settled.connect(self._take)

    def want(self, key: Any) -> None:
        """Find the other points of an image anew, soon."""
        target = self._session.target_of(key)
        if self.enabled and target is not None and self._can_move(target):
            self._waiting = target
            self._timer.start()

    @property
    def waiting(self) -> bool:
        """Whether something is to be done or being done."""
        return self.running or self._timer.isActive()

    def _can_move(self, target: ImageView) -> bool:
        points = self._session.annotation_of(target).landmarks.placed
        return self._session.template is not None and any(not p.is_manual for p in points)

    def _start(self) -> None:
        session, target = self._session, self._waiting
        if self.running or session.busy:
            # Two networks at once would take twice as long each.
            self._timer.start()
            return
        self._waiting = None
        if target is None or session.target_of(target.key) is None:
            return
        request = SettleRequest.about(session, target)
        if request is not None:
            self._work(lambda: self._settle(target, request))

    def _settle(
        self, target: ImageView, request: SettleRequest
    ) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        yield self._settled, target, request.decided, self.settler.settle(request)
        return "", False

    def _take(self, target: ImageView, decided: Landmarks, found: Landmarks) -> None:
        if self._session.target_of(target.key) is None:
            return
        before = self._session.annotation_of(target).landmarks
        if _decided(before) != _decided(decided):
            self.want(target.key)
            return
        open_ = [point.name for point in before.placed if not point.is_manual]
        if any(distance_px(before, found, name) > STAYS_PX for name in open_):
            self._session.settle(target, found)
        self.moved.emit(target, before, found)


def distance_px(one: Landmarks, other: Landmarks, name: str) -> float:
    """Distance of a landmark in two sets, in pixels of the image; 0 where one has none."""
    if name not in one or name not in other:
        return 0.0
    a, b = one[name].position_yx, other[name].position_yx
    return 0.0 if a is None or b is None else hypot(a[0] - b[0], a[1] - b[1])


def _decided(landmarks: Landmarks) -> list[object]:
    return [(p.name, p.position_yx, p.state) for p in landmarks if p.is_manual]
