"""Eight-bit grey PNG files without spacing, the same bytes on every machine.

Written here because image libraries add what they know (a scale, a date) and
choose row filters by version.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

AVERAGE = 3
"""PNG's row filter that subtracts the mean of the pixels above and to the left."""


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) grey levels."""
    height, width = pixels.shape
    grey = np.pad(pixels.astype(np.uint16), ((1, 0), (1, 0)))
    mean = (grey[:-1, 1:] + grey[1:, :-1]) // 2
    rows = np.full((height, width + 1), AVERAGE, dtype=np.uint8)
    rows[:, 1:] = pixels - mean.astype(np.uint8)  # modulo 256, as it must be
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
