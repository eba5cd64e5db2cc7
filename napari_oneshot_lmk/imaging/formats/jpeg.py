"""JPEG, through Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags
from PIL.JpegImagePlugin import JpegImageFile

from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.jpeg_stream import check_jpeg
from napari_oneshot_lmk.imaging.formats.orientation import orientation_notes
from napari_oneshot_lmk.imaging.formats.pillow import values_of
from napari_oneshot_lmk.imaging.stored_plane import StatedGeometry, StoredPlane, choose_slice


def read(path: Path, slice_index: int | None) -> StoredPlane:
    """Read a JPEG file, in the order of rows and columns in which it is stored.

    Raises
    ------
    ImageError
        If it is cut short or damaged, or of 12 bits, or lossless.
    """
    choose_slice(1, slice_index)
    check_jpeg(path.read_bytes())
    with JpegImageFile(path) as picture:
        values = values_of(picture)
        notes = orientation_notes(_orientation(picture))
    return StoredPlane(values, StatedGeometry(), FileKind.JPEG, notes)


def _orientation(picture: JpegImageFile) -> object:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        # Cameras write EXIF that no library reads; it says nothing of the pixels.
        return None
