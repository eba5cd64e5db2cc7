"""Lines on the canvas from each point to its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.layers.image_view import transform_of
from napari_oneshot_lmk.widgets.layers.napari_versions import keeping_selection

if TYPE_CHECKING:
    from napari_oneshot_lmk.evaluation.comparison import ComparedPoint
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView

COLOUR = "#56b4e9"
CROSS = 0.008
"""Half of a cross where no point was found, as a share of the image's longer side."""


class ReferenceLines:
    """A layer of shapes, which nothing takes for landmarks."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Any = None

    def show(self, target: ImageView, points: Sequence[ComparedPoint]) -> None:
        """Show the reference of the points of an image instead of what was shown."""
        self.hide()
        lines = []
        arm = CROSS * max(target.shape_yx)
        for point in points:
            if point.true_yx is None:
                continue
            true = np.array(point.true_yx)
            if point.found_yx is not None:
                lines.append(np.array([point.found_yx, true]))
            else:
                lines += [
                    np.array([true - step, true + step]) for step in ((arm, arm), (arm, -arm))
                ]
        if not lines:
            return
        with keeping_selection(self._viewer):
            self._layer = self._viewer.add_shapes(
                [target.to_layer(line) for line in lines],
                shape_type="line",
                name=evaluate_texts.REFERENCE_LAYER,
                edge_color=COLOUR,
                edge_width=max(1.0, max(target.shape_yx) / 500),
                **transform_of(target.layer),
            )
        self._layer.editable = False

    def hide(self) -> None:
        """Remove the lines."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            with keeping_selection(self._viewer):
                self._viewer.layers.remove(layer)
