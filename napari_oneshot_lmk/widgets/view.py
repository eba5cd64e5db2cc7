"""Camera and grid, by the names of napari 0.9 and of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers import ImageTarget


def camera_of(viewer: Any) -> Any:
    """Return the camera of a viewer."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def grid_of(viewer: Any) -> Any:
    """Return what says whether the layers lie side by side in a grid."""
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def look_at(viewer: Any, target: ImageTarget, position_yx: tuple[float, float]) -> None:
    """Bring a point of a picture to the middle of the canvas.

    Parameters
    ----------
    viewer : Viewer
        Whose camera to move; the zoom stays.
    target : ImageTarget
        The picture.
    position_yx : tuple of float
        (row, column) in its pixels.
    """
    world = target.layer.data_to_world(target.to_layer([position_yx])[0])
    camera = camera_of(viewer)
    camera.center = (0.0, *(float(v) for v in np.asarray(world)[-2:]))
