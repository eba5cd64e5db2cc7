"""What only SimpleITK reads, and where ITK, with which 3D Slicer reads, sees an image's pixels."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.image import SpacingSource

_READERS = {
    **dict.fromkeys((".gipl", ".gipl.gz"), "GiplImageIO"),
    **dict.fromkeys((".jp2", ".j2k"), "JPEG2000ImageIO"),
    **dict.fromkeys((".mrc", ".rec"), "MRCImageIO"),
    **{".mnc": "MINCImageIO", ".pic": "BioRadImageIO"},
    **{".spr": "StimulateImageIO", ".vtk": "VTKImageIO"},
}
"""By the end of the name: asking ITK which of its readers knows a file makes some print."""
# Readers of plain images. Of NIfTI and NRRD Slicer takes the same orientation and
# spacing as we do, and reads the latter without ITK.
_PLAIN_READERS = ("GDCMImageIO", "TIFFImageIO", "PNGImageIO", "JPEGImageIO", "BMPImageIO")


@contextmanager
def _without_warnings() -> Iterator[None]:
    switch = SimpleITK.ProcessObject
    was_on = switch.GetGlobalWarningDisplay()
    switch.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        if was_on:
            switch.GlobalWarningDisplayOn()


@contextmanager
def _locale_kept() -> Iterator[None]:
    """Undo what ITK's reader of VTK files does: it leaves the whole process in the C locale."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)


silence_itk_warnings = base.SharedContext(_without_warnings)


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one plane of a file that no other module knows, such as GIPL, MRC or VTK."""
    name = path.name.lower()
    image_io = next((io for suffix, io in _READERS.items() if name.endswith(suffix)), "")
    if not image_io:
        raise base.NotAnImageError("is not an image that can be read")
    with silence_itk_warnings, _locale_kept():
        return read_with(path, image_io, slice_index, SpacingSource.HEADER)


def read_with(
    path: Path, image_io: str, slice_index: int | None, source: SpacingSource | None
) -> base.ImagePlane:
    """Read one plane with the reader that ITK calls ``image_io``, whatever the file's name.

    ``source`` is None where the file states no spacing.
    """
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size = reader.GetSize()
    plane = base.choose_plane(size, slice_index)
    shape = [size[plane.row_axis], size[plane.column_axis]]
    base.check_size(*shape[::-1])
    extract = [n if plane.along(axis) == slice(None) else 1 for axis, n in enumerate(size)]
    if tuple(extract) != tuple(size):
        reader.SetExtractIndex(plane.index)
        reader.SetExtractSize(extract)
    image = reader.Execute()
    components = image.GetNumberOfComponentsPerPixel()
    # All other axes have length 1, so the order of pixels stays.
    values: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    values = values.reshape([*shape, components] if components > 1 else shape)
    affine = base.affine_lps(reader.GetDirection(), reader.GetSpacing(), reader.GetOrigin())
    return base.ImagePlane(values, base.plane_geometry(affine, plane, source).without_default())


def itk_geometry(path: str | Path) -> Geometry | None:
    """Return the grid, spacing and position of a plain image as ITK reads its header.

    They may differ from what `read_image` says: of a projection radiograph (CR, DX, MG,
    …) ITK takes ImagerPixelSpacing and never PixelSpacing, and it has 1 mm where it knows
    of no spacing. ITK itself is asked, so that the rule is that of the installed version.
    None for a volume, for formats that both read alike, and where ITK cannot read the file.
    """
    reader = SimpleITK.ImageFileReader()
    with silence_itk_warnings:
        try:
            if reader.GetImageIOFromFileName(str(path)) not in _PLAIN_READERS:
                return None
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
        except RuntimeError:
            return None
    columns, rows, *others = reader.GetSize()
    if any(size != 1 for size in others):
        return None
    count = reader.GetDimension()
    axes, origin = np.eye(3), np.zeros(3)
    axes[:count, :count] = np.reshape(reader.GetDirection(), (count, count))[:3, :3]
    origin[:count] = reader.GetOrigin()
    column_mm, row_mm = reader.GetSpacing()[:2]
    x, y, z = origin
    try:
        return Geometry(
            (rows, columns), (row_mm, column_mm), (x, y, z), tuple(axes[:, 1]), tuple(axes[:, 0])
        )
    except GeometryError:
        return None


def is_default_spacing(geometry: Geometry) -> bool:
    """Say whether a spacing is the one that ITK has where it knows of none."""
    return geometry.spacing_mm_yx == (1.0, 1.0)


def same_places(first: Geometry, second: Geometry) -> bool:
    """Say whether two geometries put the corners of an image at the same positions.

    To a hundredth of a pixel, which headers in single precision reach.
    """
    if first.image_shape_yx != second.image_shape_yx:
        return False
    if first.spacing_mm_yx is None or second.spacing_mm_yx is None:
        return first.spacing_mm_yx == second.spacing_mm_yx
    rows, columns = first.image_shape_yx
    corners_yx = [(0, 0), (rows, 0), (0, columns)]
    offsets = first.points_to_lps(corners_yx) - second.points_to_lps(corners_yx)
    return bool(np.abs(offsets).max() <= 0.01 * min(first.spacing_mm_yx))
