"""What an image file is by its first bytes, whatever its name says."""

from __future__ import annotations

import gzip
import zlib
from enum import StrEnum
from pathlib import Path


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
    (b"NRRD", FileKind.NRRD),
    (b"ObjectType", FileKind.META),
    (b"NDims", FileKind.META),
)

IMAGE_SUFFIXES = (
    ".dcm",
    ".dicom",
    ".ima",
    ".png",
    ".jpg",
    ".jpeg",
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
        head = file.read(352)
    if head[128:132] == b"DICM":
        return FileKind.DICOM
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                head = file.read(352)
        except (OSError, EOFError, zlib.error):
            # Of the formats here only NIfTI is packed as a whole.
            return FileKind.NIFTI
    if head[344:348] in (b"n+1\x00", b"ni1\x00") or head[4:8] == b"n+2\x00":
        return FileKind.NIFTI
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    return FileKind.UNKNOWN


def has_image_suffix(path: Path) -> bool:
    """Say whether the name ends like that of an image."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)
