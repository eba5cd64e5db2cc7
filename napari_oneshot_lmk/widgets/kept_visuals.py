"""Keeps what a removed layer was drawn with, so that drivers do not fail.

A layer that was drawn, changed or moved, and removed takes its shader programs along.
At the second frame after that, software renderers end the whole process, and drivers
on Windows raise access violations (napari #6472). While the programs live, neither
does. Those of points are small and stay; the program of an image holds its pixels, and
goes when some frames have been drawn.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer

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
