"""The lines of a set on the canvas: one layer, display only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_oneshot_lmk.measure.tracing import tracing_lines
from napari_oneshot_lmk.widgets import measure_texts
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, transform_of
from napari_oneshot_lmk.widgets.layers.napari_versions import keeping_selection
from napari_oneshot_lmk.widgets.qt.connections import Flag

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
    from napari_oneshot_lmk.measure.tracing import TracingLine

# Okabe and Ito's sky blue and yellow: apart from each other with any colour vision.
TRACING, MEASURED, CHOSEN = "#56B4E9", "#56B4E980", "#F0E442"
MARK = "napari-oneshot-lmk tracing"
"""In the metadata of the layer: there is one only, however many docks there are."""
WIDTHS_PER_SIDE = 600
"""The longer side of an image is so many times as long as a line is wide."""


class TracingLayer:
    """Shows lines over one image at a time, below its landmarks.

    The layer cannot be edited, and adding it selects nothing.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Any = None
        self._target: ImageView | None = None
        self._drawn: tuple[Any, ...] = ()
        self._looks: list[tuple[str, float]] = []
        """Colour and width of each line that is drawn."""
        self._changing = Flag()

    @property
    def layer(self) -> Any:
        """The shapes layer, while it is in the viewer."""
        layer = self._layer
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(
        self,
        target: ImageView,
        landmarks: Landmarks,
        chosen: MeasurementSet | None,
        highlighted: MeasurementSet | None = None,
    ) -> None:
        """Draw the lines of a set on an image, and those of one measurement in another colour."""
        lines = () if chosen is None else tracing_lines(landmarks, chosen)
        above = () if highlighted is None else tracing_lines(landmarks, highlighted)
        drawn = (target.key, lines, above)
        if self._changing or (self.layer is not None and drawn == self._drawn):
            return
        # Adding and removing a layer are events that ask to be shown, too.
        with self._changing:
            if self.layer is None or target != self._target:
                self._remove()
                self._add(target)
            self._drawn = drawn
            self._draw(target, lines, above)

    def clear(self) -> None:
        """Remove the layer."""
        if not self._changing:
            with self._changing:
                self._remove()

    def _remove(self) -> None:
        layer = self.layer
        self._layer, self._drawn, self._looks = None, (), []
        if layer is not None:
            with keeping_selection(self._viewer):
                self._viewer.layers.remove(layer)

    def note_removed(self, layer: Any) -> bool:
        """Say whether a layer that was removed is the one that is shown."""
        return self._layer is not None and layer.unique_id == self._layer.unique_id

    def _add(self, target: ImageView) -> None:
        if target.layer not in self._viewer.layers:
            return
        layer = Shapes(
            name=measure_texts.TRACING_LAYER,
            ndim=target.layer.ndim,
            metadata={MARK: True},
            opacity=0.9,
            **transform_of(target.layer),
        )
        layer.editable = False
        with keeping_selection(self._viewer):
            for left in [other for other in self._viewer.layers if MARK in other.metadata]:
                # By a dock that was closed.
                self._viewer.layers.remove(left)
            place = self._viewer.layers.index(target.layer) + 1
            self._viewer.layers.insert(place, layer)
        self._layer, self._target = layer, target

    def _draw(
        self, target: ImageView, lines: tuple[TracingLine, ...], above: tuple[TracingLine, ...]
    ) -> None:
        if self.layer is None:
            return
        width = max(target.shape_yx) / WIDTHS_PER_SIDE
        looks = [(MEASURED if line.measured else TRACING, width) for line in lines]
        looks += [(CHOSEN, 1.6 * width)] * len(above)
        paths = [target.to_layer(np.array(line.points_yx)) for line in (*lines, *above)]
        if paths and looks == self._looks:
            # In one step, which costs half as much as taking all lines off first.
            self._layer.data = paths
        else:
            self._layer.data = []
            self._looks = looks
            if paths:
                self._layer.add(
                    paths,
                    shape_type="path",
                    edge_color=[colour for colour, _ in looks],
                    edge_width=[width for _, width in looks],
                    face_color="transparent",
                )
        self._layer.editable = False
