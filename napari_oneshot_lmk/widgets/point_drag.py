"""Dragging a point in a layer whose clicks add points; napari's add mode cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

DRAG_FROM_PX = 5
"""Canvas pixels from which a press and a move are a drag; napari's own limit."""


class PointDrag:
    """A mouse callback of a points layer.

    Parameters
    ----------
    allowed : callable
        Says whether points may be dragged now.
    moved_to : callable
        Called with the point's label, the layer's data with the point moved,
        and whether the drag has ended.
    """

    def __init__(
        self,
        allowed: Callable[[], bool],
        moved_to: Callable[[str, np.ndarray, bool], None],
    ) -> None:
        self._allowed = allowed
        self._moved_to = moved_to
        self.moved = False
        """Whether the last press became a drag of a point."""

    def __call__(self, layer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from press to release."""
        self.moved = False
        if not self._allowed() or event.button != 1:
            return
        row = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if row is None:
            return
        label = str(layer.features["label"].iloc[row])
        pressed_at = np.array(event.pos, dtype=float)
        data = np.array(layer.data)
        grip = data[row] - np.asarray(layer.world_to_data(event.position))
        layer.mouse_pan = False
        yield
        while event.type == "mouse_move":
            # Nearer than this, napari takes the press for a click that adds.
            far = np.linalg.norm(np.array(event.pos) - pressed_at) >= DRAG_FROM_PX
            self.moved = self.moved or bool(far)
            if self.moved:
                data[row] = np.asarray(layer.world_to_data(event.position)) + grip
                self._moved_to(label, data.copy(), False)
            yield
        layer.mouse_pan = True
        if self.moved:
            self._moved_to(label, data.copy(), True)
