"""Eight-bit grey PNG files without spacing, the same bytes on every machine.

Written here because image libraries add what they know (a scale, a date) and
choose row filters by version.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

UP = 2
"""PNG's row filter that subtracts the row above."""


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) grey levels."""
    height, width = pixels.shape
    above = np.vstack([np.zeros((1, width), np.uint8), pixels[:-1]])
    rows = np.full((height, width + 1), UP, dtype=np.uint8)
    rows[:, 1:] = pixels - above  # modulo 256, as the format wants it
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
