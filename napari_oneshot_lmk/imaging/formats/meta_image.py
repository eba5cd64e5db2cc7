"""MetaImage (.mha, .mhd), through SimpleITK; compressed pixels through zlib.

ITK takes what a damaged stream leaves in memory for pixels, and says so past Python
at most. So the header's few fields that tell which bytes belong to the image are
looked at first, and a compressed stream is unpacked here.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats.base import (
    COPY_AGAIN,
    ImagePlane,
    check_size,
    pixels_missing,
)
from napari_oneshot_lmk.imaging.formats.itk import header_with, read_with, silence_itk_warnings
from napari_oneshot_lmk.imaging.image import SpacingSource

_TYPES = {
    **{"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2"},
    **{"INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4"},
    **{"LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"},
}
_SINGLE = ("CompressedDataSize", "HeaderSize", "ElementNumberOfChannels")
_PER_AXIS = (
    *("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"),
)
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_LARGEST_HEADER = 1 << 16
_LINE = re.compile(rb"[^\n]*\n")


@dataclass(frozen=True)
class _Header:
    """Fields as text, and where the header ends."""

    fields: dict[str, str]
    end: int

    def truth(self, name: str) -> bool:
        return self.fields.get(name, "False").lower()[:1] in ("t", "1", "y")

    @property
    def element(self) -> np.dtype[Any]:
        """Type of one channel of a pixel, as it lies in the file."""
        name = self.fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
        if name not in _TYPES:
            raise ImageError(
                f"MetaImage files of the type {name} cannot be read",
                remedy="save it with 8 or 16 bits",
            )
        largest_first = self.truth("BinaryDataByteOrderMSB") or self.truth("ElementByteOrderMSB")
        return np.dtype(_TYPES[name]).newbyteorder(">" if largest_first else "<")

    @property
    def channels(self) -> int:
        return int(self.fields.get("ElementNumberOfChannels", 1))

    @property
    def size_xyz(self) -> list[int]:
        return [int(n) for n in self.fields["DimSize"].split()]

    def pixel_file(self, path: Path) -> tuple[Path, int] | None:
        """Return the file of the pixels and their first byte; None for several files."""
        name = self.fields["ElementDataFile"]
        if name.upper() == "LOCAL":
            return path, self.end
        if name.startswith("LIST") or "%" in name:
            return None
        file = path.parent / name
        if not file.is_file():
            raise pixels_missing(file, "its .mhd file")
        return file, 0


def read(path: Path, slice_index: int | None) -> ImagePlane:
    """Read one plane of a MetaImage file, or of a header with the pixels beside it."""
    header = _read_header(path)
    _check_fields(header)
    source = None
    if "ElementSpacing" in header.fields:
        source = SpacingSource.META_SPACING
    elif "ElementSize" in header.fields:
        source = SpacingSource.META_SIZE
    pixels = header.pixel_file(path)
    if pixels is not None and header.truth("CompressedData"):
        with silence_itk_warnings:
            plane, stated = header_with(path, "MetaImageIO", slice_index, source)
        values = _decompress(*pixels, header)
        return ImagePlane(plane.cut_from(values, header.channels), stated)
    if pixels is not None:
        _check_length(*pixels, header)
    with silence_itk_warnings:
        return read_with(path, "MetaImageIO", slice_index, source)


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        head = file.read(_LARGEST_HEADER)
    fields: dict[str, str] = {}
    for line in _LINE.finditer(head):
        key, equals, value = line[0].decode("latin-1").partition("=")
        if not key.strip():
            continue
        if not equals:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return _Header(fields, line.end())
    raise ValueError("the header has no end")


def _check_fields(header: _Header) -> None:
    """Raise ValueError where ITK would complain on the terminal, or guess."""
    fields = header.fields
    dimensions, size = int(fields["NDims"]), header.size_xyz
    if len(size) != dimensions:
        raise ValueError("the header states two numbers of dimensions")
    check_size(*size, header.channels)
    if header.element.itemsize == 0:
        raise ValueError("the type has no size")
    counts = {
        **dict.fromkeys(_SINGLE, 1),
        **dict.fromkeys(_PER_AXIS, dimensions),
        **dict.fromkeys(_MATRICES, dimensions**2),
    }
    for name in counts.keys() & fields.keys():
        numbers = np.array([float(n) for n in fields[name].split()])
        if numbers.size != counts[name] or not np.isfinite(numbers).all():
            raise ValueError(f"{name} is not {counts[name]} numbers")


def _check_length(path: Path, at: int, header: _Header) -> None:
    """Raise an ImageError where the bytes that the header promises are not there."""
    values = math.prod(header.size_xyz) * header.channels
    if header.fields.get("BinaryData", "True").lower()[:1] == "f":
        with path.open("rb") as file:
            file.seek(at)
            whole = len(file.read().split()) >= values
    else:
        skipped = int(header.fields.get("HeaderSize", 0))
        begins = at if skipped < 0 else max(at, skipped)
        whole = path.stat().st_size >= begins + values * header.element.itemsize
    if not whole:
        raise _cut_short(path)


def _decompress(path: Path, at: int, header: _Header) -> NDArray[Any]:
    """Return all pixels of a compressed stream, (…, z, y, x) or with channels last."""
    shape = header.size_xyz[::-1]
    if header.channels > 1:
        shape = [*shape, header.channels]
    needed = math.prod(shape) * header.element.itemsize
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    with path.open("rb") as file:
        file.seek(at)
        try:
            data = unpacker.decompress(file.read(), needed)
            # The checksum stands behind the last pixel.
            unpacker.decompress(unpacker.unconsumed_tail, 1)
        except zlib.error as error:
            raise _cut_short(path) from error
    if len(data) < needed or not unpacker.eof:
        raise _cut_short(path)
    return np.frombuffer(data, header.element).reshape(shape)


def _cut_short(path: Path) -> ImageError:
    return ImageError("the pixels are cut short or damaged", file=path, remedy=COPY_AGAIN)
