"""Camera and grid under their names in napari 0.9 and before, selection, visuals kept alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_oneshot_lmk.widgets.layers.image_view import ImageView

CLOSE = 3.0
"""Zoom at which a point is looked at, as a multiple of that which shows the whole image."""


def camera_of(viewer: Any) -> Any:
    """Return the camera of a viewer."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def grid_of(viewer: Any) -> Any:
    """Return the model that says whether the layers are shown side by side."""
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def show_whole(viewer: Any, target: ImageView) -> None:
    """Fit the view to one image, whatever other layers there are, shown or hidden.

    Their pixels may count as millimetres, so that together with them it would be tiny.
    """
    if "layers" in signature(viewer.reset_view).parameters:
        viewer.reset_view(layers=[target.layer])
    else:
        viewer.reset_view()


def look_at(viewer: Any, target: ImageView, position_yx: tuple[float, float]) -> None:
    """Center the camera on a (row, column) of an image; the zoom stays."""
    world = target.layer.data_to_world(target.to_layer([position_yx])[0])
    camera_of(viewer).center = (0.0, *(float(v) for v in np.asarray(world)[-2:]))


def look_closely_at(viewer: Any, target: ImageView, position_yx: tuple[float, float]) -> None:
    """Centre a (row, column) of an image, and zoom in unless it is seen closely already."""
    camera = camera_of(viewer)
    centre, zoom = camera.center, camera.zoom
    show_whole(viewer, target)
    whole = camera.zoom
    camera.center, camera.zoom = centre, max(zoom, CLOSE * whole)
    look_at(viewer, target, position_yx)


@contextmanager
def keeping_selection(viewer: Any) -> Iterator[None]:
    """Add layers without selecting them: the docks would turn to another image."""
    selection = viewer.layers.selection
    selected, active = set(selection), selection.active
    with selection.events.active.blocker():
        yield
        viewer.layers.selection = selected
        viewer.layers.selection.active = active
    if active is not None:
        # napari goes by the mode that was set last, on any layer.
        camera_of(viewer).mouse_pan = active.mouse_pan


PIXELS_KEPT_MS = 3000
"""The frames after a removal are drawn within some tens of milliseconds."""


class KeptVisuals:
    """Keeps the visuals of removed points and lines, and the programs of removed images.

    Where a removed layer takes its shader programs along, software renderers end the
    process two frames later, and drivers on Windows raise access violations (napari #6472):
    vispy leaves the vertices of a program enabled, and what is drawn next reads them, whenever
    they are deleted. All of that is small and stays; the pixels of an image do not.
    """

    def __init__(self, viewer: Any) -> None:
        self._kept: dict[int, Any] = {}
        viewer.layers.events.removing.connect(self._on_removing)

    def _on_removing(self, event: Any) -> None:
        from vispy import gloo

        canvas = gloo.get_current_canvas()
        nodes = [] if canvas is None else [getattr(canvas, "scene", None)]
        images: list[Any] = []
        while nodes:
            node = nodes.pop()
            if node is None:
                continue
            nodes.extend(node.children)
            if type(node).__name__ in ("PointsVisual", "ShapesVisual"):
                self._kept[id(node)] = node
            elif type(node).__name__ == "Image":
                program = getattr(node, "_program", None)
                self._kept[id(program)] = program
                images.append(node)
        QTimer.singleShot(0, partial(_expect_no_more, images))


def _expect_no_more(images: list[Any]) -> None:
    """Free the pixels of those images that have just left the scene, after some frames.

    One that leaves it later may only be shown in 3-D.
    """
    gone = [getattr(node, "_texture", None) for node in images if not _is_in_scene(node)]
    QTimer.singleShot(PIXELS_KEPT_MS, partial(_free, gone))


def _is_in_scene(node: Any) -> bool:
    while node.parent is not None:
        node = node.parent
    return type(node).__name__ == "SubScene"


def _free(textures: list[Any]) -> None:
    for texture in textures:
        if texture is not None:
            texture.delete()
