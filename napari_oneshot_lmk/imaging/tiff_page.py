"""The first page of a TIFF file: what the reading library does not pass on.

Layout of the file and numbers of the tags: TIFF 6.0, sections 2 and 8; BigTIFF
differs in the width of its offsets.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from napari_oneshot_lmk.imaging.length_units import mm_per_unit

_BITS, _PHOTOMETRIC, _DESCRIPTION = 258, 262, 270
_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_STRIPS, _TILES = (273, 279), (324, 325)
_WANTED = {
    _BITS,
    _PHOTOMETRIC,
    _DESCRIPTION,
    _X_RESOLUTION,
    _Y_RESOLUTION,
    *_STRIPS,
    *_TILES,
}
# Codes of the types of values: text, 16, 32 and 64 bits, fractions.
_ASCII = 2
_CODES = {_ASCII: "s", 3: "H", 4: "I", 5: "II", 16: "Q"}
# Bytes of one value of each type, the 18 of BigTIFF; 0 where there is none.
_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)


@dataclass(frozen=True)
class TiffPage:
    """Tags of the first page.

    Parameters
    ----------
    tags : dict
        Number of the tag -> its values; text is one ``bytes``.
    """

    tags: dict[int, tuple[Any, ...]]

    @classmethod
    def read(cls, path: Path) -> TiffPage:
        """Read the tags of a TIFF or BigTIFF file.

        Raises
        ------
        struct.error, ValueError
            If the file ends before they do.
        """
        file_size = path.stat().st_size
        with path.open("rb") as file:
            order = "<" if file.read(2) == b"II" else ">"
            (version,) = _unpack(file, f"{order}H", 2)
            big = version == 43
            offset, count, size = ("Q", "Q", 8) if big else ("I", "H", 4)
            (at,) = _unpack(file, f"{order}{offset}", 8 if big else 4)
            (entries,) = _unpack(file, f"{order}{count}", at)
            at += struct.calcsize(f"{order}{count}")
            tags = {}
            for _ in range(entries):
                tag, kind, number = _unpack(file, f"{order}HH{offset}", at)
                place = at + 4 + size
                at = place + size
                needed = number * (_BYTES[kind] if kind < len(_BYTES) else 0)
                if needed > size:
                    (place,) = _unpack(file, f"{order}{offset}", place)
                if place + needed > file_size:
                    raise ValueError(f"tag {tag} lies behind the end of the file")
                if tag in _WANTED and kind == _ASCII:
                    tags[tag] = _unpack(file, f"{order}{number}s", place)
                elif tag in _WANTED and kind in _CODES:
                    tags[tag] = _unpack(file, order + _CODES[kind] * number, place)
        return cls(tags)

    @property
    def bits(self) -> int:
        """Bits of one value of a pixel."""
        return int(self.tags.get(_BITS, (1,))[0])

    @property
    def white_is_zero(self) -> bool:
        """Larger values are darker, as in DICOM's MONOCHROME1."""
        return bool(self.tags.get(_PHOTOMETRIC, (1,))[0] == 0)

    @property
    def end(self) -> int:
        """Offset at which the last strip or tile of the page ends."""
        ends = [
            offset + size
            for offsets, sizes in (_STRIPS, _TILES)
            for offset, size in zip(
                self.tags.get(offsets, ()), self.tags.get(sizes, ()), strict=False
            )
        ]
        return max(ends, default=0)

    @property
    def spacing_mm_yx(self) -> tuple[float, float] | None:
        """Spacing that ImageJ or OME wrote with a unit of length.

        The bare resolution is not used: scanners and graphics programs write 72,
        96 or 300 dots per inch there whatever was scanned, for printing.
        """
        text = self.tags.get(_DESCRIPTION, (b"",))[0].partition(b"\0")[0]
        description = text.decode("utf-8", "replace")
        if "<OME" in description:
            return _ome_spacing(description)
        unit = re.search(r"^unit=(.+)$", description, re.M)
        mm = mm_per_unit(unit[1]) if unit else None
        x = self.tags.get(_X_RESOLUTION, (0, 1))
        y = self.tags.get(_Y_RESOLUTION, (0, 1))
        if not description.startswith("ImageJ=") or mm is None or 0 in (*x, *y):
            return None
        return mm * y[1] / y[0], mm * x[1] / x[0]


def _unpack(file: BinaryIO, code: str, at: int) -> tuple[Any, ...]:
    file.seek(at)
    return struct.unpack(code, file.read(struct.calcsize(code)))


def _ome_spacing(description: str) -> tuple[float, float] | None:
    spacing = []
    for axis in "YX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', description)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', description)
        # OME's default unit is the micrometre.
        mm = mm_per_unit(unit[1] if unit else "um")
        if size is None or mm is None:
            return None
        try:
            spacing.append(float(size[1]) * mm)
        except ValueError:
            return None
    return spacing[0], spacing[1]
