"""Landmarks that are already in the viewer, as a points layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmark import Landmarks
from napari_oneshot_lmk.widgets import points, words

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers import ImageTarget


def points_layers(viewer: Any) -> list[Any]:
    """Return the points layers that hold anything."""
    layers = viewer.layers
    return [la for la in layers if isinstance(la, Points) and len(la.data)]


def landmarks_on(target: ImageTarget, layer: Any) -> Landmarks:
    """Read a points layer as landmarks of a picture.

    The layer may have another transform than the picture: what lies on a spot
    of the picture on the screen belongs to that spot.

    Raises
    ------
    LandmarkError
        If it holds no points, or a name stands twice.
    """
    if not len(layer.data):
        raise LandmarkError(words.NO_POINTS, file=layer.name)
    world = [layer.data_to_world(point) for point in layer.data]
    data = [target.layer.world_to_data(np.asarray(point)) for point in world]
    read = points.from_layer(
        target.from_layer(data),
        {"features": layer.features, "metadata": layer.metadata, "name": layer.name},
    )
    return Landmarks(read.points, target.image_name, None, read.provenance)


def annotation_layer_of(viewer: Any, target: ImageTarget) -> Any | None:
    """Find a layer with hand-made landmarks of a picture, as a sample brings one."""
    for layer in reversed(points_layers(viewer)):
        known = layer.metadata.get(points.METADATA)
        if (
            known
            and known.get("image") == target.image_name
            and "score" not in layer.features
        ):
            return layer
    return None


def can_be_clicked_in(layer: Any, target: ImageTarget) -> bool:
    """Say whether a points layer can serve to annotate a picture as it is.

    It must be one of ours, without scores, and lie on the picture with the same
    transform; a stack's picture gets a layer of its own.
    """
    ours = points.is_ours(layer.metadata) and "score" not in layer.features
    image = target.layer
    if not ours or layer.ndim != image.ndim or image.ndim != 2:
        return False
    corners = np.vstack([np.zeros(2), np.diag(target.shape_yx)])
    return all(
        np.allclose(layer.data_to_world(c), image.data_to_world(c)) for c in corners
    )
