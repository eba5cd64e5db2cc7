"""The size of marks on the screen, and which one lies under the mouse.

napari counts the size of points in data units. They are drawn at most as large as
``canvas_size_limits`` says, but its select mode takes hold of them by their size in
data units all the same. So both are set: the limit draws a mark with the same
diameter at every zoom, and the size follows the zoom, so that a mark is taken hold of
where it is seen. A lower limit would not do: napari widens the lines of whatever it
enlarges to half of the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

GRIP = 1.25
"""A mark is taken hold of within this many of its radii."""
HIT_RADIUS_PX = 10.0
FIRST_PERCENT = 3.0
"""Diameter before a window says its zoom, in percent of the image's longer side.

An image that fills a window then has marks of their full size at once."""
TOLERANCE = 0.02
"""A size that is off by less is left."""


def marker_hit(
    layer: Any,
    canvas_px_per_data: float | ArrayLike,
    position_data: ArrayLike,
    radius_px: float = HIT_RADIUS_PX,
) -> int | None:
    """Row of the point that is nearest to a position on the screen.

    Parameters
    ----------
    layer : napari Points
        Its points in the slice of the position are looked at.
    canvas_px_per_data : float or (2,) array
        Pixels of the screen per data unit, of rows and columns where they differ;
        ``px_per_data`` says it.
    position_data : (ndim,) array
        Position in data coordinates.
    radius_px : float
        A point that is farther away is none.

    Returns
    -------
    int or None
        Row in ``layer.data``; of points at one place the last, which lies on top.
    """
    data = np.asarray(layer.data, dtype=float)
    if not len(data):
        return None
    position = np.asarray(position_data, dtype=float)
    offset = data - position
    here = np.all(np.abs(offset[:, :-2]) <= 0.5, axis=1) & np.asarray(layer.shown)
    scale = np.broadcast_to(np.asarray(canvas_px_per_data, dtype=float), (2,))
    far = np.hypot(*(offset[:, -2:] * scale).T)
    far[~here] = np.inf
    nearest = len(far) - 1 - int(np.argmin(far[::-1]))
    return nearest if far[nearest] <= radius_px else None


def px_per_data(layer: Any, zoom: float) -> NDArray[np.float64]:
    """Screen pixels per data unit of (rows, columns), at a camera's zoom."""
    steps = np.eye(layer.ndim)[-2:]
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    ends = np.array([layer.data_to_world(step) for step in steps])
    norms: NDArray[np.float64] = zoom * np.linalg.norm(ends - origin, axis=1)
    return norms


def fit_size(layer: Any, px: float, zoom: float | None = None) -> None:
    """Let a layer's points be taken hold of where they are seen.

    Parameters
    ----------
    layer : napari Points
        Whose sizes to set.
    px : float
        Diameter of a mark on the screen.
    zoom : float, optional
        The camera's; that of the last drawing when not given.
    """
    if not len(layer.data):
        return
    if zoom is None:
        zoom = 1 / layer.scale_factor
    size = GRIP * px / px_per_data(layer, zoom)[1]
    if not np.allclose(layer.size, size, rtol=TOLERANCE, atol=0):
        layer.size = size


def canvas_limits(px: float) -> tuple[float, float]:
    """Smallest and largest diameter that is drawn, in pixels of the canvas."""
    return 0.0, float(px * pixel_ratio())


def pixel_ratio() -> float:
    """Pixels of the canvas per pixel of the window; 1 without a window."""
    from qtpy.QtGui import QGuiApplication

    app = QGuiApplication.instance()
    return float(app.devicePixelRatio()) if app is not None else 1.0


def first_size(landmarks: Landmarks, data: NDArray[np.float64], px: float) -> float:
    """Diameter in data units, before a window says its zoom."""
    geometry = landmarks.geometry
    if geometry is not None:
        return size_before_zoom(geometry.image_shape_yx)
    if not len(data):
        return px
    # Without an image, as large as the points reach.
    rows, columns = np.abs(data[:, -2:]).max(axis=0) + 1
    return size_before_zoom((rows, columns))


def size_before_zoom(shape_yx: tuple[float, float]) -> float:
    """Diameter for an image of this shape."""
    return max(1.0, FIRST_PERCENT / 100 * max(shape_yx))


DRAG_FROM_PX = 5
"""Canvas pixels from which a press and a move are a drag; napari's own limit."""


class PointDrag:
    """A mouse callback of a points layer.

    Parameters
    ----------
    viewer : Viewer
        Says how far the image is enlarged.
    allowed : callable
        Says whether points may be dragged now.
    moved_to : callable
        Called with the point's label, the layer's data with the point moved,
        and whether the drag has ended.
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
        """Say whether the point that was just added was not meant, and forget it.

        napari adds one for any button, and for a drag that ends where it began.
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
