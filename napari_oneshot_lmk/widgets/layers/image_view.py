"""From a napari image layer to an image, and points back onto the layer.

The layer may have a scale, or an affine matrix with negative diagonals, and may be RGB,
multiscale, or a stack of which one slice is shown. Only napari's public API is used.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, ImageError
from napari_oneshot_lmk.geometry import Geometry, checked_spacing
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.widgets import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari.layers import Image, Layer
    from numpy.typing import ArrayLike, NDArray

# ITU-R BT.601, what image libraries mean by "convert to grey".
LUMA_RGB = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LayerPixels:
    """Pixels of a layer, perhaps not loaded yet, with all that an image needs."""

    pixels: Any
    """(H, W), or (H, W, 3 or 4) where ``rgb``."""
    rgb: bool
    geometry: Geometry
    name: str
    path: Path | None = None

    def gray_image(self) -> GrayImage:
        """Load the pixels and convert them to grey; for any thread.

        An `ImageError` says if the image is empty, without contrast, or not made of numbers.
        """
        pixels = np.asarray(self.pixels)
        if self.rgb:
            # An alpha channel says nothing about the anatomy.
            pixels = pixels[..., :3].astype(np.float32) @ LUMA_RGB
        # A copy: the user may paint on the layer while the image is processed.
        grey = np.array(pixels, dtype=np.float32)
        return GrayImage(grey, self.geometry, self.name, self.path)


Key = tuple["Hashable", tuple[int, ...], str]
"""A layer's identity, the position of a slice in it, and which image it showed then."""

CONTENT = "napari-oneshot-lmk-image"
"""Key in an image layer's metadata: which image it shows, where one layer shows several."""


TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""What a points layer must share with its image to lie on it."""


@dataclass(frozen=True)
class Spacing:
    """A pixel spacing and how it is known."""

    mm_yx: tuple[float, float] | None = None
    """Millimetres per pixel, (row, column); None where unknown."""
    assumed: bool = False
    """Whether the layer has a scale without a unit, so that millimetres are only likely."""
    problem: str = ""
    """Why a spacing that the layer gives cannot be used."""


@dataclass(frozen=True, eq=False)
class ImageView:
    """One two-dimensional image in the viewer: a layer, or a slice of one.

    One layer shows the images of a project in turn. A view is of the image that the layer
    showed when the view was made: `is_shown_in` says whether it still does.
    """

    layer: Image
    slice_index: tuple[int, ...] = ()
    """Position along the axes before the last two; empty for a 2-D layer."""
    content: str = field(init=False)
    """Which of the images that the layer shows in turn; empty where it shows one only."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", content_of(self.layer))

    @property
    def key(self) -> Key:
        """Identity that does not change when the layer is renamed."""
        return self.layer.unique_id, self.slice_index, self.content

    @property
    def layer_id(self) -> str:
        """What a points layer notes of the image that it was put on."""
        return f"{self.layer.unique_id}{self.content}"

    def is_shown_in(self, viewer: Any) -> bool:
        """Say whether the layer is in the viewer, and shows this image."""
        return self.layer in viewer.layers and content_of(self.layer) == self.content

    def __eq__(self, other: object) -> bool:
        """Compare layer, slice and image."""
        return isinstance(other, ImageView) and self.key == other.key

    def __hash__(self) -> int:
        """Hash of the key."""
        return hash(self.key)

    @property
    def path(self) -> Path | None:
        """The file that the layer was opened from, if any."""
        source = self.layer.source.path
        return Path(source) if source else None

    @property
    def image_name(self) -> str:
        """Name for tables: the file's name, else the layer's, with the slice."""
        name = str(self.layer.name if self.path is None else self.path.name)
        return f"{name} [{' '.join(map(str, self.slice_index))}]" if self.slices > 1 else name

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = _full_resolution(self.layer).shape[self.layer.ndim - 2 :][:2]
        return int(rows), int(columns)

    @property
    def slices(self) -> int:
        """How many images the layer holds."""
        return int(np.prod(_stack_shape(self.layer), dtype=int))

    @property
    def slice_number(self) -> int:
        """Which of them this is, from 1."""
        if not self.slice_index:
            return 1
        return int(np.ravel_multi_index(self.slice_index, _stack_shape(self.layer))) + 1

    def contains(self, position_yx: ArrayLike) -> bool:
        """Say whether a (row, column) lies on the image."""
        return bool(np.all(Geometry(self.shape_yx).contains(position_yx)))

    def read_pixels(self, spacing_mm_yx: tuple[float, float] | None) -> LayerPixels:
        """Take what a worker needs, so that it never touches the layer.

        ``spacing_mm_yx`` is in millimetres per pixel, (row, column); None where unknown.
        """
        return LayerPixels(
            _full_resolution(self.layer)[self.slice_index],
            bool(self.layer.rgb),
            Geometry(self.shape_yx, spacing_mm_yx),
            self.image_name,
            self.path,
        )

    def to_layer(self, points_yx: ArrayLike) -> NDArray[np.float64]:
        """Map (N, 2) points of the image to (N, ndim) data coordinates."""
        points = np.asarray(points_yx, dtype=float).reshape(-1, 2)
        return np.hstack([np.tile(np.array(self.slice_index, float), (len(points), 1)), points])

    def from_layer(self, data: ArrayLike) -> NDArray[np.float64]:
        """Map (N, ndim) data coordinates to (N, 2) points of the image."""
        return np.atleast_2d(np.asarray(data, dtype=float))[:, -2:]


