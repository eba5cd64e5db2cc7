"""What SimpleITK reads best: the other formats that it knows, by their endings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import GeometryError, ImageError, OneshotError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.base import (
    GridPlane,
    StatedGeometry,
    StoredPlane,
    check_size,
    choose_plane,
    geometry_of_plane,
)
from napari_oneshot_lmk.imaging.image import SpacingSource
from napari_oneshot_lmk.imaging.quiet import itk_quiet

_BY_ENDING = {
    ".gipl": "GiplImageIO",
    ".gipl.gz": "GiplImageIO",
    ".jp2": "JPEG2000ImageIO",
    ".j2k": "JPEG2000ImageIO",
    ".mnc": "MINCImageIO",
    ".mrc": "MRCImageIO",
    ".rec": "MRCImageIO",
    ".pic": "BioRadImageIO",
    ".spr": "StimulateImageIO",
    ".vtk": "VTKImageIO",
}
"""Asking ITK which of its readers knows a file makes some of them print."""


def read(path: Path, slice_index: int | None) -> StoredPlane:
    """Read one plane of a file that no other module knows, such as GIPL, MRC or VTK.

    Raises
    ------
    ImageError
        If ITK does not know it either.
    RuntimeError
        If it is damaged.
    """
    name = path.name.lower()
    image_io = next((io for end, io in _BY_ENDING.items() if name.endswith(end)), "")
    if not image_io:
        raise ImageError(
            "is not an image that can be read",
            remedy="use DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG or BMP",
        )
    with itk_quiet():
        return read_with(path, image_io, slice_index, FileKind.UNKNOWN, SpacingSource.HEADER)


def read_with(
    path: Path, image_io: str, slice_index: int | None, kind: FileKind, source: SpacingSource | None
) -> StoredPlane:
    """Read one plane with one of ITK's readers, whatever the file's name.

    Parameters
    ----------
    path : Path
        The file.
    image_io : str
        ITK's name of the reader.
    slice_index : int, optional
        From 0.
    kind : FileKind
        What the file is.
    source : SpacingSource, optional
        What states the spacing; None where the file does not.

    Raises
    ------
    ImageError
        If it is a volume and no slice is chosen.
    RuntimeError
        If ITK cannot read it.
    """
    reader, plane = _opened(path, image_io, slice_index)
    size = reader.GetSize()
    extract = [1] * len(size)
    for axis in (plane.column_axis, plane.row_axis):
        extract[axis] = size[axis]
    if tuple(extract) != tuple(size):
        reader.SetExtractIndex(plane.index)
        reader.SetExtractSize(extract)
    image = reader.Execute()
    components = image.GetNumberOfComponentsPerPixel()
    shape_yx = size[plane.row_axis], size[plane.column_axis]
    values: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    # All other axes have length 1, so the order of pixels stays.
    values = values.reshape(*shape_yx, components) if components > 1 else (values.reshape(shape_yx))
    return StoredPlane(values, _stated(reader, plane, source), kind)


def header_with(
    path: Path, image_io: str, slice_index: int | None, source: SpacingSource | None
) -> tuple[tuple[int, ...], GridPlane, StatedGeometry]:
    """Read the header alone, as `read_with`.

    Returns
    -------
    size_xyz, plane, geometry
        Of the grid, of the chosen plane in it, and where that lies.
    """
    reader, plane = _opened(path, image_io, slice_index)
    return tuple(reader.GetSize()), plane, _stated(reader, plane, source)


def _opened(
    path: Path, image_io: str, slice_index: int | None
) -> tuple[SimpleITK.ImageFileReader, GridPlane]:
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size = reader.GetSize()
    plane = choose_plane(size, slice_index)
    check_size(size[plane.column_axis], size[plane.row_axis])
    return reader, plane


def _stated(
    reader: SimpleITK.ImageFileReader, plane: GridPlane, source: SpacingSource | None
) -> StatedGeometry:
    return geometry_of_plane(_affine(reader), plane, source).without_default()


def _affine(reader: SimpleITK.ImageFileReader) -> NDArray[np.float64]:
    count = reader.GetDimension()
    affine = np.zeros((max(count, 3), count + 1))
    affine[:count, :count] = np.reshape(reader.GetDirection(), (count, count))
    affine[:count, :count] *= np.array(reader.GetSpacing())
    affine[:count, count] = reader.GetOrigin()
    return affine[:3]


# ITK's readers of flat pictures. Of NIfTI and NRRD Slicer takes the same orientation
# and spacing as we do, and reads the latter without ITK.
_ASKED = ("GDCMImageIO", "TIFFImageIO", "PNGImageIO", "JPEGImageIO", "BMPImageIO")
_NO_STATEMENT = (1.0, 1.0)


def itk_geometry(path: str | Path) -> Geometry | None:
    """Return the grid, spacing and place of a picture as ITK reads its header.

    They may differ from what :func:`~napari_oneshot_lmk.imaging.reader.read_image`
    says: of a projection radiograph (CR, DX, MG, …) ITK takes ImagerPixelSpacing and
    never PixelSpacing, and it has 1 mm where it knows of no spacing. ITK itself is
    asked, so that the rule is that of the installed version.

    Parameters
    ----------
    path : str or Path
        The image file.

    Returns
    -------
    Geometry or None
        None for a volume, for formats that both read alike, and where ITK cannot
        read the file.
    """
    import SimpleITK

    from napari_oneshot_lmk.imaging.quiet import itk_quiet

    reader = SimpleITK.ImageFileReader()
    with itk_quiet():
        try:
            if reader.GetImageIOFromFileName(str(path)) not in _ASKED:
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
    spacing = reader.GetSpacing()
    try:
        return Geometry(
            (rows, columns),
            (spacing[1], spacing[0]),
            (origin[0], origin[1], origin[2]),
            tuple(axes[:, 1]),
            tuple(axes[:, 0]),
        )
    except GeometryError:
        return None


def states_spacing(path: Path) -> bool:
    """Say whether the image file itself states what we take for its spacing.

    Only needed where ITK knows of none; the image is read for it.
    """
    from napari_oneshot_lmk.imaging.reader import read_image

    try:
        return read_image(path).geometry.spacing_mm_yx is not None
    except OneshotError:
        return False


def is_default_spacing(geometry: Geometry) -> bool:
    """Say whether a spacing is the one that ITK has where it knows of none."""
    return geometry.spacing_mm_yx == _NO_STATEMENT


def same_places(first: Geometry, second: Geometry) -> bool:
    """Say whether two geometries put the corners of an image at the same places.

    To a hundredth of a pixel, which headers in single precision reach.
    """
    if first.image_shape_yx != second.image_shape_yx:
        return False
    if first.spacing_mm_yx is None or second.spacing_mm_yx is None:
        return first.spacing_mm_yx == second.spacing_mm_yx
    rows, columns = first.image_shape_yx
    corners_yx = [(0, 0), (rows, 0), (0, columns)]
    apart = first.points_to_lps(corners_yx) - second.points_to_lps(corners_yx)
    return bool(np.abs(apart).max() <= 0.01 * min(first.spacing_mm_yx))
