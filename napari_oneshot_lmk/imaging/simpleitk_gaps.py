"""Where SimpleITK loses something that an image file holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.nifti_header import HEADER_BYTES, NiftiHeader, opened
from napari_oneshot_lmk.imaging.stated_geometry import Plane
from napari_oneshot_lmk.imaging.tiff_page import TiffPage


def with_tiff_tags(path: Path, image: SimpleITK.Image) -> SimpleITK.Image:
    """Invert where white is zero; refuse what ITK would cut down to 8 bits."""
    page = TiffPage.read(path)
    one_channel = image.GetNumberOfComponentsPerPixel() == 1
    if not one_channel and page.bits > 8 and "8-bit" in image.GetPixelIDTypeAsString():
        raise ImageError(
            f"{page.bits}-bit TIFF files in tiles or planes cannot be read",
            file=path,
            remedy="save it in strips, or as PNG",
        )
    # Where ITK makes colours of it, it has seen to this already.
    if one_channel and page.white_is_zero and page.bits in (8, 16):
        return (2**page.bits - 1) - image
    return image


def nifti_holds_nan(path: Path, plane: Plane) -> bool:
    """Look at the file itself: ITK turns NaN into 0 in NIfTI, and only there."""
    header = NiftiHeader.read(path)
    if header is None or not header.is_float:
        return False
    with opened(path) as file:
        values = header.float_pixels(file.read())
    at: list[int | slice] = [0] * values.ndim
    for axis, index in enumerate(plane.index):
        in_plane = axis in (plane.column_axis, plane.row_axis)
        at[values.ndim - 1 - axis] = slice(None) if in_plane else index
    return not np.isfinite(values[tuple(at)]).all()


def read_flat_nifti(path: Path, reader: SimpleITK.ImageFileReader) -> SimpleITK.Image:
    """Read a 2-D NIfTI image even where ITK cannot hold its orientation.

    ITK keeps a 2 x 2 part of the axes and refuses a singular one; the pixels
    are then read from a copy that states no orientation.
    """
    direction = np.reshape(reader.GetDirection(), (2, 2))
    header = NiftiHeader.read(path)
    if header is None or abs(np.linalg.det(direction)) > 0.1:
        return reader.Execute()
    with opened(path) as file:
        data = file.read()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "flat.nii")
        copy.write_bytes(header.without_orientation() + data[HEADER_BYTES:])
        return SimpleITK.ReadImage(str(copy))
