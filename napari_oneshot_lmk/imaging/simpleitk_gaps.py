"""Where SimpleITK loses something that an image file holds."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.nifti_header import HEADER_BYTES, NiftiHeader, opened
from napari_oneshot_lmk.imaging.stated_geometry import Plane
from napari_oneshot_lmk.imaging.tiff_page import TiffPage


@contextmanager
def dicom_as_monochrome2(path: Path) -> Iterator[Path]:
    """Lend a copy of a MONOCHROME1 file that says MONOCHROME2.

    ITK inverts MONOCHROME1 by itself, but gives up on signed pixels of fewer
    bits than they are stored in.
    """
    data = path.read_bytes().replace(b"MONOCHROME1", b"MONOCHROME2", 1)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.dcm")
        copy.write_bytes(data)
        yield copy


def dicom_inverted(image: SimpleITK.Image) -> SimpleITK.Image:
    """Invert a DICOM image over the range of its stored bits, rescale kept."""

    def tag(key: str, default: float) -> float:
        return float(image.GetMetaData(key)) if image.HasMetaDataKey(key) else default

    bits, signed = int(tag("0028|0101", 16)), tag("0028|0103", 0) != 0
    lowest_and_highest = -1 if signed else 2**bits - 1
    slope, intercept = tag("0028|1053", 1), tag("0028|1052", 0)
    turn = slope * lowest_and_highest + 2 * intercept
    return turn - SimpleITK.Cast(image, SimpleITK.sitkFloat32)


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


@contextmanager
def nifti_without_orientation(path: Path) -> Iterator[Path]:
    """Lend a copy of a NIfTI file that states no orientation.

    ITK refuses to read any pixels where axes are not orthogonal, or where the
    2 x 2 part that it keeps of a flat image's axes is singular, as it is for
    every sagittal one.
    """
    header = NiftiHeader.read(path)
    try:
        with opened(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        # As SimpleITK puts it where it cannot read a file.
        raise RuntimeError(f"{path} cannot be unpacked") from error
    if header is not None:
        data = header.without_orientation() + data[HEADER_BYTES:]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.nii")
        copy.write_bytes(data)
        yield copy
