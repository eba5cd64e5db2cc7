"""MetaImage (.mha, .mhd), through SimpleITK.

ITK's reader of this format takes what a damaged stream leaves in memory for pixels,
and says so past Python at most. So the header's few fields that tell how many bytes
belong to the picture are looked at first, and its stream is unpacked once to see that
they are there.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.itk import read_with
from napari_oneshot_lmk.imaging.quiet import itk_quiet
from napari_oneshot_lmk.imaging.spacing_source import SpacingSource
from napari_oneshot_lmk.imaging.stored_plane import StoredPlane, check_size

_BYTES = {
    **{"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4},
    **{"LONG": 4, "ULONG": 4, "LONG_LONG": 8, "ULONG_LONG": 8},
    **{"FLOAT": 4, "DOUBLE": 8},
}
_LARGEST_HEADER = 1 << 16
_CHUNK = 1 << 20
_LINE = re.compile(rb"[^\n]*\n")


@dataclass(frozen=True)
class _Header:
    """Fields as text, and where the header ends."""

    fields: dict[str, str]
    end: int

    def truth(self, name: str) -> bool:
        return self.fields.get(name, "False").lower()[:1] in ("t", "1", "y")


def read(path: Path, slice_index: int | None) -> StoredPlane:
    """Read one plane of a MetaImage file, or of a header with the pixels beside it.

    Raises
    ------
    ImageError
        If it is cut short or damaged, or the file with the pixels is missing.
    ValueError, RuntimeError
        If its header makes no sense.
    """
    header = _read_header(path)
    _check_fields(header)
    _check_pixels(path, header)
    source = None
    if "ElementSpacing" in header.fields:
        source = SpacingSource.META_SPACING
    elif "ElementSize" in header.fields:
        source = SpacingSource.META_SIZE
    with itk_quiet():
        return read_with(path, "MetaImageIO", slice_index, FileKind.META, source)


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
    dimensions = int(fields["NDims"])
    size = [int(n) for n in fields["DimSize"].split()]
    if len(size) != dimensions:
        raise ValueError("the header states two numbers of dimensions")
    check_size(*size)
    for name, count in (
        ("ElementSpacing", dimensions),
        ("ElementSize", dimensions),
        ("Offset", dimensions),
        ("Position", dimensions),
        ("Origin", dimensions),
        ("TransformMatrix", dimensions**2),
        ("Rotation", dimensions**2),
        ("Orientation", dimensions**2),
    ):
        if name not in fields:
            continue
        numbers = np.array([float(n) for n in fields[name].split()])
        if numbers.size != count or not np.isfinite(numbers).all():
            raise ValueError(f"{name} is not {count} numbers")
    if fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY") not in _BYTES:
        raise ImageError(
            f"MetaImage files of the type {fields['ElementType']} cannot be read",
            remedy="save it with 8 or 16 bits",
        )


def _check_pixels(path: Path, header: _Header) -> None:
    """Raise where the bytes that the header promises are not there.

    Raises
    ------
    ImageError
        If the file with them is missing, cut short or damaged.
    """
    fields = header.fields
    data_file = fields["ElementDataFile"]
    at = header.end
    if data_file.upper() != "LOCAL":
        if data_file.startswith("LIST") or "%" in data_file:
            return
        path, at = path.parent / data_file, 0
        if not path.is_file():
            raise ImageError(
                "the file that holds the pixels is missing",
                file=path,
                remedy="keep it beside its .mhd file",
            )
    if fields.get("BinaryData", "True").lower()[:1] == "f":
        return
    element = fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
    channels = int(fields.get("ElementNumberOfChannels", 1))
    values = math.prod(int(n) for n in fields["DimSize"].split()) * channels
    needed = values * _BYTES[element]
    if header.truth("CompressedData"):
        stated = fields.get("CompressedDataSize")
        whole = _unpacks_to(path, at, needed, None if stated is None else int(stated))
    else:
        skipped = int(fields.get("HeaderSize", 0))
        whole = skipped < 0 or path.stat().st_size >= max(at, skipped) + needed
    if not whole:
        raise ImageError(
            "the pixels are cut short or damaged",
            file=path,
            remedy="copy or export it again",
        )


def _unpacks_to(path: Path, at: int, needed: int, stated: int | None) -> bool:
    """Say whether a stream is whole and gives so many bytes; nothing is kept of it."""
    if stated is not None and path.stat().st_size < at + stated:
        return False
    unpacker: Any = zlib.decompressobj(zlib.MAX_WBITS | 32)
    unpacked = 0
    with path.open("rb") as file:
        file.seek(at)
        try:
            while not unpacker.eof and (chunk := file.read(_CHUNK)):
                while chunk:
                    unpacked += len(unpacker.decompress(chunk, _CHUNK))
                    chunk = unpacker.unconsumed_tail
        except zlib.error:
            return False
    return bool(unpacker.eof) and unpacked >= needed
