"""Dragging a point in a layer whose clicks add points; napari's add mode cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from napari_oneshot_lmk.widgets.mark_size import marker_hit, px_per_data
from napari_oneshot_lmk.widgets.view import camera_of

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
