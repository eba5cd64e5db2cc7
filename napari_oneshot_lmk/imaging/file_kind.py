"""What an image file is by its first bytes, whatever its name says."""

from __future__ import annotations

import gzip
import re
import zlib
from enum import StrEnum
from pathlib import Path
from typing import Literal


class FileKind(StrEnum):
    """File formats that are told apart."""

    DICOM = "DICOM"
    PNG = "PNG"
    JPEG = "JPEG"
    BMP = "BMP"
    TIFF = "TIFF"
    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META = "MetaImage"
    UNKNOWN = "unknown"


_STARTS = (
    (b"\x89PNG\r\n\x1a\n", FileKind.PNG),
    (b"\xff\xd8\xff", FileKind.JPEG),
    (b"BM", FileKind.BMP),
    (b"II*\x00", FileKind.TIFF),
    (b"MM\x00*", FileKind.TIFF),
    (b"II+\x00", FileKind.TIFF),
    (b"MM\x00+", FileKind.TIFF),
    (b"NRRD0", FileKind.NRRD),
)
# Fields that a MetaImage header may begin with; its order is free.
_META = re.compile(
    rb"\s*(ObjectType|ObjectSubType|NDims|Name|ID|Comment|DimSize|TransformMatrix"
    rb"|Offset|Position|Origin|Orientation|Rotation|CenterOfRotation"
    rb"|AnatomicalOrientation|BinaryData|BinaryDataByteOrderMSB|ElementByteOrderMSB"
    rb"|CompressedData|CompressedDataSize|Modality|HeaderSize|ElementSpacing"
    rb"|ElementSize|ElementType|ElementNumberOfChannels|AcquisitionDate)[ \t]*="
)
# Value representations of the first element in a DICOM file without its mark.
_VR = re.compile(rb"(UL|UI|OB|SH|CS|DA|TM|LO|US)")
_NIFTI_MAGIC = (b"n+1\x00", b"ni1\x00", b"n+2\x00", b"ni2\x00")
HEAD_BYTES = 352

IMAGE_SUFFIXES = (
    ".dcm",
    ".dicom",
    ".ima",
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".bmp",
    ".tif",
    ".tiff",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
)
"""File name endings that are looked for in folders, lower case."""


def file_kind(path: Path) -> FileKind:
    """Say which format a file has; UNKNOWN leaves it to the reading library.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[128:132] == b"DICM":
        return FileKind.DICOM
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                head = file.read(HEAD_BYTES)
        except (OSError, EOFError, zlib.error):
            # Of the formats here only NIfTI is packed as a whole.
            return FileKind.NIFTI
        return FileKind.NIFTI if _is_nifti(head) else FileKind.UNKNOWN
    if _is_nifti(head):
        return FileKind.NIFTI
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if _META.match(head):
        return FileKind.META
    return FileKind.DICOM if _is_bare_dicom(head) else FileKind.UNKNOWN


def _is_nifti(head: bytes) -> bool:
    if head[344:348] in _NIFTI_MAGIC or head[4:8] in _NIFTI_MAGIC:
        return True
    # Analyze 7.5, which NIfTI grew out of, has no magic: it begins with its length,
    # and says how many dimensions there are.
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    return len(head) >= 348 and any(
        int.from_bytes(head[:4], order) == 348 and 1 <= int.from_bytes(head[40:42], order) <= 7
        for order in orders
    )


def _is_bare_dicom(head: bytes) -> bool:
    """Say whether a file begins with a DICOM element, as old ones do."""
    little, big = head[:2] in (b"\x02\0", b"\x08\0"), head[:2] in (b"\0\x02", b"\0\x08")
    if not (little or big) or len(head) < 16:
        return False
    length = int.from_bytes(head[4:8], "little" if little else "big")
    return bool(_VR.match(head[4:6])) or (length % 2 == 0 and length <= 1024)


def header_beside(path: Path) -> Path | None:
    """Return the NIfTI or Analyze header of an ``.img`` file; None for other files."""
    name = path.name
    packed = ".gz" if name.lower().endswith(".gz") else ""
    whole = path.with_name(name.removesuffix(packed)) if packed else path
    if whole.suffix.lower() != ".img":
        return None
    for ending in (".hdr", ".hdr.gz", ".HDR"):
        header = whole.with_name(whole.stem + ending)
        if header.is_file() and file_kind(header) is FileKind.NIFTI:
            return header
    return None


def is_image_name(path: Path) -> bool:
    """Say whether the name ends like that of an image."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)
