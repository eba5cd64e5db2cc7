"""PNG files of grey and alpha, which SimpleITK cannot read.

Their rows are packed byte by byte, without regard to what the bytes mean (PNG
specification, clause 9). So 8-bit grey and alpha can be read as 16-bit grey, and
16-bit grey and alpha as 8-bit RGBA, if only the header says so; the grey value
is then picked out of the result.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _GREY_ALPHA, _RGBA = 0, 4, 6


def is_grey_alpha(path: Path) -> bool:
    """Say whether a PNG file holds grey and alpha."""
    with path.open("rb") as file:
        return file.read(26)[25:] == bytes([_GREY_ALPHA])


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk up to the end of the picture.

    Raises
    ------
    ValueError
        If the file ends before, or a checksum is wrong.
    """
    at = len(_SIGNATURE)
    name = b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise ValueError("no end of the picture")
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if zlib.crc32(content, zlib.crc32(name)) != checksum:
            raise ValueError("wrong checksum")
        yield name, content
        at += 12 + length


def read_grey_alpha(path: Path) -> SimpleITK.Image:
    """Read the grey values of a PNG file of grey and alpha, 8 or 16 bit."""
    chunks = []
    bits = 8
    for name, content in png_chunks(path.read_bytes()):
        if name == b"IHDR":
            bits = content[8]
            as_if = (16, _GREY) if bits == 8 else (8, _RGBA)
            chunks.append((name, content[:8] + bytes(as_if) + content[10:]))
        elif name in (b"IDAT", b"IEND"):
            chunks.append((name, content))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "as_if.png")
        copy.write_bytes(_SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks))
        image = SimpleITK.ReadImage(str(copy))
    values: NDArray[np.uint16] = SimpleITK.GetArrayFromImage(image).astype(np.uint16)
    grey = values >> 8 if bits == 8 else values[..., 0] << 8 | values[..., 1]
    return SimpleITK.GetImageFromArray(grey)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    )
