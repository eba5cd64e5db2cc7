"""Points layers as landmark files of every format that is written without the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LayerTuple = tuple[Any, Mapping[str, Any], str]


def write_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one points layer, by the ending of the name.

    Parameters
    ----------
    path : str
        Ends like a landmark file; napari has asked before replacing it.
    data : ndarray, (N, ndim)
        Data coordinates.
    attributes : mapping
        The layer's other attributes.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    OneshotError
        If the landmarks cannot be written; napari shows the sentence.
    """
    return write_layers(path, [(data, attributes, "points")])


def write_layers(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """Write several points layers into one file, one image each."""
    from napari.utils.notifications import show_warning

    from napari_oneshot_lmk.errors import LandmarkError
    from napari_oneshot_lmk.landmarks.files import unsupported_fields, write_landmarks
    from napari_oneshot_lmk.widgets import texts
    from napari_oneshot_lmk.widgets.layers import points

    for data, attributes, _ in layers:
        if not len(data) and not points.is_ours(attributes.get("metadata") or {}):
            raise LandmarkError(texts.NO_POINTS, file=attributes.get("name"))
    images = [points.from_layer(data, attributes) for data, attributes, _ in layers]
    write_landmarks(Path(path), images, overwrite=True)
    lost = ", ".join(unsupported_fields(path, images))
    if lost:
        show_warning(texts.LEFT_OUT.format(path=Path(path).name, things=lost))
    return [path]
