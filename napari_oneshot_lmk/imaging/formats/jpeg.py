"""JPEG, through Pillow, and whether a JPEG stream is whole.

libjpeg fills what is missing with grey, on which landmarks are found, too, and only warns.
simplejpeg passes its warnings on; Pillow and imagecodecs do not.
"""

from __future__ import annotations

import re
from pathlib import Path

from PIL import ExifTags
from PIL.JpegImagePlugin import JpegImageFile

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import base

_DAMAGE = re.compile(r"corrupt|premature|truncat|bogus|not enough|huffman", re.I)
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_PRECISION = re.compile(r"precision (\d+)")
_UNSUPPORTED = re.compile(r"unsupported|not implemented|not supported", re.I)


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read a JPEG file, in the order of rows and columns in which it is stored."""
    base.choose_slice(1, slice_index)
    check_jpeg(path.read_bytes())
    with JpegImageFile(path) as image:
        values = base.pillow_values(image)
        return base.ImagePlane(values, notes=base.orientation_notes(_orientation(image)))


def _orientation(image: JpegImageFile) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        # Cameras write EXIF that no library reads; it says nothing of the pixels.
        return None


def check_jpeg(data: bytes) -> None:
    """Decode a JPEG at an eighth of its size, as strictly as libjpeg can.

    Raises
    ------
    ImageError
        If it is cut short or damaged, or of a kind that is not read.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_factor=8, strict=True)
    except ValueError as error:
        message = str(error)
        precision = _PRECISION.search(message)
        if precision:
            raise ImageError(
                f"JPEG files of {precision[1]} bits a pixel, or lossless ones, cannot be read",
                remedy="save it as a 16-bit PNG or TIFF, or as DICOM",
            ) from error
        if _UNSUPPORTED.search(message):
            raise ImageError(
                f"JPEG files of this kind cannot be read ({message})", remedy="save it as PNG"
            ) from error
        if _DAMAGE.search(message) and not _is_padding(message, data):
            raise base.damaged("the JPEG image is") from error


def _is_padding(message: str, data: bytes) -> bool:
    """Say whether zeros in front of the end are all that is odd, as cameras write."""
    count, end = _EXTRANEOUS.search(message), data.rfind(b"\xff\xd9")
    return count is not None and not any(data[end - int(count[1]) : end])
