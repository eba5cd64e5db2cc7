"""Who is imaged and how they stand: smooth shape modes, then pose.

The shape model is a Gaussian process over the plane, cut to a fixed number of
modes (Luethi et al., "Gaussian process morphable models", PAMI 2018). Each mode
is a smooth displacement field that can be evaluated anywhere, so contours,
landmarks and inner structures of one subject move together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

MODE_SEED = 19
"""Fixes the modes themselves; subjects differ in how much of each they have."""


def clipped_normal(
    rng: np.random.Generator, sd: float, mean: float = 0.0, limit: float = 2.2
) -> float:
    """Draw from a normal distribution, clipped at ``limit`` standard deviations."""
    return mean + sd * float(np.clip(rng.standard_normal(), -limit, limit))


@dataclass(frozen=True, eq=False)
class SmoothModes:
    """Modes of smooth deformation (random Fourier features of a Gaussian kernel).

    Parameters
    ----------
    frequencies : ndarray, (K, 2)
        Radians per mm.
    directions : ndarray, (K, 2)
        Displacement in mm that one standard deviation of a mode reaches.
    phases : ndarray, (K,)
        Radians.
    """

    frequencies: Points
    directions: Points
    phases: Points

    @classmethod
    def of_scale(cls, length_mm: float, sd_mm: float, count: int, seed: int) -> SmoothModes:
        """Make ``count`` modes with a length scale and a total deviation in mm."""
        rng = np.random.default_rng([MODE_SEED, seed])
        frequencies = rng.standard_normal((count, 2)) / length_mm
        angle = rng.uniform(0, 2 * np.pi, count)
        directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        directions *= sd_mm * np.sqrt(4 / count)
        return cls(frequencies, directions, rng.uniform(0, 2 * np.pi, count))

    def sample(self, rng: np.random.Generator) -> Points:
        """Draw one subject's coefficients, in standard deviations."""
        return np.clip(rng.standard_normal(len(self.phases)), -2.5, 2.5)

    def displacement(self, points_xy: Points, coefficients: Points) -> Points:
        """Return the displacement in mm at each of the (N, 2) points."""
        waves = np.cos(points_xy @ self.frequencies.T + self.phases)
        return np.asarray((waves * coefficients) @ self.directions)

    def along(self, curve_xy: Points, coefficients: Points) -> Points:
        """Return the displacement along a dense curve.

        Evaluated at every eighth point, under a millimetre apart, and linear in
        between: off by less than 0.001 mm, for an eighth of the time.
        """
        if len(curve_xy) < 64:
            return self.displacement(curve_xy, coefficients)
        nodes = np.unique(np.append(np.arange(0, len(curve_xy), 8), len(curve_xy) - 1))
        coarse = self.displacement(curve_xy[nodes], coefficients)
        every = np.arange(len(curve_xy))
        columns = [np.interp(every, nodes, column) for column in coarse.T]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Pose:
    """From the subject's millimetres to the pixels of the image.

    Parameters
    ----------
    rotation : float
        Radians, in the image plane.
    scale : float
        Magnification.
    tilt_per_mm : tuple of float
        Mild perspective: relative magnification per mm along x and y.
    centre_xy_mm : tuple of float
        Point of the subject at which the central ray passes.
    centre_yx_px : tuple of float
        Where that point is imaged.
    spacing_mm_yx : tuple of float
        Pixel spacing.
    """

    rotation: float
    scale: float
    tilt_per_mm: tuple[float, float]
    centre_xy_mm: tuple[float, float]
    centre_yx_px: tuple[float, float]
    spacing_mm_yx: tuple[float, float]

    def to_image(self, points_xy: Points, magnification: float = 1.0) -> Points:
        """Map (N, 2) subject points in mm, (x, y), to (row, column) pixels.

        ``magnification`` above 1 images a part that lies nearer to the tube.
        """
        offset = points_xy - np.array(self.centre_xy_mm)
        depth = 1.0 + offset @ np.array(self.tilt_per_mm)
        offset = offset * (self.scale * magnification / depth)[:, None]
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        x = cos * offset[:, 0] - sin * offset[:, 1]
        y = sin * offset[:, 0] + cos * offset[:, 1]
        return np.stack(
            [
                self.centre_yx_px[0] + y / self.spacing_mm_yx[0],
                self.centre_yx_px[1] + x / self.spacing_mm_yx[1],
            ],
            axis=1,
        )

    def moved(self, shift_yx_px: tuple[float, float]) -> Pose:
        """Return the same pose with the picture shifted."""
        row, column = self.centre_yx_px
        return Pose(
            self.rotation,
            self.scale,
            self.tilt_per_mm,
            self.centre_xy_mm,
            (row + shift_yx_px[0], column + shift_yx_px[1]),
            self.spacing_mm_yx,
        )

    def keeping_inside(
        self, points_xy: Points, shape_yx: tuple[int, int], margin_mm: float
    ) -> Pose:
        """Return the pose shifted so that points keep off the image's border."""
        pixels = self.to_image(points_xy)
        shift = [0.0, 0.0]
        for axis in (0, 1):
            margin = margin_mm / self.spacing_mm_yx[axis]
            low, high = pixels[:, axis].min(), pixels[:, axis].max()
            if high - low > shape_yx[axis] - 1 - 2 * margin:
                shift[axis] = (shape_yx[axis] - 1) / 2 - (low + high) / 2
            elif low < margin:
                shift[axis] = margin - low
            elif high > shape_yx[axis] - 1 - margin:
                shift[axis] = shape_yx[axis] - 1 - margin - high
        return self.moved((shift[0], shift[1]))


def sampled_pose(
    rng: np.random.Generator,
    centre_xy_mm: tuple[float, float],
    centre_share_yx: tuple[float, float],
    shape_yx: tuple[int, int],
    spacing_mm_yx: tuple[float, float],
    *,
    rotation_sd_deg: float,
    scale: tuple[float, float],
    shift_sd_mm: float,
    tilt_sd_per_mm: float = 1.5e-4,
) -> Pose:
    """Draw a pose; ``scale`` is mean and standard deviation.

    ``centre_share_yx`` says where in the image the central point falls on
    average, as a share of its height and width.
    """
    shift = [clipped_normal(rng, shift_sd_mm) / mm for mm in spacing_mm_yx]
    return Pose(
        rotation=np.deg2rad(clipped_normal(rng, rotation_sd_deg)),
        scale=clipped_normal(rng, scale[1], scale[0]),
        tilt_per_mm=(clipped_normal(rng, tilt_sd_per_mm), clipped_normal(rng, tilt_sd_per_mm)),
        centre_xy_mm=centre_xy_mm,
        centre_yx_px=(
            centre_share_yx[0] * (shape_yx[0] - 1) + shift[0],
            centre_share_yx[1] * (shape_yx[1] - 1) + shift[1],
        ),
        spacing_mm_yx=spacing_mm_yx,
    )
