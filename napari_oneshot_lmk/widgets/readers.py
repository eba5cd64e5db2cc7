"""Landmark files as points layers: ``*.mrk.json``, and ``*.csv`` with our header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.widgets.layers import ImageTarget

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


def _open_image(landmarks: Landmarks, images: int) -> ImageTarget | None:
    """Find the open picture that landmarks belong to."""
    import napari
    from napari.layers import Image

    from napari_oneshot_lmk.widgets.layers import ImageTarget, slice_of_name

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layers = [layer for layer in viewer.layers if isinstance(layer, Image)]
    wanted, index = slice_of_name(landmarks.image)
    fitting = [la for la in layers if la.ndim - 2 == len(index) or not index]
    for key in (lambda n: n, lambda n: Path(n).name, lambda n: Path(n).stem):
        for layer in reversed(fitting):
            if wanted and key(wanted) in {key(name) for name in _names(layer)}:
                return ImageTarget(layer, index or (0,) * (layer.ndim - 2))
    # Slicer's own files do not say what image they are about.
    if not wanted and images == 1 and len(layers) == 1 and layers[0].ndim == 2:
        return ImageTarget(layers[0])
    return None


def _names(layer: Any) -> set[str]:
    """Return what an image is called: its file, and its layer."""
    source = layer.source.path
    return {layer.name} | ({Path(source).name} if source else set())


def _as_layer(
    landmarks: Landmarks, target: ImageTarget | None, path: Path, visible: bool
) -> LayerTuple:
    from napari_oneshot_lmk.widgets import looks, points, words
    from napari_oneshot_lmk.widgets.layers import transform_of

    geometry = landmarks.geometry
    data = points.placed_yx(landmarks)
    transform: dict[str, Any] = {}
    # Without an image, as large as the points reach.
    rows, columns = data.max(axis=0)
    shape = int(rows) + 1, int(columns) + 1
    if target is not None:
        data = target.to_layer(data)
        transform, shape = transform_of(target.layer), target.shape_yx
    elif geometry is not None:
        shape = geometry.image_shape_yx
        if geometry.spacing_mm_yx is not None:
            transform = {"scale": geometry.spacing_mm_yx, "units": ("mm", "mm")}
    size = looks.point_size(shape)
    if any(p.score is not None for p in landmarks):
        look = looks.found_look(landmarks, data, size)
        title = words.FOUND_LAYER
    else:
        labels = [p.name for p in landmarks.placed]
        look = looks.annotation_look(landmarks, data, labels, size)
        title = words.ANNOTATION_LAYER
    name = title.format(image=landmarks.image or path.name)
    data = look.pop("data")
    return data, {**look, **transform, "name": name, "visible": visible}, "points"
