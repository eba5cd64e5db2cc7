"""Maps between image grid, network grid and millimetres.

Pixel centres lie at integer coordinates; the axis order is (row, column) = (y, x) unless a name
ends in ``_lps``. Both grids cover the same field of view: coordinate ``-0.5`` is the border.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.errors import GeometryError, SpacingUnknownError

if TYPE_CHECKING:
    import torch

NETWORK_SHAPE_YX = (384, 384)
"""Grid of the published networks (paper, section 2.1)."""

# Anything outside is a typing error or a wrong unit rather than a medical image.
SMALLEST_SPACING_MM = 1e-4
LARGEST_SPACING_MM = 100.0
# Beyond any image: a file that states more is damaged.
LARGEST_SIDE_PX = 10_000_000
FARTHEST_ORIGIN_MM = 1e9

Points = NDArray[np.float64]


def checked_spacing(spacing_mm_yx: ArrayLike | None) -> tuple[float, float] | None:
    """Return a spacing as two positive floats, or None where it is unknown.

    Parameters
    ----------
    spacing_mm_yx : float, pair of float or None
        Millimetres from one pixel centre to the next, (row, column). A single
        number means square pixels.

    Raises
    ------
    GeometryError
        If a value is not a number within 0.0001 mm … 100 mm.
    """
    if spacing_mm_yx is None:
        return None
    remedy = "give millimetres per pixel, for example 0.1"
    try:
        values = np.broadcast_to(np.asarray(spacing_mm_yx, dtype=float), (2,))
    except (TypeError, ValueError) as error:
        what = f"pixel spacing {spacing_mm_yx!r} is not one or two numbers"
        raise GeometryError(what, remedy=remedy) from error
    if not np.all((values >= SMALLEST_SPACING_MM) & (values <= LARGEST_SPACING_MM)):
        shown = " x ".join(f"{value:g}" for value in values)
        limits = f"{SMALLEST_SPACING_MM:g} and {LARGEST_SPACING_MM:g} mm"
        raise GeometryError(f"pixel spacing {shown} mm is not between {limits}", remedy=remedy)
    return float(values[0]), float(values[1])


@dataclass(frozen=True)
class Geometry:
    """Where an image's pixels lie, on the network's grid and in the patient.

    Raises
    ------
    GeometryError
        If sizes, spacing, origin or axes are those of no image.
    """

    image_shape_yx: tuple[int, int]
    """Rows and columns of the image's own grid."""
    spacing_mm_yx: tuple[float, float] | None = None
    """Millimetres between pixel centres along (row, column); None where the image does not
    state it. It is never assumed to be 1."""
    origin_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Patient position (left, posterior, superior) of pixel (0, 0)."""
    row_axis_lps: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Unit vector along which the row index grows."""
    column_axis_lps: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Unit vector along which the column index grows."""
    network_shape_yx: tuple[int, int] = NETWORK_SHAPE_YX
    """Rows and columns of the network's grid."""

    def __post_init__(self) -> None:
        """Check sizes, spacing and that the axes are orthonormal."""
        for name in ("image_shape_yx", "network_shape_yx"):
            shape = tuple(int(n) for n in getattr(self, name))
            if len(shape) != 2 or min(shape) < 1:
                raise GeometryError(f"{name} {shape} is not two positive sizes")
            if max(shape) > LARGEST_SIDE_PX:
                raise GeometryError(f"{name} is beyond {LARGEST_SIDE_PX} pixels a side")
            object.__setattr__(self, name, shape)
        object.__setattr__(self, "spacing_mm_yx", checked_spacing(self.spacing_mm_yx))
        axes = np.array([self.row_axis_lps, self.column_axis_lps], dtype=float)
        # Squares of numbers far from unit length would overflow.
        if (
            axes.shape != (2, 3)
            or not np.all(np.abs(axes) < 2)
            or not np.allclose(axes @ axes.T, np.eye(2), atol=1e-4)
        ):
            raise GeometryError("the row and column axes are not orthonormal")
        origin = np.array(self.origin_lps_mm, dtype=float)
        if origin.shape != (3,) or not np.all(np.abs(origin) <= FARTHEST_ORIGIN_MM):
            raise GeometryError(f"the origin is not three numbers within {FARTHEST_ORIGIN_MM:g} mm")
        for name in ("origin_lps_mm", "row_axis_lps", "column_axis_lps"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))

    def with_spacing(self, spacing_mm_yx: ArrayLike | None) -> Geometry:
        """Return the same geometry with another pixel spacing, in mm."""
        return replace(self, spacing_mm_yx=checked_spacing(spacing_mm_yx))

    def with_network_shape(self, network_shape_yx: tuple[int, int]) -> Geometry:
        """Return the same geometry on another network grid."""
        return replace(self, network_shape_yx=network_shape_yx)

    @property
    def network_pixels_per_image_pixel_yx(self) -> Points:
        """Scale from the image's grid to the network's, (row, column)."""
        return np.divide(self.network_shape_yx, self.image_shape_yx)

    def points_to_network(self, points_yx: ArrayLike) -> Points:
        """Map (N, 2) points in image pixels to pixels of the network's grid."""
        return (_points(points_yx) + 0.5) * self.network_pixels_per_image_pixel_yx - 0.5

    def points_from_network(self, points_yx: ArrayLike) -> Points:
        """Map (N, 2) points in network pixels back to image pixels."""
        return (_points(points_yx) + 0.5) / self.network_pixels_per_image_pixel_yx - 0.5

    def pixels_to_network(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resample (B, C, H, W) images to the network's grid, bilinear and antialiased."""
        import torch.nn.functional as F

        shape, grid = tuple(pixels.shape[-2:]), self.image_shape_yx
        if shape != grid:
            raise GeometryError(f"pixels of shape {shape} do not lie on the grid {grid}")
        return F.interpolate(
            pixels, self.network_shape_yx, mode="bilinear", align_corners=False, antialias=True
        )

    def points_to_mm(self, points_yx: ArrayLike) -> Points:
        """Map (N, 2) points in image pixels to in-plane mm from pixel (0, 0)."""
        return _points(points_yx) * self._known_spacing()

    def points_from_mm(self, points_mm_yx: ArrayLike) -> Points:
        """Map (N, 2) in-plane mm back to image pixels."""
        return _points(points_mm_yx) / self._known_spacing()

    def distances_mm(self, points_yx: ArrayLike, others_yx: ArrayLike) -> Points:
        """Euclidean distance in mm between paired points in image pixels."""
        apart_yx = self.points_to_mm(_points(points_yx) - _points(others_yx))
        return np.asarray(np.hypot(apart_yx[..., 0], apart_yx[..., 1]))

    def length_to_mm(self, length_px: float) -> float:
        """Convert a length without a direction; `SpacingUnknownError` without spacing.

        A pixel that is not square counts as the geometric mean of its height and width.
        """
        return float(length_px * np.sqrt(self._known_spacing().prod()))

    def points_to_lps(self, points_yx: ArrayLike) -> Points:
        """Map (N, 2) points in image pixels to (N, 3) patient mm (LPS)."""
        return np.asarray(self.points_to_mm(points_yx) @ self._axes_lps() + self.origin_lps_mm)

    def points_from_lps(self, points_lps_mm: ArrayLike) -> Points:
        """Project (N, 3) patient mm (LPS) onto the image plane, in pixels."""
        return self.points_from_mm(self._from_origin(points_lps_mm) @ self._axes_lps().T)

    def off_plane_mm(self, points_lps_mm: ArrayLike) -> Points:
        """Distance in mm of (N, 3) patient points from the image plane."""
        normal = np.cross(self.row_axis_lps, self.column_axis_lps)
        return np.asarray(np.abs(self._from_origin(points_lps_mm) @ normal))

    def contains(self, points_yx: ArrayLike) -> NDArray[np.bool_]:
        """Say for each (N, 2) point whether it lies on the image."""
        points = _points(points_yx)
        limits = np.array(self.image_shape_yx) - 0.5
        return np.asarray(np.all((points >= -0.5) & (points <= limits), axis=-1))

    def _axes_lps(self) -> Points:
        return np.array([self.row_axis_lps, self.column_axis_lps])

    def _from_origin(self, points_lps_mm: ArrayLike) -> Points:
        return np.asarray(np.asarray(points_lps_mm, dtype=float) - np.array(self.origin_lps_mm))

    def _known_spacing(self) -> Points:
        if self.spacing_mm_yx is None:
            raise SpacingUnknownError(
                "the pixel spacing is unknown",
                remedy="give it in millimetres per pixel (--spacing, or the "
                "spacing field of the dock)",
            )
        return np.array(self.spacing_mm_yx)


def _points(points_yx: ArrayLike) -> Points:
    points = np.asarray(points_yx, dtype=np.float64)
    if points.shape[-1:] != (2,):
        raise GeometryError(f"points of shape {points.shape} are not (N, 2)")
    return points
