"""The size of marks on the screen, and which one lies under the mouse.

napari measures the size of points in data units. It draws them at most as large as
``canvas_size_limits``, but its select mode hits them by their size in data units. So both
are set: the limit draws a mark with the same diameter at every zoom, and the size follows
the zoom, so that a mark is hit where it is seen. A lower limit would not do: napari widens
the lines of whatever it enlarges to half of the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qtpy.QtGui import QGuiApplication

from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.widgets.layers.image_view import column_norms
from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of

GRIP = 1.25
"""A mark is hit within this many of its radii."""
HIT_RADIUS_PX = 10.0
FIRST_PERCENT = 3.0
"""Diameter before a window knows its zoom, in percent of the image's longer side: in an
image that fills a window, marks have their full size at once."""
TOLERANCE = 0.02
"""Relative difference below which a size is not changed."""


def marker_hit(
    layer: Any,
    canvas_px_per_data: float | ArrayLike,
    position_data: ArrayLike,
    radius_px: float = HIT_RADIUS_PX,
) -> int | None:
    """Return the row of the point nearest to a position, at most ``radius_px`` away.

    ``canvas_px_per_data`` is `px_per_data`, or one number for both axes; the position is in
    data coordinates, (ndim,), and only points in its slice count. Of points at one place it
    is the last, which lies on top.
    """
    data = np.asarray(layer.data, dtype=float)
    if not len(data):
        return None
    offset = data - np.asarray(position_data, dtype=float)
    here = np.all(np.abs(offset[:, :-2]) <= 0.5, axis=1) & np.asarray(layer.shown)
    far = np.hypot(*(offset[:, -2:] * np.asarray(canvas_px_per_data, dtype=float)).T)
    far[~here] = np.inf
    nearest = len(far) - 1 - int(np.argmin(far[::-1]))
    return nearest if far[nearest] <= radius_px else None


def px_per_data(layer: Any, zoom: float) -> NDArray[np.float64]:
    """Screen pixels per data unit of (rows, columns), at a camera's zoom."""
    return zoom * column_norms(layer)[-2:]


def fit_size(layer: Any, px: float, zoom: float | None = None) -> None:
    """Set a points layer's sizes so that its marks are hit where they are seen.

    ``px`` is the diameter of a mark on the screen, ``zoom`` the camera's, by default that
    of the last drawing.
    """
    if len(layer.data):
        zoom = 1 / layer.scale_factor if zoom is None else zoom
        size = GRIP * px / px_per_data(layer, zoom)[1]
        if not np.allclose(layer.size, size, rtol=TOLERANCE, atol=0):
            layer.size = size


def canvas_limits(px: float) -> tuple[float, float]:
    """Return ``canvas_size_limits``, in canvas pixels, for a diameter in window pixels."""
    app = QGuiApplication.instance()
    return 0.0, float(px * (1.0 if app is None else app.devicePixelRatio()))


def first_size(landmarks: Landmarks, data: NDArray[np.float64], px: float) -> float:
    """Diameter in data units, before a window knows its zoom."""
    if landmarks.geometry is not None:
        return size_before_zoom(landmarks.geometry.image_shape_yx)
    # Without an image, as large as the points reach.
    return size_before_zoom(np.abs(data[:, -2:]).max(axis=0) + 1) if len(data) else px


def size_before_zoom(shape_yx: Iterable[float]) -> float:
    """Diameter in data units for an image of this shape."""
    return max(1.0, FIRST_PERCENT / 100 * max(shape_yx))


DRAG_FROM_PX = 5
"""Canvas pixels from which a press and a move are a drag; napari's own limit."""


class PointDrag:
    """A mouse callback of a points layer that drags points in the add mode.

    ``allowed`` says whether points may be dragged now. ``moved_to`` is called with the
    point's label, the layer's data with the point moved, and whether the drag has ended.
    """

    def __init__(
        self,
        viewer: Any,
        allowed: Callable[[], bool],
        moved_to: Callable[[str, np.ndarray, bool], None],
    ) -> None:
        self._viewer = viewer
        self._allowed = allowed
        self._moved_to = moved_to
        self._false_click = False

    def was_false_click(self) -> bool:
        """Say whether the point that was just added is unintended, and forget it.

        napari adds a point for any button, and for a drag that ends where it began.
        """
        false_click, self._false_click = self._false_click, False
        return false_click

    def __call__(self, layer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from press to release."""
        self._false_click = False
        if not self._allowed():
            return
        left = event.button == 1
        pressed_at = np.array(event.pos, dtype=float)
        row = self._row_under(layer, event) if left else None
        data = np.array(layer.data)
        if row is not None:
            grip = data[row] - np.asarray(layer.world_to_data(event.position))
            label = str(layer.features["label"].iloc[row])
            layer.mouse_pan = False
        moved = False
        yield
        while event.type == "mouse_move":
            # Nearer than this, napari takes the press for a click that adds.
            far = np.linalg.norm(np.array(event.pos) - pressed_at) >= DRAG_FROM_PX
            moved = moved or bool(far)
            if moved and row is not None:
                data[row] = np.asarray(layer.world_to_data(event.position)) + grip
                self._moved_to(label, data.copy(), False)
            yield
        near = np.linalg.norm(np.array(event.pos) - pressed_at) < DRAG_FROM_PX
        if row is not None:
            layer.mouse_pan = True
            if moved:
                self._moved_to(label, data.copy(), True)
        # napari's own callback comes next, and adds a point if this is near.
        self._false_click = bool(near and (moved or not left))

    def _row_under(self, layer: Any, event: Any) -> int | None:
        scale = px_per_data(layer, camera_of(self._viewer).zoom)
        return marker_hit(layer, scale, layer.world_to_data(event.position))
