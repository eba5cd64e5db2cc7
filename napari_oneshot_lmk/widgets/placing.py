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

from napari_oneshot_lmk.widgets import looks, points, words
from napari_oneshot_lmk.widgets.colours import landmark_colours
from napari_oneshot_lmk.widgets.layers import transform_of
from napari_oneshot_lmk.widgets.point_drag import PointDrag

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Points

    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.widgets.layers import ImageTarget
    from napari_oneshot_lmk.widgets.session import Session


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
    layer : Points, optional
        Go on in this layer, which lies on the picture and was made as
        ``annotation_look`` says; a new one when not given.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        target: ImageTarget,
        size: float,
        tell: Callable[[str], None],
        layer: Points | None = None,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self.target = target
        self._tell = tell
        self._drawing = False
        self._drag = PointDrag(self._may_drag, self._on_dragged)
        landmarks = session.annotation.landmarks
        self.layer = self._new(landmarks, size) if layer is None else layer
        self.layer.name = words.ANNOTATION_LAYER.format(image=target.image_name)
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)
        self.layer.mouse_drag_callbacks.append(self._drag)
        session.events.annotation.connect(self.draw)
        self._names: tuple[str, ...] = landmarks.names
        self._shown: tuple[np.ndarray, list[str]] = np.empty((0, 0)), []
        self.draw()

    def _new(self, landmarks: Landmarks, size: float) -> Points:
        look = looks.annotation_look(
            landmarks,
            self.target.to_layer(points.placed_yx(landmarks)),
            [p.name for p in landmarks.placed],
            size,
        )
        layer: Points = self._viewer.add_points(
            **look,
            ndim=self.target.layer.ndim,
            **transform_of(self.target.layer),
        )
        return layer

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
        if self._drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._drag)

    # -- session -> layer ----------------------------------------------------------

    def draw(self) -> None:
        """Make the layer show the session's annotation."""
        if self._drawing or not self._is_mine() or not self.alive:
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
                self._show(data, labels)
            self._shown = data, labels
            self._announce()
            whole = self._session.landmarks()
            self.layer.metadata[points.METADATA] = points.to_metadata(whole)

    def _show(self, data: np.ndarray, labels: list[str]) -> None:
        self.layer.selected_data = set()
        self.layer.data = data
        self.layer.features = points.label_table(labels, self._names)
        self.layer.refresh_colors(update_color_mapping=False)

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
        if self._drawing or not self._turn_to_my_picture():
            return
        action = str(getattr(event.action, "value", event.action))
        if action == "added" and self._drag.was_false_click():
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
            if not self.target.contains(position):
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
            if not self.target.contains(here[name]):
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

    def _may_drag(self) -> bool:
        return self.layer.mode == "add" and self._is_mine()

    def _on_dragged(self, name: str, data: np.ndarray, ended: bool) -> None:
        with self._quietly():
            self.layer.data = data
        if ended:
            self._take_over()
            self._tell(words.MOVED.format(name=name))

    # -- inside --------------------------------------------------------------------

    def _turn_to_my_picture(self) -> bool:
        """Make the session's picture this layer's; say whether that can be."""
        if self._is_mine():
            return True
        if self.target.layer not in self._viewer.layers:
            # The image is gone: what is left is a points layer like any other.
            return False
        with self._quietly():
            if not self.target.slice_index:
                self._session.open(self.target)
                return True
            # Another slice is shown, which this layer has no place for.
            self._show(*self._shown)
            self._tell(words.OTHER_SLICE.format(image=self.target.image_name))
        return False

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
