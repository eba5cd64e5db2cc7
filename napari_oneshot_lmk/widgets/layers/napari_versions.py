"""Camera and grid, by the names of napari 0.9 and of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView


def camera_of(viewer: Any) -> Any:
    """Return the camera of a viewer."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def grid_of(viewer: Any) -> Any:
    """Return what says whether the layers lie side by side in a grid."""
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def look_at(viewer: Any, target: ImageView, position_yx: tuple[float, float]) -> None:
    """Bring a point of an image to the middle of the canvas.

    Parameters
    ----------
    viewer : Viewer
        Whose camera to move; the zoom stays.
    target : ImageView
        The image.
    position_yx : tuple of float
        (row, column) in its pixels.
    """
    world = target.layer.data_to_world(target.to_layer([position_yx])[0])
    camera = camera_of(viewer)
    camera.center = (0.0, *(float(v) for v in np.asarray(world)[-2:]))


IMAGES_KEPT_MS = 3000
"""How long: the frames after a removal are drawn within some tens of milliseconds."""


class KeptVisuals:
    """Holds the visuals of points, and the programs of images, that were removed.

    Parameters
    ----------
    viewer : Viewer
        Whose layers to follow.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._visuals: dict[int, Any] = {}
        viewer.layers.events.removing.connect(self._on_removing)

    def _on_removing(self, event: Any) -> None:
        self._keep()

    def _keep(self) -> None:
        from vispy import gloo

        canvas = gloo.get_current_canvas()
        nodes = [] if canvas is None else [getattr(canvas, "scene", None)]
        programs = []
        while nodes:
            node = nodes.pop()
            if node is None:
                continue
            nodes.extend(node.children)
            if type(node).__name__ == "PointsVisual":
                self._visuals[id(node)] = node
            elif type(node).__name__ == "Image":
                programs.append(getattr(node, "_program", None))
        QTimer.singleShot(IMAGES_KEPT_MS, programs.clear)
