"""Band-limited noise: what tells one person's bone from another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]


def band_noise(
    rng: np.random.Generator, shape_yx: tuple[int, int], fine_px: float, coarse_px: float
) -> Field:
    """Noise between two length scales, zero mean and unit deviation.

    Periodic, so that it may be repeated beyond the image. Coarse noise is made
    on a coarser grid: the filter's cost would grow with its width.
    """
    step = max(1, int(fine_px / 2.5))
    small = tuple(-(-n // step) for n in shape_yx)
    white = rng.standard_normal(small).astype(np.float32)
    fine = gaussian_filter(white, fine_px / step, mode="wrap", truncate=3.0)
    coarse = gaussian_filter(white, coarse_px / step, mode="wrap", truncate=3.0)
    band = fine - coarse
    band /= band.std()
    if step > 1:
        band = _enlarged(band, shape_yx, step)
    return np.asarray(band, dtype=np.float32)


def _enlarged(field: Field, shape_yx: tuple[int, int], step: int) -> Field:
    """Interpolate linearly along each axis."""
    for axis in (0, 1):
        at = np.arange(shape_yx[axis]) / step
        low = np.floor(at).astype(int)
        part = (at - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None, :]
        size = field.shape[axis]
        a = np.take(field, low % size, axis=axis)
        b = np.take(field, (low + 1) % size, axis=axis)
        field = a * (1 - part) + b * part
    return field


@dataclass(frozen=True, eq=False)
class Texture:
    """The noise fields of one subject, each (H, W) with unit deviation."""

    trabecular: Field
    """About 0.5 to 1.5 mm: trabeculae."""
    patchy: Field
    """About 3 to 8 mm: uneven density, air cells."""
    broad: Field
    """About 12 to 30 mm: uneven thickness."""

    @classmethod
    def sampled(
        cls, rng: np.random.Generator, shape_yx: tuple[int, int], mm_per_px: float
    ) -> Texture:
        """Draw the textures of a subject; coarseness varies between subjects."""
        grain = rng.uniform(0.8, 1.3) / mm_per_px
        fine = band_noise(rng, shape_yx, 0.2 * grain, 0.6 * grain)
        middle = band_noise(rng, shape_yx, 0.45 * grain, 1.4 * grain)
        return cls(
            trabecular=0.8 * fine + 0.5 * middle,
            patchy=band_noise(rng, shape_yx, 1.6 * grain, 4.5 * grain),
            broad=band_noise(rng, shape_yx, 6 * grain, 14 * grain),
        )
