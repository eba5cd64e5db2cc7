"""The header of a NIfTI-1 file, for what the reading library does not pass on.

A two-dimensional NIfTI image still lies in three-dimensional space; SimpleITK
keeps the upper left 2 x 2 part of its axes only, and refuses the image where
that part is singular, as for any sagittal one.
Field offsets: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_FLOATS = {16: "f4", 64: "f8"}
HEADER_BYTES = 348


def is_gzip(path: Path) -> bool:
    """Say whether a file is packed with gzip."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking it where it is packed."""
    file = gzip.open(path) if is_gzip(path) else path.open("rb")  # noqa: SIM115
    return cast(BinaryIO, file)


@dataclass(frozen=True)
class NiftiHeader:
    """A NIfTI-1 header.

    Parameters
    ----------
    raw : bytes
        The 348 bytes.
    order : str
        "<" or ">", the byte order.
    """

    raw: bytes
    order: str

    @classmethod
    def read(cls, path: Path) -> NiftiHeader | None:
        """Read the header of a ``.nii`` or ``.nii.gz`` file; None if it has none."""
        try:
            with opened(path) as file:
                raw = file.read(HEADER_BYTES)
        except (OSError, EOFError, zlib.error):
            return None
        for order in "<>":
            if len(raw) == HEADER_BYTES and cls(raw, order)._get("i", 0) == [348]:
                return cls(raw, order)
        return None

    def _get(self, code: str, at: int, count: int = 1) -> list[float]:
        return list(struct.unpack_from(f"{self.order}{count}{code}", self.raw, at))

    @property
    def holds_pixels(self) -> bool:
        """Pixels follow in the same file (not in an .img file beside it)."""
        return self.raw[344:348] == b"n+1\x00"

    @property
    def pixels_at(self) -> int:
        """Offset of the first pixel in the unpacked file."""
        return max(int(self._get("f", 108)[0]), HEADER_BYTES)

    @property
    def pixel_bytes(self) -> int:
        """Size of all pixels, unpacked."""
        dims = self._get("h", 40, 8)
        values = math.prod(int(n) for n in dims[1 : int(dims[0]) + 1])
        return (values * int(self._get("h", 72)[0]) + 7) // 8

    @property
    def is_float(self) -> bool:
        """Pixels are floating-point numbers of one channel, in the same file."""
        return self.holds_pixels and int(self._get("h", 70)[0]) in _FLOATS

    def float_pixels(self, data: bytes) -> NDArray[np.floating[Any]]:
        """Return the floating-point pixels of an unpacked file, slowest axis first."""
        code = _FLOATS[int(self._get("h", 70)[0])]
        dims = [int(n) for n in self._get("h", 40, 8)]
        shape = dims[dims[0] : 0 : -1]
        count = math.prod(shape)
        values = np.frombuffer(data, self.order + code, count, self.pixels_at)
        return values.reshape(shape)

    def affine_lps(self) -> NDArray[np.float64]:
        """Return the (4, 4) matrix from (i, j, k) to LPS millimetres.

        The sform where its code is set, else the qform, else the bare voxel
        sizes, as the standard and nibabel have it.
        """
        sizes = np.array(self._get("f", 80, 3))
        affine = np.eye(4)
        if self._get("h", 254)[0] > 0:
            affine[:3] = np.array(self._get("f", 280, 12)).reshape(3, 4)
        elif self._get("h", 252)[0] > 0:
            b, c, d = self._get("f", 256, 3)
            a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
            rotation = np.array(
                [
                    [
                        a * a + b * b - c * c - d * d,
                        2 * (b * c - a * d),
                        2 * (b * d + a * c),
                    ],
                    [
                        2 * (b * c + a * d),
                        a * a + c * c - b * b - d * d,
                        2 * (c * d - a * b),
                    ],
                    [
                        2 * (b * d - a * c),
                        2 * (c * d + a * b),
                        a * a + d * d - b * b - c * c,
                    ],
                ]
            )
            handedness = -1.0 if self._get("f", 76)[0] < 0 else 1.0
            affine[:3, :3] = rotation * sizes * np.array([1.0, 1.0, handedness])
            affine[:3, 3] = self._get("f", 268, 3)
        else:
            # Nobody said where it lies: keep the axes of the image as they are.
            return np.diag([*sizes, 1.0]) * self._mm_per_unit()
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine * self._mm_per_unit()

    def _mm_per_unit(self) -> float:
        return _MM_PER_UNIT.get(self.raw[123] & 7, 1.0)

    def without_orientation(self) -> bytes:
        """Return the header with neither sform nor qform."""
        return self.raw[:252] + bytes(4) + self.raw[256:]
