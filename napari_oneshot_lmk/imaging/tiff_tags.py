"""Pixel spacing in TIFF files that state one: those of ImageJ and OME.

The bare resolution tags are not used. Scanners and graphics programs write
72, 96 or 300 dots per inch there whatever was scanned, for printing.
Layout of the file: TIFF 6.0, section 2.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from napari_oneshot_lmk.imaging.length_units import mm_per_unit

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION = 270, 282, 283
_ASCII, _RATIONAL = 2, 5


def tiff_spacing_mm_yx(path: Path) -> tuple[float, float] | None:
    """Return the (row, column) spacing that a TIFF file states in a length unit.

    None where it states none, or one that cannot be understood.
    """
    tags = _first_page(path)
    description = str(tags.get(_DESCRIPTION, ""))
    if "<OME" in description:
        return _ome(description)
    if description.startswith("ImageJ="):
        unit = re.search(r"^unit=(.+)$", description, re.M)
        mm = mm_per_unit(unit[1]) if unit else None
        x, y = tags.get(_X_RESOLUTION), tags.get(_Y_RESOLUTION)
        if mm and isinstance(x, float) and isinstance(y, float) and x > 0 and y > 0:
            return mm / y, mm / x
    return None


def _ome(description: str) -> tuple[float, float] | None:
    spacing = []
    for axis in "YX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', description)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', description)
        # OME's default unit is the micrometre.
        mm = mm_per_unit(unit[1] if unit else "um")
        try:
            spacing.append(float(size[1]) * mm if size and mm else 0.0)
        except ValueError:
            return None
    return (spacing[0], spacing[1]) if min(spacing) > 0 else None


def _first_page(path: Path) -> dict[int, str | float]:
    """Return description and resolution of the first page, classic or BigTIFF."""
    data = path.read_bytes()
    order = "<" if data[:2] == b"II" else ">"
    tags: dict[int, str | float] = {}
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        big = version == 43
        at, count, entry, inline = (8, "Q", 20, 8) if big else (4, "H", 12, 4)
        offset = "Q" if big else "I"
        (at,) = struct.unpack_from(f"{order}{offset}", data, at)
        (entries,) = struct.unpack_from(f"{order}{count}", data, at)
        at += struct.calcsize(f"{order}{count}")
        for start in range(at, at + entries * entry, entry):
            tag, kind, number = struct.unpack_from(f"{order}HH{offset}", data, start)
            place = start + entry - inline
            size = number * {_ASCII: 1, _RATIONAL: 8}.get(kind, 0)
            if size > inline:
                (place,) = struct.unpack_from(f"{order}{offset}", data, place)
            if tag == _DESCRIPTION and kind == _ASCII:
                text = data[place : place + number].partition(b"\0")[0]
                tags[tag] = text.decode("utf-8", "replace")
            elif tag in (_X_RESOLUTION, _Y_RESOLUTION) and kind == _RATIONAL:
                above, below = struct.unpack_from(f"{order}II", data, place)
                tags[tag] = above / below if below else 0.0
    except struct.error:
        # A damaged file; the reader of the pixels says so.
        return {}
    return tags
