"""Clicks on the canvas that choose a landmark, and neither place nor move one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets.layers.marks import px_per_data
from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.workbench import Workbench

REACH_PX = 14.0
"""On the screen, from a landmark to a click that means it."""
STILL_PX = 4.0
"""A mouse that is moved farther while it is pressed moves the view."""


class PointClicks:
    """While it is `on`, a click beside a landmark calls ``picked`` with its name.

    The landmark layer then only pans: no click places a landmark or moves one.
    """

    def __init__(self, viewer: Any, bench: Workbench, picked: Callable[[str], None]) -> None:
        self._viewer, self._bench, self._picked = viewer, bench, picked
        self._mode = ""
        self.on = False

    def begin(self) -> None:
        """Take clicks from now on."""
        if not self.on:
            self.on = True
            self._viewer.mouse_drag_callbacks.append(self._on_press)
        shown = self._bench.placing
        if shown is not None and str(shown.layer.mode) != "pan_zoom":
            self._mode = str(shown.layer.mode)
            shown.layer.mode = "pan_zoom"

    def end(self) -> None:
        """Let clicks place and move landmarks again."""
        if not self.on:
            return
        self.on = False
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        shown = self._bench.placing
        if shown is not None and self._mode and str(shown.layer.mode) == "pan_zoom":
            shown.layer.mode = self._mode
        self._mode = ""

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        start = np.asarray(event.pos, dtype=float)
        still = True
        yield
        while event.type == "mouse_move":
            still = still and np.hypot(*(np.asarray(event.pos, dtype=float) - start)) <= STILL_PX
            yield
        name = self.landmark_at(event.position)
        if still and name:
            self._picked(name)

    def landmark_at(self, position: Any) -> str:
        """Return the landmark nearest to a world position, within reach; "" if there is none."""
        session = self._bench.session
        target = session.target
        if target is None:
            return ""
        placed = session.annotation.landmarks.placed
        # A viewer of more dimensions than the image has leading coordinates of its own.
        world = np.asarray(position, dtype=float)[-target.layer.ndim :]
        at_yx = np.asarray(target.layer.world_to_data(world))[-2:]
        scale = px_per_data(target.layer, camera_of(self._viewer).zoom)
        far = [np.hypot(*((np.array(p.position_yx) - at_yx) * scale)) for p in placed]
        if not far or min(far) > REACH_PX:
            return ""
        return placed[int(np.argmin(far))].name
