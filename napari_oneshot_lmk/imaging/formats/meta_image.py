"""MetaImage (.mha, .mhd), through NumPy and zlib; pixels in several files through SimpleITK.

ITK takes what a damaged stream leaves in memory for pixels, and prints on the terminal, past
Python, what it does not understand of a header. So it gets the few files only whose pixels
lie in several others.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.image import SpacingSource

_TYPES = {
    **{"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2"},
    **{"INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4"},
    **{"LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"},
}
_SINGLE = ("NDims", "CompressedDataSize", "HeaderSize", "ElementNumberOfChannels")
_SPACINGS = {"ElementSpacing": SpacingSource.META_SPACING, "ElementSize": SpacingSource.META_SIZE}
# Those that ITK prefers come first.
_ORIGINS = ("Origin", "Position", "Offset")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_NUMBERS = re.compile(rb"[-+.\deE\s]*")
_LARGEST_HEADER = 1 << 16

Fields = dict[str, bytes]


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one plane of a MetaImage file, or of a header with the pixels beside it."""
    fields, end = _read_header(path)
    numbers = _numbers(fields)
    size = [int(n) for n in fields["DimSize"].split()]
    channels = int(fields.get("ElementNumberOfChannels", 1))
    base.check_size(*size, channels)
    element = _element(fields)
    pixels = _pixel_file(path, fields, end)
    plane = base.choose_plane(size, slice_index)
    stated = _stated(numbers, plane)
    if pixels is None:
        return base.ImagePlane(_read_by_itk(path, slice_index), stated)
    shape = (*size[::-1], channels) if channels > 1 else tuple(size[::-1])
    values = _values(*pixels, fields, shape, element)
    return base.ImagePlane(np.array(plane.cut_from(values, channels)), stated)


def _read_by_itk(path: Path, slice_index: int | None) -> NDArray[Any]:
    from napari_oneshot_lmk.imaging.formats.itk import read_with, silence_itk_warnings

    with silence_itk_warnings:
        return read_with(path, "MetaImageIO", slice_index, None).values


def _read_header(path: Path) -> tuple[Fields, int]:
    """Return the fields, and where the header ends."""
    fields: Fields = {}
    with path.open("rb") as file:
        head = io.BytesIO(file.read(_LARGEST_HEADER))
    for line in head:
        name, equals, value = line.partition(b"=")
        if name.strip() and not equals:
            break
        fields[name.strip().decode("latin-1")] = value.strip()
        if name.strip() == b"ElementDataFile" and line.endswith(b"\n"):
            return fields, head.tell()
    raise ValueError("the header has no end")


def _numbers(fields: Fields) -> dict[str, NDArray[np.float64]]:
    """Return the fields that are numbers; ValueError where there are too few or many."""
    dimensions = int(fields["NDims"])
    counts = {
        **dict.fromkeys(_SINGLE, 1),
        **dict.fromkeys(("DimSize", *_SPACINGS, *_ORIGINS, "CenterOfRotation"), dimensions),
        **dict.fromkeys(_MATRICES, dimensions**2),
    }
    numbers = {}
    for name in counts.keys() & fields.keys():
        values = np.array([float(n) for n in fields[name].split()])
        is_plain = _NUMBERS.fullmatch(fields[name]) is not None and np.isfinite(values).all()
        if values.size != counts[name] or not is_plain:
            raise ValueError(f"{name} is not {counts[name]} numbers")
        numbers[name] = values
    return numbers


def _element(fields: Fields) -> np.dtype[Any]:
    """Return the type of one channel of a pixel."""
    name = base.as_text(fields["ElementType"]).removeprefix("MET_").removesuffix("_ARRAY")
    if name not in _TYPES:
        raise ImageError(
            f"MetaImage files of the type {name} cannot be read", remedy="save it with 8 or 16 bits"
        )
    msb_first = any(_is_true(fields, f"{n}ByteOrderMSB") for n in ("BinaryData", "Element"))
    return np.dtype(_TYPES[name]).newbyteorder(">" if msb_first else "<")


def _is_true(fields: Fields, name: str, default: bytes = b"False") -> bool:
    return fields.get(name, default).lower()[:1] in (b"t", b"1", b"y")


def _pixel_file(path: Path, fields: Fields, end: int) -> tuple[Path, int] | None:
    """Return the file of the pixels and their first byte; None for several files."""
    name = base.as_text(fields["ElementDataFile"])
    if name.upper() == "LOCAL":
        return path, end
    if name.startswith("LIST") or "%" in name:
        return None
    file = path.parent / name
    if not file.is_file():
        raise base.pixels_missing(file, "its .mhd file")
    return file, 0


def _stated(numbers: dict[str, NDArray[np.float64]], plane: base.GridPlane) -> base.StatedGeometry:
    count = numbers["DimSize"].size

    def first(names: Iterable[str], default: NDArray[np.float64]) -> NDArray[np.float64]:
        return next((numbers[name] for name in names if name in numbers), default)

    directions = first(_MATRICES, np.eye(count)).reshape(count, count).T
    spacing, origin = first(_SPACINGS, np.ones(count)), first(_ORIGINS, np.zeros(count))
    source = next((source for name, source in _SPACINGS.items() if name in numbers), None)
    affine = base.affine_lps(directions, spacing, origin)
    return base.plane_geometry(affine, plane, source).without_default()


def _values(
    path: Path, at: int, fields: Fields, shape: tuple[int, ...], element: np.dtype[Any]
) -> NDArray[Any]:
    """Return all pixels, slowest axis first; those that are not packed are mapped."""
    count = math.prod(shape)
    needed = count * element.itemsize
    skipped = int(fields.get("HeaderSize", 0))
    if _is_true(fields, "CompressedData"):
        return np.frombuffer(_decompressed(path, at, needed), element).reshape(shape)
    if not _is_true(fields, "BinaryData", b"True"):
        with path.open("rb") as file:
            file.seek(at)
            words = file.read().split()[:count]
        if len(words) < count:
            raise base.damaged("the pixels are", path)
        return np.array(words, float).astype(element).reshape(shape)
    size = path.stat().st_size
    if size < max(at, skipped) + needed:
        raise base.damaged("the pixels are", path)
    # ITK goes by these numbers even where they point into the header.
    begins = size - needed if skipped == -1 else skipped if skipped > 0 else at
    return np.memmap(path, element, "r", begins, shape)


def _decompressed(path: Path, at: int, needed: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    with path.open("rb") as file:
        file.seek(at)
        try:
            data = unpacker.decompress(file.read(), needed)
            # The checksum stands behind the last pixel.
            unpacker.decompress(unpacker.unconsumed_tail, 1)
        except zlib.error as error:
            raise base.damaged("the pixels are", path) from error
    if len(data) < needed or not unpacker.eof:
        raise base.damaged("the pixels are", path)
    return data
