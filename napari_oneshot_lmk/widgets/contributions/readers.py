"""Landmark files as points layers, on the image that they are about."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import napari
from napari.layers import Image
from napari.utils.notifications import show_warning

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging import reader
from napari_oneshot_lmk.imaging.formats import is_image_name
from napari_oneshot_lmk.landmarks.files import holds_landmarks, read_landmarks
from napari_oneshot_lmk.landmarks.image_names import image_key, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points, style
from napari_oneshot_lmk.widgets.layers.image_view import (
    ImageView,
    scale_of,
    slice_of_name,
    spacing_of,
    transform_of,
)
from napari_oneshot_lmk.widgets.qt.off_window import off_window

LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, attributes and type of a napari layer."""

OPENED_BY_NAPARI = (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff")
"""Extensions of images that napari's own reader opens unchanged."""

_SPELLINGS = (image_key, lambda name: PurePosixPath(image_key(name)).name, stem)
"""Ways to compare two names of images, from the strictest to the loosest."""


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """Return a reader for a single file that holds landmarks, else None; never raises.

    Other programs' files have the same extensions, so the content decides.
    """
    return read if isinstance(path, str) and holds_landmarks(path) else None


def read(path: str) -> list[LayerTuple]:
    """Read a landmark file, one points layer per image.

    A layer lies on its image where that is open. Of a file about many images,
    only those that are open are shown; all of them where none is. The image of a
    file about one is opened with it where it lies beside the file.

    An `OneshotError` says if the file is damaged; napari shows the message.
    """
    file = Path(path)
    images = read_landmarks(
        file,
        geometry_of=partial(_geometry_of, beside=file),
        source_of=partial(_file_of, beside=file),
        tell=show_warning,
    )
    if any(landmarks.curves for landmarks in images):
        show_warning(texts.CURVES_LEFT.format(path=file))
    alone = len(images) == 1
    opened = [(la, _find_open_image(la.image, file, alone)) for la in images]
    if alone and opened[0][1] is None and (image := image_beside(images[0].image, file)):
        opened = [(images[0], show_image(image))]
    shown = [pair for pair in opened if pair[1] is not None] or opened
    return [
        _as_layer(landmarks, target, file, visible=number == 0)
        for number, (landmarks, target) in enumerate(shown)
        if landmarks.placed
    ]


def _as_layer(
    landmarks: Landmarks, target: ImageView | None, path: Path, visible: bool
) -> LayerTuple:
    data, transform = points.placed_yx(landmarks), scale_of(landmarks.geometry)
    if target is not None:
        data, transform = target.to_layer(data), transform_of(target.layer)
    look = style.landmark_style(landmarks, data)
    if target is not None and _is_unambiguous(target, landmarks.image, path):
        about = look["metadata"][points.METADATA]
        about[points.IMAGE_LAYER] = target.layer_id
    result = any(p.follows_detection for p in landmarks)
    title = texts.FOUND_LAYER if result else texts.ANNOTATION_LAYER
    name = title.format(image=landmarks.image or path.name)
    return look.pop("data"), {**look, **transform, "name": name, "visible": visible}, "points"


def _image_layers() -> list[Image]:
    viewer = napari.current_viewer()
    return [] if viewer is None else [la for la in viewer.layers if isinstance(la, Image)]


def _find_open_image(image: str, beside: Path, alone: bool = True) -> ImageView | None:
    """Find the open image of a name in the landmark file ``beside``.

    ``alone``: the file is about this image only.
    """
    layers = _image_layers()
    wanted, index = slice_of_name(image)
    if index and any(image in _names(layer) for layer in layers):
        # "film [1]" is also what napari calls the second layer that is named "film".
        wanted, index = image, ()
    fitting = [la for la in layers if la.ndim - 2 == len(index) or not index]
    # Of images with the same name, the one in the same folder.
    file = image_beside(wanted, beside)
    same = [la for la in fitting if _is_from(la, file)]
    for spelling in _SPELLINGS if wanted else ():
        same = same or [la for la in fitting if spelling(wanted) in map(spelling, _names(la))]
    if same:
        return ImageView(same[-1], index or (0,) * (same[-1].ndim - 2))
    # Slicer's own files do not say what image they are about.
    if not wanted and alone and len(layers) == 1 and layers[0].ndim == 2:
        return ImageView(layers[0])
    return None


def _is_unambiguous(target: ImageView, image: str, beside: Path) -> bool:
    """Say whether no other open image has the name that the landmark file has."""
    wanted, _ = slice_of_name(image)
    if _is_from(target.layer, image_beside(wanted, beside)):
        return True
    return sum(bool({image, wanted} & _names(layer)) for layer in _image_layers()) < 2


def image_beside(image: str, path: Path) -> Path | None:
    """Return the image file of that name in or below the folder of a landmark file.

    Without an extension, as Slicer and the ISBI challenge name theirs, it is the only
    image there of that name.
    """

    def is_image(file: Path) -> bool:
        return is_image_name(file) and file.is_file() and not holds_landmarks(file)

    name = PurePosixPath(image.replace("\\", "/"))
    inside = not name.is_absolute() and ".." not in name.parts
    for place in (name, name.name) if inside else (name.name,):
        if is_image(path.parent / place):
            return path.parent / place
    if not name.name or is_image_name(Path(name.name)):
        return None
    found = path.parent.glob(f"{glob.escape(name.name)}.*")
    fitting = [f for f in found if f.name.partition(".")[0] == name.name and is_image(f)]
    return fitting[0] if len(fitting) == 1 else None


def show_image(file: Path) -> ImageView | None:
    """Open an image file: a plain image as napari does, others with this plugin's reader.

    napari's own reader would take all DICOM files in the folder for a stack, and
    knows neither their spacing nor that MONOCHROME1 is inverted.
    """
    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layers: list[Any] = []
    if file.name.lower().endswith(OPENED_BY_NAPARI):
        # A layer that napari opens knows its file, which autosave goes by.
        with suppress(Exception):
            layers = viewer.open(file, plugin="napari")
    if not layers:
        try:
            image = off_window(reader.read_image, file)
        except OneshotError as error:
            show_warning(str(error))
            return None
        scale = scale_of(image.geometry)
        layers = [viewer.add_image(image.pixels, name=file.name, colormap="gray", **scale)]
    images = [layer for layer in layers if isinstance(layer, Image) and layer.ndim == 2]
    return ImageView(images[0]) if images else None


def _geometry_of(image: str, beside: Path) -> Geometry | None:
    """Return the geometry of the image of a landmark file, None where it is unknown.

    That of the file goes before that of the layer, which knows nothing of where
    the image lies in the patient.
    """
    file = _file_of(image, beside)
    if file is not None:
        # A stack, or damaged: the layer has to do.
        with suppress(OneshotError):
            return off_window(reader.read_image, file).geometry
    target = _find_open_image(image, beside)
    return Geometry(target.shape_yx, spacing_of(target.layer).mm_yx) if target else None


def _file_of(image: str, beside: Path) -> Path | None:
    """Return the file of the image of a landmark file: open, or in its folder."""
    target = _find_open_image(image, beside)
    return (target and target.path) or image_beside(image, beside)


def _names(layer: Any) -> set[str]:
    """Return what an image is called: its file, and its layer."""
    source = layer.source.path
    return {layer.name} | ({Path(source).name} if source else set())


def _is_from(layer: Any, file: Path | None) -> bool:
    """Say whether a layer was opened from a file."""
    try:
        return bool(file and layer.source.path and file.samefile(layer.source.path))
    except OSError:
        return False
