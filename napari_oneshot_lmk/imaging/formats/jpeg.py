"""JPEG, through Pillow."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import ExifTags
from PIL.JpegImagePlugin import JpegImageFile

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.base import (
    StatedGeometry,
    StoredPlane,
    choose_slice,
    orientation_notes,
    values_of,
)

_SMALLEST = 8
_DAMAGE = re.compile(r"corrupt|premature|truncat|bogus|not enough|huffman", re.I)
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_PRECISION = re.compile(r"precision (\d+)")
_UNSUPPORTED = re.compile(r"unsupported|not implemented|not supported", re.I)


def check_jpeg(data: bytes) -> None:
    """Decode a JPEG at an eighth of its size, as strictly as libjpeg can.

    Raises
    ------
    ImageError
        If it is cut short or damaged, or of a kind that is not read.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_factor=_SMALLEST, strict=True)
    except ValueError as error:
        words = str(error)
        precision = _PRECISION.search(words)
        if precision:
            raise ImageError(
                f"JPEG files of {precision[1]} bits a pixel, or lossless ones, cannot be read",
                remedy="save it as a 16-bit PNG or TIFF, or as DICOM",
            ) from error
        if _UNSUPPORTED.search(words):
            raise ImageError(
                f"JPEG files of this kind cannot be read ({words})", remedy="save it as PNG"
            ) from error
        if not _DAMAGE.search(words) or _is_padding(words, data):
            return
        raise ImageError(
            "the JPEG picture is cut short or damaged", remedy="copy or export it again"
        ) from error


def _is_padding(words: str, data: bytes) -> bool:
    """Say whether zeros in front of the end are all that is odd, as cameras write."""
    count = _EXTRANEOUS.search(words)
    if count is None:
        return False
    end = data.rfind(b"\xff\xd9")
    return not any(data[end - int(count[1]) : end])


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
