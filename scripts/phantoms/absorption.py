"""Path lengths through bodies and how much they absorb.

A body is a contour with a rounding radius R: seen along the beam it is an
ellipsoid's edge that turns into a plate of thickness 2 R. Bone is a shell of
cortex around a marrow that is mostly soft tissue with trabeculae. Optical
depths of all bodies add up (Beer and Lambert); air takes some away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.raster import Region, Strokes, fill
from phantoms.texture import Texture

Points = NDArray[np.float64]
Field = NDArray[np.float32]

# Optical depth per mm at an effective 60 keV: water 0.020, cortical bone 0.055.
# Bone lies inside soft tissue, which is counted already, so the surplus counts.
SOFT = 0.020
CORTEX = 0.036
MARROW = 0.008
ENAMEL = 0.075
METAL = 0.60


def path(depth_mm: Field, radius_mm: float) -> Field:
    """Path in mm through a rounded plate at a depth below its contour."""
    depth = np.clip(depth_mm, 0, radius_mm)
    return np.asarray(2 * np.sqrt(depth * (2 * radius_mm - depth)), dtype=np.float32)


class Absorption:
    """The optical depth of everything in the beam, built up body by body.

    Parameters
    ----------
    shape_yx : tuple of int
        The image's grid.
    mm_per_px : float
        Mean pixel spacing divided by the magnification.
    texture : Texture
        The subject's own bone texture.
    """

    def __init__(self, shape_yx: tuple[int, int], mm_per_px: float, texture: Texture) -> None:
        self.shape_yx = shape_yx
        self.mm_per_px = mm_per_px
        self.texture = texture
        self.depth = np.zeros(shape_yx, dtype=np.float32)
        self._strokes: dict[float, Strokes] = {}

    # -- bodies ---------------------------------------------------------------

    def region(self, curve_yx: Points) -> Region:
        """Rasterise a closed curve once, to be used for several bodies."""
        return fill(curve_yx)

    def solid(self, curve: Points | Region, radius_mm: float, per_mm: float = SOFT) -> None:
        """Add a homogeneous body; a negative ``per_mm`` carves air."""
        region = curve if isinstance(curve, Region) else fill(curve)
        self._put(region, per_mm * path(region.depth_px * self.mm_per_px, radius_mm))

    def bone(
        self,
        curve: Points | Region,
        radius_mm: float,
        cortex_mm: float | Points,
        *,
        grain: float = 0.5,
        strength: float = 1.0,
    ) -> None:
        """Add a bone.

        Parameters
        ----------
        curve : ndarray or Region
            Closed dense contour in pixels.
        radius_mm : float
            Half its thickness along the beam.
        cortex_mm : float or ndarray, (M,)
            Thickness of the cortex, for all or for each point of the curve.
        grain : float
            How strongly trabeculae modulate the marrow.
        strength : float
            Factor on the whole, for the fainter side or a less dense person.
        """
        region = curve if isinstance(curve, Region) else fill(curve)
        depth = region.depth_px * self.mm_per_px
        if np.ndim(cortex_mm) == 0:
            cortex: Field | float = float(np.asarray(cortex_mm))
        else:
            cortex = np.asarray(cortex_mm)[region.nearest].astype(np.float32)
        outer = path(depth, radius_mm)
        thinnest = float(np.min(cortex_mm))
        inner = path(depth - cortex, max(radius_mm - thinnest, 0.3))
        inner = np.minimum(inner, outer)
        grains = 1 + grain * self._texture(region, self.texture.trabecular)
        total = CORTEX * (outer - inner) + MARROW * inner * grains
        # Remodelling leaves the cortex itself uneven too.
        total = total * (1 + 0.3 * grain * self._texture(region, self.texture.patchy))
        self._put(region, strength * np.maximum(total, 0))

    def slab(
        self,
        curve: Points | Region,
        depth: float,
        *,
        texture: Field | None = None,
        grain: float = 0.0,
        soften_mm: float = 1.0,
    ) -> None:
        """Add an optical depth inside a contour, with an edge of ``soften_mm``."""
        region = curve if isinstance(curve, Region) else fill(curve)
        ramp = np.clip(region.depth_px * self.mm_per_px / soften_mm, 0, 1)
        ramp = ramp * np.clip(region.coverage * 2, 0, 1)
        if texture is not None:
            ramp = ramp * np.maximum(1 + grain * self._texture(region, texture), 0)
        self._put(region, depth * ramp)

    def stroke(self, curve_yx: Points, width_mm: float, height: float | Points) -> None:
        """Add a thin plate seen edge-on, ``width_mm`` wide at half its height."""
        sigma_px = width_mm / 2.355 / self.mm_per_px
        layer = self._strokes.get(width_mm)
        if layer is None:
            layer = self._strokes[width_mm] = Strokes(self.shape_yx, sigma_px)
        layer.add(curve_yx, height)

    def total(self) -> Field:
        """Return the optical depth of everything, never below that of thin air."""
        summed = self.depth.copy()
        for layer in self._strokes.values():
            summed += layer.picture()
        return np.maximum(summed, 0.0)

    # -- helpers ----------------------------------------------------------------

    def _texture(self, region: Region, field: Field) -> Field:
        """Return a texture on the region's window, repeated beyond the image."""
        rows = np.arange(region.coverage.shape[0]) + region.corner_yx[0]
        columns = np.arange(region.coverage.shape[1]) + region.corner_yx[1]
        rows, columns = rows % field.shape[0], columns % field.shape[1]
        return field[np.ix_(rows, columns)]

    def _put(self, region: Region, values: Field) -> None:
        on_image, on_window = region.overlap(self.shape_yx)
        self.depth[on_image] += values[on_window]
