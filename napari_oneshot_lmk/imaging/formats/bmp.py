"""BMP, through Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats.base import ImagePlane, choose_slice, pillow_values

_SIXTEEN_BITS = ("BGR;15", "BGR;16")


def read(path: Path, slice_index: int | None) -> ImagePlane:
    """Read a BMP file."""
    choose_slice(1, slice_index)
    try:
        with BmpImageFile(path) as image:
            if any(mode in str(tile.args) for tile in image.tile for mode in _SIXTEEN_BITS):
                # They have 32 grey values, too few to find landmarks on.
                raise ImageError(
                    "BMP files of 16 bits a pixel, which have 32 grey values only, cannot be read",
                    remedy="export it with 8 bits of grey, or as PNG",
                )
            return ImagePlane(pillow_values(image))
    except OSError as error:
        if "nsupported BMP" not in str(error):
            raise
        raise ImageError(
            f"BMP files of this kind cannot be read ({error})", remedy="save it as PNG"
        ) from error
