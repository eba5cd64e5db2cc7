"""Where ITK, and with it 3D Slicer, sees the pixels of an image file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, OneshotError
from napari_oneshot_lmk.geometry import Geometry

# ITK's readers of flat pictures. Of NIfTI and NRRD Slicer takes the same orientation
# and spacing as we do, and reads the latter without ITK.
_ASKED = ("GDCMImageIO", "TIFFImageIO", "PNGImageIO", "JPEGImageIO", "BMPImageIO")
_NO_STATEMENT = (1.0, 1.0)


def itk_geometry(path: str | Path) -> Geometry | None:
    """Return the grid, spacing and place of a picture as ITK reads its header.

    They may differ from what :func:`~napari_oneshot_lmk.imaging.reader.read_radiograph`
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
    from napari_oneshot_lmk.imaging.reader import read_radiograph

    try:
        return read_radiograph(path).geometry.spacing_mm_yx is not None
    except OneshotError:
        return False


def is_itks_default(geometry: Geometry) -> bool:
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
