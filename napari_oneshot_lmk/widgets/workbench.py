"""What a viewer has once, however many docks are open: layers to click in, autosave.

It lives as long as the viewer, so that closing a dock loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_oneshot_lmk.widgets import shortcuts
from napari_oneshot_lmk.widgets.adopt import can_be_clicked_in, landmarks_on
from napari_oneshot_lmk.widgets.annotation import Annotation
from napari_oneshot_lmk.widgets.autosave import Autosave
from napari_oneshot_lmk.widgets.looks import point_size
from napari_oneshot_lmk.widgets.placing import PlacingLayer
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.widgets.session import Session


class Workbench:
    """The annotation tools of one viewer.

    ``told`` carries a sentence for the user, ``help_wanted`` asks to show the keys.

    Parameters
    ----------
    viewer : Viewer
        Where the points layers go.
    session : Session
        Whose annotation they show.
    """

    told = Signal(str)
    help_wanted = Signal()

    def __init__(self, viewer: Any, session: Session) -> None:
        self._viewer = viewer
        self.session = session
        self.autosave = Autosave(session)
        self._placing: dict[Hashable, PlacingLayer] = {}
        viewer.layers.selection.events.active.connect(self._on_active)
        self.actions: dict[str, Callable[[], None]] = {
            "next": lambda: self.step(1),
            "previous": lambda: self.step(-1),
            "skip": lambda: self._edit(session.annotation.skip()),
            "absent": lambda: self._edit(session.annotation.mark_absent()),
            "undo": session.undo,
            "redo": session.redo,
            "help": self.help_wanted.emit,
        }

    @property
    def placing(self) -> PlacingLayer | None:
        """The layer to click in for the session's picture, if there is one."""
        target = self.session.target
        placing = None if target is None else self._placing.get(target.key)
        return placing if placing is not None and placing.alive else None

    @property
    def is_placing(self) -> bool:
        """Whether clicks on the canvas place landmarks now."""
        placing = self.placing
        return placing is not None and placing.active and placing.layer.mode == "add"

    def place(self, layer: Any = None) -> None:
        """Let clicks on the canvas place landmarks.

        Parameters
        ----------
        layer : Points, optional
            Use this one where the picture has none to click in yet.
        """
        target = self.session.target
        if target is None or not len(self.session.annotation.landmarks):
            return
        placing = self.placing
        if placing is None:
            earlier = self._placing.pop(target.key, None)
            if earlier is not None:
                earlier.release()
            size = point_size(target.shape_yx, preferences().point_size_percent)
            placing = PlacingLayer(
                self._viewer, self.session, target, size, self.told.emit, layer
            )
            shortcuts.bind(placing.layer, self.actions)
            self._placing[target.key] = placing
        placing.resume()

    def adopt(self, layer: Any) -> None:
        """Go on with the landmarks of a points layer.

        Raises
        ------
        LandmarkError
            If it has no points, or a name twice.
        """
        target = self.session.target
        if target is not None:
            self.go_on(landmarks_on(target, layer), layer)

    def go_on(self, landmarks: Landmarks, layer: Any = None) -> None:
        """Go on with landmarks that were made before.

        Parameters
        ----------
        landmarks : Landmarks
            What there is.
        layer : Points, optional
            A layer that shows them, or an earlier state: it is clicked in from
            now on where it is one of ours, and hidden where it is not.
        """
        target = self.session.target
        usable = (
            layer is not None
            and target is not None
            and self.placing is None
            and can_be_clicked_in(layer, target)
        )
        if layer is not None and not usable:
            layer.visible = False
            layer = None
        self.session.edit(Annotation.adopt(landmarks))
        self.place(layer)

    def pick(self, name: str) -> None:
        """Make a landmark the one that the next click places."""
        self.session.point_at(self.session.annotation.go_to(name))

    def step(self, by: int) -> None:
        """Go ``by`` landmarks further in the list."""
        if self.session.target is not None:
            self.session.point_at(self.session.annotation.step(by))

    def _on_active(self, event: Any) -> None:
        """Turn to the image whose landmarks the user selects in the layer list."""
        for placing in self._placing.values():
            image = placing.target.layer
            chosen = event.value is not None and placing.layer == event.value
            plain = not placing.target.slice_index
            if chosen and plain and image in self._viewer.layers:
                self.session.open(placing.target)

    def _edit(self, annotation: Annotation) -> None:
        if self.session.target is not None and annotation != self.session.annotation:
            self.session.edit(annotation)


def workbench_of(viewer: Any, session: Session) -> Workbench:
    """Return the workbench of a session, made on first use."""
    bench: Workbench | None = session.workbench
    if bench is None:
        bench = session.workbench = Workbench(viewer, session)
    return bench
