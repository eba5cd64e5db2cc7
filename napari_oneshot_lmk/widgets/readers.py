"""Landmark files as points layers: ``*.mrk.json``, and ``*.csv`` with our header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmark import Landmarks

LayerTuple = tuple[Any, dict[str, Any], str]

CSV_HEADER = ("image", "landmark", "x_px", "y_px")
MARKUPS_SIGN = "markups-schema"
LOOK_AT_BYTES = 4096
"""Enough for a table's header, and for the first lines of a markups file."""


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerTuple]] | None:
    """Return a reader if the file is ours, else None; never raises.

    Parameters
    ----------
    path : str or list of str
        What the user opens. Only single files are ours.
    """
    if not isinstance(path, str):
        return None
    try:
        with Path(path).open("rb") as file:
            start = file.read(LOOK_AT_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return None
    name = path.lower()
    if name.endswith(".csv"):
        return read if _is_our_header(start) else None
    if name.endswith(".mrk.json"):
        return read if MARKUPS_SIGN in start else None
    return None


def read(path: str) -> list[LayerTuple]:
    """Read a landmark file, one points layer an image.

    A layer lies on its image where that is open. Of a table about many images,
    only those that are open are shown; all of them where none is.

    Raises
    ------
    OneshotError
        If the file is damaged; napari shows the sentence.
    """
    from napari_oneshot_lmk.landmarks.files import read_landmarks

    images = read_landmarks(Path(path))
    opened = [(landmarks, _open_image(landmarks, len(images))) for landmarks in images]
    shown = [pair for pair in opened if pair[1] is not None] or opened
    return [
        _as_layer(landmarks, layer, Path(path), visible=number == 0)
        for number, (landmarks, layer) in enumerate(shown)
        if landmarks.placed
    ]


def _is_our_header(start: str) -> bool:
    first = start.splitlines()[0] if start else ""
    columns = [column.strip().strip('"').lower() for column in first.split(",")]
    return set(CSV_HEADER) <= set(columns)


def _open_image(landmarks: Landmarks, images: int) -> Any | None:
    """Find the open image layer that landmarks belong to."""
    import napari
    from napari.layers import Image

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layers = [layer for layer in viewer.layers if isinstance(layer, Image)]
    wanted = landmarks.image
    names = [(layer, _names(layer)) for layer in layers]
    for matches in (
        [la for la, own in names if wanted in own],
        [la for la, own in names if Path(wanted).name in own],
        [la for la, own in names if Path(wanted).stem in {Path(n).stem for n in own}],
    ):
        if wanted and matches:
            return matches[-1]
    # Slicer's own files do not say what image they are about.
    if not wanted and images == 1 and len(layers) == 1:
        return layers[0]
    return None


def _names(layer: Any) -> set[str]:
    source = layer.source.path
    return {layer.name} | ({Path(source).name} if source else set())


def _as_layer(
    landmarks: Landmarks, image: Any, path: Path, visible: bool
) -> LayerTuple:
    import numpy as np

    from napari_oneshot_lmk.widgets import points, words
    from napari_oneshot_lmk.widgets.layers import transform_of

    geometry = landmarks.geometry
    data = np.array([p.position_yx for p in landmarks.placed], dtype=float)
    if image is not None:
        data = np.hstack([np.zeros((len(data), image.ndim - 2)), data])
        transform = transform_of(image)
        shape = image.data.shape[:2] if image.rgb else image.data.shape[-2:]
    else:
        transform = {}
        shape = (1 + data.max(axis=0)).astype(int)
    if geometry is not None:
        shape = geometry.image_shape_yx
        if image is None and geometry.spacing_mm_yx is not None:
            transform = {"scale": geometry.spacing_mm_yx, "units": ("mm", "mm")}
    size = points.point_size((int(shape[-2]), int(shape[-1])))
    detected = any(p.score is not None for p in landmarks)
    if detected:
        look = points.found_look(landmarks, data, size)
        title = words.FOUND_LAYER
    else:
        labels = [p.name for p in landmarks.placed]
        look = points.annotation_look(landmarks, data, labels, size)
        title = words.ANNOTATION_LAYER
    data = look.pop("data")
    name = title.format(image=landmarks.image or path.name)
    return data, {**look, **transform, "name": name, "visible": visible}, "points"