def content_of(layer: Image) -> str:
    """Return which image a layer shows, where it shows several in turn; else ""."""
    return str(layer.metadata.get(CONTENT, ""))


def target_of(layer: Image, viewer: Any) -> ImageView:
    """Return the image of a layer that the viewer shows.

    An `ImageError` says if the viewer shows it in 3-D or along other axes than rows and columns.
    """
    if layer.ndim < 2:
        raise ImageError(texts.NOT_A_PICTURE, file=layer.name)
    if layer.ndim == 2:
        return ImageView(layer)
    dims = viewer.dims
    if dims.ndisplay != 2:
        raise ImageError(texts.SHOWN_IN_3D, file=layer.name, remedy=texts.SHOW_IN_2D)
    if tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
        raise ImageError(texts.OTHER_AXES, file=layer.name, remedy=texts.SHOW_LAST_AXES)
    here = np.asarray(layer.world_to_data(dims.point))[: layer.ndim - 2]
    index = np.clip(np.round(here).astype(int), 0, np.array(_stack_shape(layer)) - 1)
    return ImageView(layer, tuple(int(i) for i in index))


def shown_images(viewer: Any) -> list[ImageView]:
    """Return the images of all image layers but those that `target_of` refuses."""
    from napari.layers import Image

    images = []
    for layer in viewer.layers:
        if isinstance(layer, Image):
            with suppress(ImageError):
                images.append(target_of(layer, viewer))
    return images


def slice_of_name(image_name: str) -> tuple[str, tuple[int, ...]]:
    """Split an `ImageView.image_name` into the layer's name and the slice, if any."""
    match = re.fullmatch(r"(.*) \[(\d+(?: \d+)*)\]", image_name)
    if match is None:
        return image_name, ()
    return match[1], tuple(int(number) for number in match[2].split())


def spacing_of(layer: Layer) -> Spacing:
    """Read the in-plane pixel spacing of a layer in millimetres.

    It is the length of the columns of the linear part of data -> world, which holds for
    a scale and for an affine matrix, flipped axes included. A layer in pixel units with
    a step of 1 has an unknown spacing, never 1 mm.
    """
    from pint import DimensionalityError

    steps, assumed = column_norms(layer)[-2:], False
    try:
        steps = steps * [_mm_per(unit) for unit in layer.units[-2:]]
    except DimensionalityError:
        assumed = True
        if np.allclose(steps, 1.0):
            return Spacing()
    try:
        return Spacing(checked_spacing(steps), assumed)
    except GeometryError as error:
        return Spacing(problem=str(error))


@lru_cache(maxsize=64)
def _mm_per(unit: Any) -> float:
    return float((1.0 * unit).to("mm").magnitude)


def column_norms(layer: Layer) -> NDArray[np.float64]:
    """Length in world units of one step along each data axis, (ndim,)."""
    _, steps = affine_parts(layer.data_to_world, layer.ndim)
    return np.array([np.linalg.norm(step) for step in steps])


def affine_parts(
    transform: Callable[[ArrayLike], Any], ndim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where a layer's affine ``data_to_world`` or inverse maps zero, (ndim,), and its steps.

    It maps (N, ndim) coordinates to ``coordinates @ steps + origin``; steps is (ndim, ndim).
    """
    origin = np.asarray(transform(np.zeros(ndim)))
    return origin, np.array([transform(axis) for axis in np.eye(ndim)]) - origin


def scale_of(geometry: Geometry | None) -> dict[str, Any]:
    """Return a layer's scale in millimetres; nothing where the spacing is unknown."""
    if geometry is None or geometry.spacing_mm_yx is None:
        return {}
    return {"scale": geometry.spacing_mm_yx, "units": ("mm", "mm")}


def transform_of(layer: Layer) -> dict[str, Any]:
    """Keyword arguments that put another layer onto this one."""
    return {name: getattr(layer, name) for name in TRANSFORM if hasattr(layer, name)}


def _full_resolution(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _stack_shape(layer: Image) -> tuple[int, ...]:
    return tuple(_full_resolution(layer).shape[: layer.ndim - 2])


class Spacings:
    """Spacings by image layer; all slices of a stack share one."""

    def __init__(self) -> None:
        self._given: dict[Hashable, Spacing] = {}

    def of(self, layer: Any) -> Spacing:
        """Return what the user gave for a layer, else the layer's own spacing."""
        return self._given.get(layer.unique_id) or spacing_of(layer)

    def give(self, layer: Any, mm_yx: tuple[float, float] | float | None) -> None:
        """Set a layer's spacing; None goes back to its own.

        A `GeometryError` says if it is zero, negative or absurd.
        """
        if mm_yx is None:
            self.forget(layer)
        else:
            self._given[layer.unique_id] = Spacing(checked_spacing(mm_yx))

    def give_that_of(self, layer: Any, geometry: Geometry | None) -> None:
        """Set the spacing that landmarks were made with, where it is known."""
        mm_yx = None if geometry is None else geometry.spacing_mm_yx
        if mm_yx is not None and mm_yx != self.of(layer).mm_yx:
            self.give(layer, mm_yx)

    def forget(self, layer: Any) -> None:
        """Drop what was given for a layer."""
        self._given.pop(layer.unique_id, None)
