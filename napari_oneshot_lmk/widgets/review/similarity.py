"""How similar an image is to the template's landmarks, computed in another thread."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal

from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun, explained
from napari_oneshot_lmk.widgets.review.settle import SettleRequest

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.similarity_maps import SimilarityMaps
    from napari_oneshot_lmk.widgets.review.settle import Settler
    from napari_oneshot_lmk.widgets.session import Session

WAIT_MS = 300
"""Images that are turned over within this time are not compared."""
KEPT = 6
"""Images whose maps are kept: a few megabytes each."""


class MapState(Enum):
    """What there is to see of the map of the session's image."""

    NOT_ASKED = auto()
    WAITING = auto()
    """For another computation to end, or for a moment."""
    RUNNING = auto()
    READY = auto()
    FAILED = auto()


class SimilarityRun(WorkerRun):
    """Compares the session's image with the template once somebody has asked for that.

    From then on every image that is looked at is compared, one at a time, until `stop`.
    ``changed`` says that `state` has. The detector is that which moves the points around a
    correction: what either has encoded serves both.
    """

    changed = Signal()
    _computed = Signal(object, object)

    def __init__(self, session: Session, settler: Settler) -> None:
        super().__init__()
        self._session, self._settler = session, settler
        self._asked = False
        self._maps: dict[Hashable, SimilarityMaps] = {}
        self._problems: dict[Hashable, str] = {}
        self._going: Hashable | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._start)
        self._computed.connect(self._on_computed)

    @property
    def state(self) -> MapState:
        """What there is to see now."""
        key = self._key
        if key in self._maps:
            return MapState.READY
        if key in self._problems:
            return MapState.FAILED
        if not self._asked:
            return MapState.NOT_ASKED
        return MapState.RUNNING if self.running and key == self._going else MapState.WAITING

    @property
    def maps(self) -> SimilarityMaps | None:
        """The maps of the session's image, if they are computed."""
        return self._maps.get(self._key)

    @property
    def problem(self) -> str:
        """Why there are none, in a sentence; "" unless that has failed."""
        return self._problems.get(self._key, "")

    def ask(self) -> None:
        """Compare this image, and those that are looked at from now on."""
        self._asked = True
        self._problems.clear()
        self.want()
        self.changed.emit()

    def stop(self) -> None:
        """Compare no more."""
        self._asked = False
        self._timer.stop()
        self.cancel()
        self.changed.emit()

    def want(self) -> None:
        """Compare the session's image soon, if somebody has asked for that."""
        if self.state is MapState.WAITING:
            self._timer.start()

    def forget(self) -> None:
        """Let go of all maps: the template or what compares has changed."""
        self._maps, self._problems = {}, {}
        self._going = None
        self.cancel()
        self.want()
        self.changed.emit()

    @property
    def _key(self) -> Hashable | None:
        target = self._session.target
        return None if target is None else (target.key, self._session.spacing.mm_yx)

    def _start(self) -> None:
        target = self._session.target
        if target is None or self.state is not MapState.WAITING:
            return
        if self.running or self._session.busy:
            # Two networks at once would take twice as long each.
            self._timer.start()
            return
        request = SettleRequest.about(self._session, target)
        if request is not None:
            self._going = request.image
            self._work(lambda: self._compare(request))
            self.changed.emit()

    def _compare(self, request: SettleRequest) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        yield self._computed, request.image, self._settler.similarity_maps(request)
        return "", False

    def _on_computed(self, key: Hashable, maps: SimilarityMaps) -> None:
        if key == self._going:
            self._maps[key] = maps
            for oldest in list(self._maps)[:-KEPT]:
                del self._maps[oldest]

    def _on_ended(self, end: Done | Failure) -> None:
        if isinstance(end, Failure) and self._going is not None:
            self._problems[self._going] = explained(end)[0]
        self._going = None
        self.want()
        self.changed.emit()

    def _on_cancelled(self) -> None:
        if self._worker is not None:
            self._worker = self._going = None
            self.want()
            self.changed.emit()
