"""BMP, through Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.pillow import values_of
from napari_oneshot_lmk.imaging.stored_plane import (
    StatedGeometry,
    StoredPlane,
    choose_slice,
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
            values = values_of(picture)
    except OSError as error:
        if "nsupported BMP" not in str(error):
            raise
        raise ImageError(
            f"BMP files of this kind cannot be read ({error})", remedy="save it as PNG"
        ) from error
    return StoredPlane(values, StatedGeometry(), FileKind.BMP)
