"""Points layers in the viewer, read as landmarks of an image."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Points

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points
from napari_oneshot_lmk.widgets.layers.image_view import ImageView


def points_layers(viewer: Any) -> list[Any]:
    """Return the points layers that are not empty."""
    return [la for la in viewer.layers if isinstance(la, Points) and len(la.data)]


def landmarks_on(target: ImageView, layer: Any) -> Landmarks:
    """Read a points layer as landmarks of an image, on which it may lie with any transform.

    A `LandmarkError` says if it has no points, or a name twice.
    """
    world = [layer.data_to_world(point) for point in layer.data]
    data = [target.layer.world_to_data(np.asarray(point)) for point in world]
    return landmarks_of_file(target, layer, data)


def landmarks_of_file(target: ImageView, layer: Any, data: Any = None) -> Landmarks:
    """Read a points layer that a landmark file about an image has brought.

    ``data``, by default the layer's own, are pixels of that image, wherever the layer
    lies: it may have been opened before the image.

    A `LandmarkError` says if it has no points, or a name twice.
    """
    if not len(layer.data):
        raise LandmarkError(texts.NO_POINTS, file=layer.name)
    read = points.from_layer(
        target.from_layer(layer.data if data is None else data),
        {"features": layer.features, "metadata": layer.metadata, "name": layer.name},
    )
    geometry = read.geometry
    if geometry is not None and geometry.image_shape_yx != target.shape_yx:
        geometry = None
    return Landmarks(read.points, target.image_name, geometry, read.provenance)


def is_about(layer: Any, target: ImageView) -> bool:
    """Say whether a points layer's metadata names an image."""
    known = layer.metadata.get(points.METADATA)
    if not known or points.is_preview(layer.metadata):
        return False
    if (put_on := known.get(points.IMAGE_LAYER)) is not None:
        return bool(put_on == target.layer_id)
    return bool(known.get("image") == target.image_name)


def annotation_layer_of(viewer: Any, target: ImageView) -> Any | None:
    """Find a layer with hand-made landmarks of an image, such as a sample adds."""
    layers = reversed(points_layers(viewer))
    return next((la for la in layers if is_about(la, target) and not is_result(la)), None)


def is_result(layer: Any) -> bool:
    """Say whether a detection contributed to what a points layer of ours shows."""
    if not points.is_ours(layer.metadata) or points.is_preview(layer.metadata):
        return False
    attributes = {"features": layer.features, "metadata": layer.metadata}
    with suppress(LandmarkError):
        return any(p.follows_detection for p in points.from_layer(layer.data, attributes))
    return False


def can_be_taken(layer: Any, target: ImageView) -> bool:
    """Say whether a points layer can show the landmarks of an image from now on.

    It must be about this image and lie on it; an image of a stack gets its own layer.
    """
    flat = layer.ndim == 2 and target.layer.ndim == 2
    return flat and is_about(layer, target) and lies_on(layer, target)


def lies_on(layer: Any, target: ImageView) -> bool:
    """Say whether a layer has the same transform as an image."""
    image = target.layer
    if layer.ndim != image.ndim:
        return False
    corners = target.to_layer(np.vstack([np.zeros(2), np.diag(target.shape_yx)]))
    return all(np.allclose(layer.data_to_world(c), image.data_to_world(c)) for c in corners)
