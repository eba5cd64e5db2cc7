"""Patient positions of other programs on the plane of an image."""

from __future__ import annotations

from collections.abc import Sequence

from napari_oneshot_lmk.errors import LandmarkError, SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry

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
            remedy="open it together with its image (convert it with --image), or use "
            "a .csv file",
        )
    if geometry.spacing_mm_yx is None:
        raise SpacingUnknownError(
            "holds millimetres, but the pixel spacing of the image is unknown",
            remedy="give it (--spacing, or the field in the dock)",
        )
    return geometry


def on_image(
    name: str, lps_mm: Sequence[float], geometry: Geometry
) -> tuple[float, float]:
    """Return the (row, column) of one patient position, (3,) LPS mm.

    Raises
    ------
    LandmarkError
        If it lies off the plane of the image.
    """
    off_mm = float(geometry.off_plane_mm([lps_mm])[0])
    # Not "off_mm > …": a position that is no number lies nowhere.
    if not off_mm <= _SAME_PLANE_MM:
        raise LandmarkError(
            f"{name!r} lies {off_mm:.1f} mm off the image's plane",
            remedy="check that the file belongs to this image",
        )
    y_px, x_px = geometry.points_from_lps([lps_mm])[0]
    return float(y_px), float(x_px)
