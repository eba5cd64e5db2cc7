"""One image layer that shows the images of a project in turn.

napari takes several hundred milliseconds to remove a layer and to add another; to change what
a layer shows takes a few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets.layers.image_view import CONTENT, TRANSFORM, ImageView, scale_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_oneshot_lmk.imaging.image import GrayImage


@dataclass(frozen=True)
class DecodedImage:
    """An image, with what another thread can work out before it is shown."""

    image: GrayImage
    contrast_limits: tuple[float, float]
    """Its least and its greatest grey level."""

    @classmethod
    def of(cls, image: GrayImage) -> DecodedImage:
        """Work it out; for any thread."""
        low, high = float(np.nanmin(image.pixels)), float(np.nanmax(image.pixels))
        return cls(image, (low, high if high > low else low + 1.0))


def new_layer(decoded: DecodedImage, name: str, content: str) -> Image:
    """Make a layer that shows an image; ``content`` says which, see `ImageView.content`."""
    from napari.layers import Image

    return Image(
        decoded.image.pixels,
        name=name,
        contrast_limits=decoded.contrast_limits,
        metadata={CONTENT: content},
        **scale_of(decoded.image.geometry),
    )


def mark_layer(layer: Image, content: str) -> ImageView:
    """Say which image a layer is about to show, and return that image."""
    layer.metadata[CONTENT] = content
    return ImageView(layer)


def fill_layer(layer: Image, decoded: DecodedImage, name: str) -> None:
    """Let a layer show another image in place of the one that it shows.

    Where it lies is as in a new layer; colormap, gamma and opacity stay.
    """
    plain = {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    place_layer(layer, {**_upright(), **plain, **scale_of(decoded.image.geometry)})
    layer.data = decoded.image.pixels
    layer.contrast_limits_range = decoded.contrast_limits
    layer.contrast_limits = decoded.contrast_limits
    layer.name = name


def place_layer(layer: Any, transform: dict[str, Any]) -> None:
    """Set the parts of a layer's transform that differ from others, see `transform_of`."""
    for name in TRANSFORM:
        if name in transform and not _same(getattr(layer, name), transform[name]):
            setattr(layer, name, transform[name])


def _upright() -> dict[str, Any]:
    """Return the transform of a layer that nobody has moved or turned."""
    return {
        "translate": (0.0, 0.0),
        "rotate": np.eye(2),
        "shear": np.zeros(1),
        "affine": np.eye(3),
    }


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return tuple(map(str, one)) == tuple(map(str, other))
    first, second = (np.asarray(getattr(each, "affine_matrix", each)) for each in (one, other))
    return first.shape == second.shape and bool(np.array_equal(first, second))
