"""Readers of image formats, one module each: which one reads which kind of file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.base import StoredPlane

FORMATS = {
    FileKind.DICOM: "dicom",
    FileKind.PNG: "png",
    FileKind.JPEG: "jpeg",
    FileKind.BMP: "bmp",
    FileKind.TIFF: "tiff",
    FileKind.NIFTI: "nifti",
    FileKind.NRRD: "nrrd",
    FileKind.META: "meta_image",
    FileKind.UNKNOWN: "itk",
}
"""The module in this folder that reads a kind; each has a function ``read``."""


def read_plane(path: Path, kind: FileKind, slice_index: int | None) -> StoredPlane:
    """Read one plane of a file through the library that is kept for its format.

    The libraries are imported here: whoever reads PNG files never loads ITK.

    Parameters
    ----------
    path : Path
        The file.
    kind : FileKind
        What it is.
    slice_index : int, optional
        Slice or frame, from 0.

    Raises
    ------
    ImageError
        If it is of a kind that cannot be read, or a volume while no slice is chosen.
    Exception
        Whatever the library raises of a damaged file.
    """
    module = import_module(f"{__name__}.{FORMATS[kind]}")
    plane: StoredPlane = module.read(path, slice_index)
    return plane
