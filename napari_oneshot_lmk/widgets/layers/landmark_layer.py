"""The points layer that shows an image's landmarks, kept equal to the session.

The session is the source of truth. What napari does to the layer (a click in its add
mode, a drag in its select mode, the delete key, a paste) becomes an edit of the session;
every change of the session is drawn onto the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points, style
from napari_oneshot_lmk.widgets.layers.image_view import TRANSFORM, transform_of
from napari_oneshot_lmk.widgets.layers.marks import PointDrag
from napari_oneshot_lmk.widgets.layers.shared_layer import place_layer
from napari_oneshot_lmk.widgets.qt.connections import Flag
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from napari.layers import Points

    from napari_oneshot_lmk.review.annotation import Annotation
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key
    from napari_oneshot_lmk.widgets.session import Session


Positions = list[tuple[float, float]]


class LandmarkLayer:
    """Connects one points layer with the landmarks of one image.

    ``tell`` shows the user one sentence; ``layer`` is an existing layer that lies on the
    image, by default a new one.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        target: ImageView,
        tell: Callable[[str], None],
        layer: Points | None = None,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self.target = target
        self._tell = tell
        self._drawing = Flag()
        """Set while the layer is changed by its own methods, which do not react to that."""
        self._drag = PointDrag(viewer, self._may_drag, self._on_dragged)
        self._names: list[str] = []
        self._copied: np.ndarray = np.empty((0, 2))
        self.layer: Points = self._new() if layer is None else layer
        self._title = ""
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)
        self.layer.selected_data.events.items_changed.connect(self._on_selected)
        self.layer.mouse_drag_callbacks.append(self._drag)
        self.layer.bind_key("Control-C", self._copy, overwrite=True)
        self.layer.bind_key("Control-V", self._paste, overwrite=True)
        session.edited.connect(self._on_edited)
        session.events.spacing.connect(self._on_spacing)
        for name in TRANSFORM:
            getattr(target.layer.events, name).connect(self._on_transform)
        self.draw()

    def _new(self) -> Points:
        landmarks = self._session.landmarks(target=self.target)
        data = self.target.to_layer(points.placed_yx(landmarks))
        return self._viewer.add_points(
            **style.landmark_style(landmarks, data, preferences().point_text),
            name=title_of(self._annotation, self.target),
            ndim=self.target.layer.ndim,
            **transform_of(self.target.layer),
        )

    @property
    def alive(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def active(self) -> bool:
        """Whether mouse actions on the canvas go to this layer."""
        return self.alive and self._viewer.layers.selection.active == self.layer

    def activate(self) -> None:
        """Let the mouse correct points, or place those that are still open."""
        current = self._annotation.current
        opened = current and self._annotation.landmarks[current].state is State.SKIPPED
        self._turn_to("add" if opened else "select")

    def resume(self) -> None:
        """Let clicks on the canvas place landmarks."""
        self._turn_to("add")

    def _turn_to(self, mode: str) -> None:
        if not self.layer.visible:
            self.layer.visible = True
        if not self.active:
            self._viewer.layers.selection.active = self.layer
        if self.layer.mode != mode:
            self.layer.mode = mode

    def highlight(self, name: str) -> None:
        """Select the point of a landmark, if it has one."""
        rows = {self._names.index(name)} if name in self._names else set()
        if set(self.layer.selected_data) != rows:
            with self._drawing:
                self.layer.selected_data = rows

    def release(self) -> None:
        """Stop following the session."""
        self._session.edited.disconnect(self._on_edited, missing_ok=True)
        self._session.events.spacing.disconnect(self._on_spacing, missing_ok=True)
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)
        self.layer.selected_data.events.items_changed.disconnect(self._on_selected)
        for name in TRANSFORM:
            getattr(self.target.layer.events, name).disconnect(self._on_transform)
        if self._drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._drag)

    @contextmanager
    def turned(self, target: ImageView) -> Iterator[None]:
        """Show the landmarks of another image from now on, that the same image layer shows.

        In the block the image layer is changed.
        """
        self.target = target
        with self._drawing:
            yield
            self.layer.selected_data = set()
            place_layer(self.layer, transform_of(target.layer))
        self._title = ""
        # One refresh for all that changes: each would slice, upload and list the layers anew.
        with self.layer.events.blocker_all():
            self.draw()
        self.layer.refresh()
        for event in (self.layer.events.features, self.layer.events.name):
            event()

    @property
    def _annotation(self) -> Annotation:
        return self._session.annotation_of(self.target)

    def _on_edited(self, key: Key) -> None:
        if key == self.target.key:
            self.draw()

    def _on_spacing(self) -> None:
        # The landmarks in the layer's metadata have a spacing, too.
        target = self._session.target
        if target is not None and target.layer == self.target.layer:
            self.draw()

    def _on_transform(self, event: Any = None) -> None:
        """Lie on the image where it is now."""
        if not self._drawing and self.alive:
            place_layer(self.layer, transform_of(self.target.layer))
            self.draw()

    def draw(self) -> None:
        """Make the layer show the session's landmarks."""
        if self._drawing or not self.alive:
            return
        landmarks = self._session.landmarks(target=self.target)
        data = self.target.to_layer(points.placed_yx(landmarks))
        with self._drawing:
            self._names = [p.name for p in landmarks.placed]
            style.apply_style(self.layer, landmarks, data, preferences().point_text)
            title = title_of(self._annotation, self.target)
            # A name that the user gave stays.
            if title != self._title and self.layer.name.startswith(self._title):
                self.layer.name = title
            self._title = title

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action))
        if self._drawing or action not in ("added", "changed", "removed"):
            return
        if action == "added" and self._drag.was_false_click():
            self.draw()
        elif self._turn_to_my_image():
            if self._session.blocking_reason:
                self._tell(self._session.blocking_reason)
                self.draw()
            else:
                self._take_over(action)

    def _copy(self, layer: Points) -> None:
        rows = sorted(layer.selected_data)
        self._copied = np.array(layer.data, dtype=float)[rows]

    def _paste(self, layer: Points) -> None:
        # napari's own paste emits no event for the new points, and fails with texts like
        # ours and in stacks.
        if len(self._copied):
            current = self._annotation.current
            if current in self._names and str(layer.mode) == "select":
                # It was clicked on, to be copied: the copy is the next that is open.
                self._session.point_at(self._annotation.go_to_next_open())
            layer.add(self._copied)

    def _on_features(self, event: Any) -> None:
        # Names come from the list: typing over one in a table of features would give a position
        # to another landmark. A point that napari has just added has no name yet; another event
        # reports that it was added.
        if self._drawing or len(self.layer.data) != len(self._names):
            return
        if [str(label) for label in self.layer.features["label"]] != self._names:
            self.draw()

    def _on_selected(self, added: Any = (), removed: Any = ()) -> None:
        """Make the landmark whose point was clicked on the current one."""
        rows = set(self.layer.selected_data)
        here = self._session.target == self.target and str(self.layer.mode) == "select"
        if self._drawing or not here or len(rows) != 1:
            return
        [row] = rows
        if row < len(self._names) and self._annotation.current != self._names[row]:
            self._session.point_at(self._annotation.go_to(self._names[row]))

    def _take_over(self, action: str) -> None:
        """Bring added, moved and deleted points of the layer into the session."""
        before = self._annotation
        data = np.asarray(self.layer.data, dtype=float).reshape(-1, self.layer.ndim)
        positions = [(row, column) for row, column in data[:, -2:].tolist()]
        author = preferences().author
        if action == "removed":
            labels = set(map(str, self.layer.features["label"]))
            after, gone = before, [name for name in self._names if name not in labels]
        else:
            after = self._moved(before, positions, author)
            after = self._added(after, positions[len(self._names) :], author)
            gone = self._names[len(positions) :]
        if gone:
            after = after.clear(gone, author)
        if after == before:
            self.draw()
        else:
            self._session.edit(after, self.target)

    def _moved(self, annotation: Annotation, positions: Positions, author: str) -> Annotation:
        for name, position in zip(self._names, positions, strict=False):
            if annotation.landmarks[name].position_yx == position:
                continue
            if self.target.contains(position):
                annotation = annotation.place(name, position, author)
            else:
                self._tell(texts.OUTSIDE.format(name=name))
        return annotation

    def _added(self, annotation: Annotation, positions: Positions, author: str) -> Annotation:
        for position in positions:
            if not annotation.current:
                skipped = annotation.passed_over
                self._tell(texts.NONE_PICKED if skipped else texts.ALL_DECIDED)
                break
            if not self.target.contains(position):
                self._tell(texts.OUTSIDE.format(name=annotation.current))
                break
            annotation = annotation.place_current(position, author)
        return annotation

    def _may_drag(self) -> bool:
        here = self.layer.mode == "add" and self._session.target == self.target
        return here and not self._session.blocking_reason

    def _on_dragged(self, name: str, data: np.ndarray, ended: bool) -> None:
        with self._drawing:
            self.layer.data = data
        if ended:
            self._take_over("changed")
            self._tell(texts.MOVED.format(name=name))

    def _turn_to_my_image(self) -> bool:
        """Make this layer's image the session's; return whether that is possible."""
        if self._session.target == self.target:
            return True
        if self.target.layer not in self._viewer.layers:
            # The image is gone: what is left is a points layer like any other.
            return False
        if not self.target.slice_index:
            with self._drawing:
                self._session.open(self.target)
            return True
        # The viewer shows another slice, which this layer has no place for.
        self.draw()
        self._tell(texts.OTHER_SLICE.format(image=self.target.image_name))
        return False


def title_of(annotation: Annotation, target: ImageView) -> str:
    """Return a layer's name: the kind of landmarks, and their image."""
    title = texts.FOUND_LAYER if annotation.is_result else texts.ANNOTATION_LAYER
    return title.format(image=target.image_name)
