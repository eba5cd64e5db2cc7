"""Patient positions of other programs on the plane of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import LandmarkError, SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry, Points
from napari_oneshot_lmk.landmarks.files.landmark_format import Known

# A point clicked in a slice view lies on the plane up to rounding.
_SAME_PLANE_MM = 1.0


def with_millimetres(geometry: Geometry | None) -> Geometry:
    """Return the geometry that a file of patient millimetres needs.

    Raises
    ------
    LandmarkError
        If there is none.
    SpacingUnknownError
        If it has no spacing.
    """
    if geometry is None:
        raise LandmarkError(
            "holds millimetres but not the grid of the image",
            remedy="open it together with its image (convert it with --image), or use a .csv file",
        )
    if geometry.spacing_mm_yx is None:
        raise SpacingUnknownError(
            "holds millimetres, but the pixel spacing of the image is unknown",
            remedy="give it (--spacing, or the field in the dock)",
        )
    return geometry


def plane_in_slicer(path: Path, image: str, lps_mm: Points, known: Known) -> Geometry:
    """Return the geometry in which 3D Slicer has counted the points of a file.

    Slicer reads images with ITK, which takes another spacing than we do of many DICOM
    radiographs, and 1 mm where a file states none. Where the image file is known ITK
    is asked.

    Parameters
    ----------
    path : Path
        The landmark file.
    image : str
        What it calls its image.
    lps_mm : ndarray, (N, 3)
        Its points.
    known : Known
        Is told what had to be supposed.

    Raises
    ------
    LandmarkError
        If neither geometry nor file of the image are known.
    SpacingUnknownError
        If its spacing is unknown.
    """
    own = known.geometry_of(image)
    source = known.source_of(image)
    if source is None:
        own = with_millimetres(own)
        known.tell(
            f"{path}: its millimetres are taken in the image's pixel spacing here "
            f"({_shown(own)}); 3D Slicer may count a DICOM film in another one, which "
            "is not checked because the image file is not named"
        )
        return own
    # SimpleITK takes a second to load, which tables do not need.
    from napari_oneshot_lmk.imaging.itk_geometry import (
        is_itks_default,
        itk_geometry,
        same_places,
        states_spacing,
    )

    seen = itk_geometry(source)
    if seen is None or (own and own.image_shape_yx != seen.image_shape_yx):
        return with_millimetres(own)
    if own is not None and same_places(own, seen):
        return own
    if is_itks_default(seen) and not states_spacing(source):
        given = with_millimetres(own)
        fits = given.contains(given.points_from_lps(lps_mm)).all()
        if fits or not seen.contains(seen.points_from_lps(lps_mm)).all():
            known.tell(
                f"{path}: its millimetres are taken in the pixel spacing that was "
                f"given ({_shown(given)}); 3D Slicer has 1 mm a pixel of "
                f"{source.name} unless it was told, too"
            )
            return given
    known.tell(
        f"{path}: its millimetres are taken in the pixel spacing that 3D Slicer has of "
        f"{source.name} ({_shown(seen)})"
    )
    return seen


def plane_for_slicer(geometry: Geometry, source: Path | None) -> Geometry:
    """Return the geometry in which 3D Slicer will see points on their image.

    Parameters
    ----------
    geometry : Geometry
        Of the image, as this program has it.
    source : Path, optional
        The image file.
    """
    if source is None:
        return geometry
    from napari_oneshot_lmk.imaging.itk_geometry import itk_geometry, same_places

    seen = itk_geometry(source)
    if seen is None or seen.image_shape_yx != geometry.image_shape_yx:
        return geometry
    return geometry if same_places(geometry, seen) else seen


def _shown(geometry: Geometry) -> str:
    assert geometry.spacing_mm_yx is not None  # as the callers know
    return "{:.6g} x {:.6g} mm".format(*geometry.spacing_mm_yx)


def on_image(name: str, lps_mm: Sequence[float], geometry: Geometry) -> tuple[float, float]:
    """Return the (row, column) of one patient position, (3,) LPS mm.

    Raises
    ------
    LandmarkError
        If it lies off the plane of the image.
    """
    # Positions that no patient has overflow, and lie off the plane then.
    with np.errstate(over="ignore", invalid="ignore"):
        off_mm = float(geometry.off_plane_mm([lps_mm])[0])
    # Not "off_mm > …": a position that is no number lies nowhere.
    if not off_mm <= _SAME_PLANE_MM:
        raise LandmarkError(
            f"{name!r} lies {off_mm:.1f} mm off the image's plane",
            remedy="check that the file belongs to this image",
        )
    y_px, x_px = geometry.points_from_lps([lps_mm])[0]
    return float(y_px), float(x_px)
