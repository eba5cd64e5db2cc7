"""Whether an image file is all there.

The reading library fills what is missing from a JPEG, BMP or packed NIfTI file
with grey or zeros, and complains of others on the terminal, past Python. A
radiograph whose lower half is grey gives landmarks that look like any others.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.grey_alpha_png import png_chunks
from napari_oneshot_lmk.imaging.nifti_header import NiftiHeader, is_gzip
from napari_oneshot_lmk.imaging.tiff_page import TiffPage

_COPY_AGAIN = "copy or export it again"

_META_BYTES = {
    "CHAR": 1,
    "UCHAR": 1,
    "SHORT": 2,
    "USHORT": 2,
    "INT": 4,
    "UINT": 4,
    "LONG": 4,
    "ULONG": 4,
    "LONG_LONG": 8,
    "ULONG_LONG": 8,
    "FLOAT": 4,
    "DOUBLE": 8,
}


def check_complete(path: Path, kind: FileKind) -> None:
    """Raise where a file ends before its image does.

    Formats whose reader notices by itself are not looked at.

    Raises
    ------
    ImageError
        If the file is empty or cut short.
    """
    if path.stat().st_size == 0:
        raise ImageError("the file is empty", file=path, remedy=_COPY_AGAIN)
    check = _CHECKS.get(kind)
    try:
        complete = check is None or check(path)
    except (ValueError, struct.error) as error:
        raise ImageError(
            f"the {kind} file is cut short or damaged", file=path, remedy=_COPY_AGAIN
        ) from error
    if not complete:
        raise ImageError("the file is cut short", file=path, remedy=_COPY_AGAIN)


def _jpeg_is_complete(path: Path) -> bool:
    """Look for the end marker behind the start of the picture itself.

    An embedded preview has an end marker of its own, so the segments before
    the picture (ITU T.81, B.1.1.4) are stepped over first.
    """
    data = path.read_bytes()
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
        if marker == 0xDA:
            # Within the coded picture 0xFF is never followed by 0xD9.
            return data.find(b"\xff\xd9", at) >= 0
    return False


def _png_is_complete(path: Path) -> bool:
    return all(True for _ in png_chunks(path.read_bytes()))


def _tiff_is_complete(path: Path) -> bool:
    return path.stat().st_size >= TiffPage.read(path).end


def _bmp_is_complete(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(34)
    if len(head) < 34:
        return False
    (stated_size,) = struct.unpack_from("<I", head, 2)
    (pixels_at,) = struct.unpack_from("<I", head, 10)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    if compression in (0, 3):
        row_bytes = (abs(width) * bits + 31) // 32 * 4
        stated_size = pixels_at + row_bytes * abs(height)
    return bool(path.stat().st_size >= stated_size)


def _nifti_is_complete(path: Path) -> bool:
    header = NiftiHeader.read(path)
    if header is None or not header.holds_pixels:
        return True
    expected = header.pixels_at + header.pixel_bytes
    if not is_gzip(path):
        return path.stat().st_size >= expected
    with path.open("rb") as file:
        file.seek(-4, 2)
        (stated,) = struct.unpack("<I", file.read(4))
    if stated == expected % 2**32:
        return True
    # Files of several members, or with something behind the pixels, are rare:
    # only they, and those cut short, are unpacked twice.
    unpacked = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(1 << 20):
                unpacked += len(chunk)
    except (EOFError, OSError, zlib.error):
        return False
    return unpacked >= expected


def _meta_is_complete(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    fields: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", at)
        key, equals, value = head[at:end].decode("latin-1").partition("=")
        if end < 0 or not equals:
            return False
        fields[key.strip()] = value.strip()
        at = end + 1
    if not {"DimSize", "ElementType"} <= fields.keys():
        raise ValueError("the header lacks the size or the type of pixels")
    data_file = fields["ElementDataFile"]
    if data_file != "LOCAL":
        if data_file.startswith("LIST") or "%" in data_file:
            return True
        path, at = path.parent / data_file, 0
        if not path.is_file():
            raise ImageError(
                "the file that holds the pixels is missing",
                file=path,
                remedy="keep it beside its .mhd file",
            )
    if fields.get("CompressedData", "False").lower() == "true":
        needed = int(fields.get("CompressedDataSize", 0))
    else:
        element = fields["ElementType"].removeprefix("MET_")
        values = math.prod(int(n) for n in fields["DimSize"].split())
        channels = int(fields.get("ElementNumberOfChannels", 1))
        needed = values * channels * _META_BYTES.get(element.removesuffix("_ARRAY"), 0)
    return bool(path.stat().st_size - at >= needed)


_CHECKS: dict[FileKind, Callable[[Path], bool]] = {
    FileKind.JPEG: _jpeg_is_complete,
    FileKind.PNG: _png_is_complete,
    FileKind.TIFF: _tiff_is_complete,
    FileKind.BMP: _bmp_is_complete,
    FileKind.NIFTI: _nifti_is_complete,
    FileKind.META: _meta_is_complete,
}
