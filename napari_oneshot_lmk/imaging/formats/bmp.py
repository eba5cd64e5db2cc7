"""BMP, through Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.base import (
    StatedGeometry,
    StoredPlane,
    choose_slice,
    values_of,
)


def read(path: Path, slice_index: int | None) -> StoredPlane:
    """Read a BMP file.

    Raises
    ------
    ImageError
        If its bits or its compression are of a kind that Pillow does not read.
    OSError, ValueError
        If it is cut short or damaged.
    """
    choose_slice(1, slice_index)
    try:
        with BmpImageFile(path) as picture:
            _check_bits(picture)
            values = values_of(picture)
    except OSError as error:
        if "nsupported BMP" not in str(error):
            raise
        raise ImageError(
            f"BMP files of this kind cannot be read ({error})", remedy="save it as PNG"
        ) from error
    return StoredPlane(values, StatedGeometry(), FileKind.BMP)


def _check_bits(picture: BmpImageFile) -> None:
    """Refuse 16 bits a pixel: 32 grey values are too few to find landmarks on."""
    modes = {str(part) for tile in picture.tile for part in _parts(tile.args)}
    if modes & {"BGR;15", "BGR;16"}:
        raise ImageError(
            "BMP files of 16 bits a pixel, which have 32 grey values only, cannot be read",
            remedy="export it with 8 bits of grey, or as PNG",
        )


def _parts(arguments: object) -> tuple[object, ...]:
    return arguments if isinstance(arguments, tuple) else (arguments,)
