"""The points layer in which a user places landmarks, kept equal to the session.

The session holds the truth. What napari does to the layer (a click in its add
mode, a drag in its select mode, the delete key) becomes an edit of the session;
every change of the session is drawn back onto the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets import points, words
from napari_oneshot_lmk.widgets.colours import landmark_colours
from napari_oneshot_lmk.widgets.layers import transform_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Points

    from napari_oneshot_lmk.widgets.layers import ImageTarget
    from napari_oneshot_lmk.widgets.session import Session


DRAG_FROM_PX = 5
"""Canvas pixels from which a press and a move are a drag; napari's own limit."""


class PlacingLayer:
    """Connects one points layer with one picture's annotation.

    Parameters
    ----------
    viewer : Viewer
        Where the layer is shown.
    session : Session
        Holds the annotation; its picture must be ``target``.
    target : ImageTarget
        The picture.
    size : float
        Diameter of the points in pixels.
    tell : callable
        Shows the user one sentence.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        target: ImageTarget,
        size: float,
        tell: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self.target = target
        self._tell = tell
        self._drawing = False
        self._dragged = False
        landmarks = session.annotation.landmarks
        placed = landmarks.placed
        look = points.annotation_look(
            landmarks,
            target.to_layer(points.placed_yx(landmarks)),
            [p.name for p in placed],
            size,
        )
        self.layer: Points = viewer.add_points(
            **look,
            name=words.ANNOTATION_LAYER.format(image=target.image_name),
            ndim=target.layer.ndim,
            **transform_of(target.layer),
        )
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)
        self.layer.mouse_drag_callbacks.append(self._on_drag)
        session.events.annotation.connect(self.draw)
        self._names: tuple[str, ...] = landmarks.names
        self.draw()

    @property
    def alive(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def active(self) -> bool:
        """Whether clicks on the canvas go to this layer."""
        return self.alive and self._viewer.layers.selection.active == self.layer

    def resume(self) -> None:
        """Let clicks on the canvas place landmarks."""
        self.layer.visible = True
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = "add"

    def release(self) -> None:
        """Stop following the session."""
        self._session.events.annotation.disconnect(self.draw, missing_ok=True)
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)
        if self._on_drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_drag)

    # -- session -> layer ----------------------------------------------------------

    def draw(self) -> None:
        """Make the layer show the session's annotation."""
        if not self._is_mine() or not self.alive:
            return
        annotation = self._session.annotation
        landmarks = annotation.landmarks
        labels = [p.name for p in landmarks.placed]
        data = self.target.to_layer(points.placed_yx(landmarks))
        with self._quietly():
            if landmarks.names != self._names:
                self._names = landmarks.names
                cycle = landmark_colours(landmarks.names)
                self.layer.face_color_cycle = cycle
            if self._differs(data, labels):
                self.layer.selected_data = set()
                self.layer.data = data
                self.layer.features = points.label_table(labels, landmarks.names)
                self.layer.refresh_colors(update_color_mapping=False)
            self._announce()
            whole = self._session.landmarks()
            self.layer.metadata[points.METADATA] = points.to_metadata(whole)

    def _announce(self) -> None:
        """Give the next point that napari adds its name, and so its colour."""
        annotation = self._session.annotation
        names = annotation.landmarks.names
        if names:
            upcoming = points.label_table([annotation.current or names[0]], names)
            self.layer.feature_defaults = upcoming

    def _differs(self, data: np.ndarray, labels: list[str]) -> bool:
        if list(self.layer.features.get("label", ())) != labels:
            return True
        return not np.array_equal(np.asarray(self.layer.data), data)

    # -- layer -> session ----------------------------------------------------------

    def _on_data(self, event: Any) -> None:
        if self._drawing or not self._is_mine():
            return
        action = str(getattr(event.action, "value", event.action))
        if action == "added" and self._dragged:
            # The drag ended where it began, and napari took it for a click, too.
            self.draw()
        elif action == "added":
            self._added(list(event.data_indices))
        elif action in ("changed", "removed"):
            self._take_over()

    def _on_features(self, event: Any) -> None:
        # napari selects a point that it has added, and takes the selected
        # point's name for the next one's.
        if not self._drawing and self._is_mine():
            with self._quietly():
                self._announce()

    def _added(self, rows: list[int]) -> None:
        annotation = self._session.annotation
        data = np.asarray(self.layer.data)
        for row in rows:
            if not annotation.current:
                self._tell(words.ALL_DECIDED)
                break
            position = self.target.from_layer(data[row])[0]
            if not self._inside(position):
                self._tell(words.OUTSIDE.format(name=annotation.current))
                break
            annotation = annotation.place_current(tuple(position))
        if annotation is self._session.annotation:
            self.draw()
        else:
            self._session.edit(annotation)

    def _take_over(self) -> None:
        """Bring moved and deleted points of the layer into the session."""
        annotation = self._session.annotation
        labels = [str(label) for label in self.layer.features["label"]]
        here = dict(zip(labels, self.target.from_layer(self.layer.data), strict=True))
        for name in set(here) & set(annotation.landmarks.names):
            position = float(here[name][0]), float(here[name][1])
            if not self._inside(here[name]):
                self._tell(words.OUTSIDE.format(name=name))
            elif annotation.landmarks[name].position_yx != position:
                annotation = annotation.place(name, position)
        gone = [p.name for p in annotation.landmarks.placed if p.name not in here]
        if gone:
            annotation = annotation.clear(gone)
        if annotation is self._session.annotation:
            self.draw()
        else:
            self._session.edit(annotation)

    def _on_drag(self, layer: Any, event: Any) -> Iterator[None]:
        """Let a point be dragged while clicks place: napari's add mode cannot."""
        self._dragged = False
        if self.layer.mode != "add" or not self._is_mine() or event.button != 1:
            return
        row = self.layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if row is None:
            return
        name = str(self.layer.features["label"].iloc[row])
        pressed_at = np.array(event.pos, dtype=float)
        grip = np.asarray(self.layer.data[row]) - self._in_data(event)
        self.layer.mouse_pan = False
        yield
        while event.type == "mouse_move":
            # Nearer than this, napari takes the press for a click that places.
            far = np.linalg.norm(np.array(event.pos) - pressed_at) >= DRAG_FROM_PX
            self._dragged = self._dragged or bool(far)
            if self._dragged:
                data = np.array(self.layer.data)
                data[row] = self._in_data(event) + grip
                with self._quietly():
                    self.layer.data = data
            yield
        self.layer.mouse_pan = True
        if self._dragged:
            self._take_over()
            self._tell(words.MOVED.format(name=name))

    def _in_data(self, event: Any) -> np.ndarray:
        return np.asarray(self.layer.world_to_data(event.position))

    # -- inside --------------------------------------------------------------------

    def _inside(self, position: np.ndarray) -> bool:
        limits = np.array(self.target.shape_yx) - 0.5
        return bool(np.all(position >= -0.5) and np.all(position <= limits))

    def _is_mine(self) -> bool:
        return self._session.target == self.target

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change the layer without hearing of it."""
        before, self._drawing = self._drawing, True
        try:
            yield
        finally:
            self._drawing = before
