"""Points layers with what was detected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.landmarks.landmark import Landmarks
from napari_oneshot_lmk.widgets import looks, points, words
from napari_oneshot_lmk.widgets.layers import transform_of
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.widgets.layers import ImageTarget


class ResultLayers:
    """One points layer a picture.

    Parameters
    ----------
    viewer : Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layers: dict[Hashable, tuple[Any, np.ndarray]] = {}

    def layer(self, key: Hashable) -> Any | None:
        """Return the layer of a picture, while it is in the viewer."""
        layer, _ = self._layers.get(key, (None, None))
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, target: ImageTarget, landmarks: Landmarks, visible: bool) -> Any:
        """Add a layer that lies on the picture.

        An earlier result is replaced, unless somebody has corrected it: then it
        stays, and the new one stands beside it.

        Parameters
        ----------
        target : ImageTarget
            The picture.
        landmarks : Landmarks
            What was found on it.
        visible : bool
            Show the layer at once.
        """
        earlier = self.layer(target.key)
        if earlier is not None and self._untouched(target.key):
            self._viewer.layers.remove(earlier)
        selected = set(self._viewer.layers.selection)
        data = target.to_layer(points.placed_yx(landmarks))
        wanted = preferences()
        size = looks.point_size(target.shape_yx, wanted.point_size_percent)
        layer = self._viewer.add_points(
            **looks.found_look(landmarks, data, size, wanted.point_text),
            name=words.FOUND_LAYER.format(image=target.image_name),
            ndim=target.layer.ndim,
            visible=visible,
            **transform_of(target.layer),
        )
        layer.mode = "select"
        if not visible:
            # What the user looks at stays selected.
            self._viewer.layers.selection = selected
        self._layers[target.key] = (layer, np.array(layer.data))
        return layer

    def as_shown(self, key: Hashable, landmarks: Landmarks) -> Landmarks:
        """Return landmarks with the positions that their layer shows now."""
        layer = self.layer(key)
        if layer is None:
            return landmarks
        shown = points.from_layer(
            layer.data,
            {
                "features": layer.features,
                "metadata": layer.metadata,
                "name": layer.name,
            },
        )
        return Landmarks(
            shown.points, landmarks.image, landmarks.geometry, landmarks.provenance
        )

    def _untouched(self, key: Hashable) -> bool:
        layer, found = self._layers[key]
        return np.array_equal(np.asarray(layer.data), found)
