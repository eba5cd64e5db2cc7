"""Points layers as landmark files of every format that is written without the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files import unsupported_fields, write_landmarks
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points


def write_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one points layer: its data (N, ndim) and its other attributes."""
    return write_layers(path, [(data, attributes, "points")])


def write_layers(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Write points layers, one per image, into a file of the format of its extension.

    napari has asked before it replaces a file, and shows the message of an error.

    An `OneshotError` says if a layer is empty or the landmarks cannot be written.
    """
    for data, attributes, _ in layers:
        if not len(data) and not points.is_ours(attributes.get("metadata") or {}):
            raise LandmarkError(texts.NO_POINTS, file=attributes.get("name"))
    images = [points.from_layer(data, attributes) for data, attributes, _ in layers]
    write_landmarks(Path(path), images, overwrite=True)
    lost = ", ".join(unsupported_fields(path, images))
    if lost:
        show_warning(texts.LEFT_OUT.format(path=Path(path).name, things=lost))
    return [path]
