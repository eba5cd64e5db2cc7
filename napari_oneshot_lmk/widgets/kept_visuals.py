"""Keeps what a removed points layer was drawn with, so that drivers do not fail.

A points layer that was drawn, changed and removed takes its shader programs along. At
the second frame after that, software renderers end the whole process, and drivers on
Windows raise access violations (napari #6472). While the programs live, neither does.
They are small, and few: one set for each points layer that is removed.
"""

from __future__ import annotations

from typing import Any

from napari.layers import Points


class KeptVisuals:
    """Holds the visuals of the points layers that were removed from one viewer.

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
        index = event.index
        if isinstance(index, int) and isinstance(self._viewer.layers[index], Points):
            self._keep()

    def _keep(self) -> None:
        from vispy import gloo

        canvas = gloo.get_current_canvas()
        nodes = [] if canvas is None else [getattr(canvas, "scene", None)]
        while nodes:
            node = nodes.pop()
            if node is None:
                continue
            nodes.extend(node.children)
            if type(node).__name__ == "PointsVisual":
                self._visuals[id(node)] = node
