"""Computed radiographs as DICOM files, the same bytes on every machine.

Explicit VR little endian (DICOM PS3.5, chapter 7 and annex A.2), no library:
those stamp dates, versions and new identifiers into what they write, and ITK
writes every grey image as MONOCHROME2.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DATE, TIME = "20260101", "120000"

Tag = tuple[int, int]


@dataclass(frozen=True)
class DicomStyle:
    """How a radiograph is stored.

    Parameters
    ----------
    bits : int
        Bits stored, 8 to 16; two bytes are kept for each pixel.
    inverted : bool
        MONOCHROME1: large values are dark.
    patient_spacing : bool
        Whether PixelSpacing is there beside ImagerPixelSpacing.
    """

    bits: int = 12
    inverted: bool = False
    patient_spacing: bool = True


def dicom_bytes(
    levels: NDArray[np.floating],
    spacing_mm_yx: tuple[float, float],
    name: str,
    anatomy: str,
    style: DicomStyle,
) -> bytes:
    """Encode (H, W) grey levels 0..1, bright is large."""
    largest = 2**style.bits - 1
    values = np.rint(np.clip(levels, 0, 1) * largest)
    values = largest - values if style.inverted else values
    spacing = "\\".join(f"{mm:g}" for mm in spacing_mm_yx)
    instance = _uid(name)
    elements: dict[Tag, tuple[str, str | int | bytes]] = {
        (0x0008, 0x0005): ("CS", "ISO_IR 100"),
        (0x0008, 0x0008): ("CS", "DERIVED\\SECONDARY"),
        (0x0008, 0x0016): ("UI", COMPUTED_RADIOGRAPHY),
        (0x0008, 0x0018): ("UI", instance),
        (0x0008, 0x0020): ("DA", DATE),
        (0x0008, 0x0030): ("TM", TIME),
        (0x0008, 0x0050): ("SH", ""),
        (0x0008, 0x0060): ("CS", "CR"),
        (0x0008, 0x0070): ("LO", "napari-oneshot-lmk"),
        (0x0008, 0x0090): ("PN", ""),
        (0x0008, 0x103E): ("LO", "Synthetic phantom"),
        (0x0010, 0x0010): ("PN", f"Phantom^{name}"),
        (0x0010, 0x0020): ("LO", name),
        (0x0010, 0x0030): ("DA", ""),
        (0x0010, 0x0040): ("CS", "O"),
        (0x0018, 0x0015): ("CS", anatomy.upper()),
        (0x0018, 0x1164): ("DS", spacing),
        (0x0018, 0x5101): ("CS", "LL" if anatomy == "skull" else "PA"),
        (0x0020, 0x000D): ("UI", _uid(f"study of {name}")),
        (0x0020, 0x000E): ("UI", _uid(f"series of {name}")),
        (0x0020, 0x0010): ("SH", "1"),
        (0x0020, 0x0011): ("IS", "1"),
        (0x0020, 0x0013): ("IS", "1"),
        (0x0028, 0x0002): ("US", 1),
        (0x0028, 0x0004): ("CS", f"MONOCHROME{1 if style.inverted else 2}"),
        (0x0028, 0x0010): ("US", values.shape[0]),
        (0x0028, 0x0011): ("US", values.shape[1]),
        (0x0028, 0x0100): ("US", 16),
        (0x0028, 0x0101): ("US", style.bits),
        (0x0028, 0x0102): ("US", style.bits - 1),
        (0x0028, 0x0103): ("US", 0),
        (0x0028, 0x1050): ("DS", f"{(largest + 1) // 2}"),
        (0x0028, 0x1051): ("DS", f"{largest + 1}"),
        (0x7FE0, 0x0010): ("OW", values.astype("<u2").tobytes()),
    }
    if style.patient_spacing:
        elements[(0x0028, 0x0030)] = ("DS", spacing)
    meta = b"".join(
        _element(tag, vr, value)
        for tag, vr, value in (
            ((0x0002, 0x0001), "OB", b"\x00\x01"),
            ((0x0002, 0x0002), "UI", COMPUTED_RADIOGRAPHY),
            ((0x0002, 0x0003), "UI", instance),
            ((0x0002, 0x0010), "UI", EXPLICIT_LITTLE_ENDIAN),
            ((0x0002, 0x0012), "UI", _uid("napari-oneshot-lmk phantoms")),
        )
    )
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    body = b"".join(_element(tag, *elements[tag]) for tag in sorted(elements))
    return bytes(128) + b"DICM" + length + meta + body


def _element(tag: Tag, vr: str, value: str | int | bytes) -> bytes:
    """Encode one element; values are padded to an even length."""
    if isinstance(value, int):
        content = struct.pack("<H", value)
    elif isinstance(value, str):
        content = value.encode("latin-1")
        content += (b"\0" if vr == "UI" else b" ") * (len(content) % 2)
    else:
        content = value + b"\0" * (len(value) % 2)
    start = struct.pack("<HH2s", *tag, vr.encode())
    if vr in ("OB", "OW"):
        return start + struct.pack("<HI", 0, len(content)) + content
    return start + struct.pack("<H", len(content)) + content


def _uid(name: str) -> str:
    """Return an identifier that depends on the name only (PS3.5, annex B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'napari-oneshot-lmk/{name}').int}"
