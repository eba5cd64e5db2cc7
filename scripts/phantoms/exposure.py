"""From optical depth to a picture: scatter, quanta, film curve, collimation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Exposure:
    """How one radiograph was taken and printed.

    Parameters
    ----------
    blur_px : float
        Focal spot and detector, standard deviation in pixels.
    contrast : float
        Factor on the optical depth: harder beams give less.
    scatter : float
        Scattered share of the primary beam.
    quanta : float
        Detected per pixel without an object; sets the noise.
    heel : tuple of float
        Relative loss of the beam across the height and the width.
    gamma : float
        Exponent of the film curve.
    shoulder : float
        0 straight, 1 fully S-shaped.
    black, white : float
        Grey levels of the thinnest and the densest object, 0..1.
    window : tuple of float
        Percentiles of the optical depth that are printed as black and white.
    """

    blur_px: float
    contrast: float
    scatter: float
    quanta: float
    heel: tuple[float, float]
    gamma: float
    shoulder: float
    black: float
    white: float
    window: tuple[float, float]

    @classmethod
    def sampled(cls, rng: np.random.Generator, *, hazy: float = 0.0) -> Exposure:
        """Draw an exposure; ``hazy`` lifts the black of film without a grid."""
        return cls(
            blur_px=rng.uniform(0.55, 0.95),
            contrast=rng.uniform(0.8, 1.15),
            scatter=rng.uniform(0.05, 0.25),
            quanta=float(np.exp(rng.uniform(np.log(6e3), np.log(6e4)))),
            heel=(rng.uniform(-0.18, 0.18), rng.uniform(-0.18, 0.18)),
            gamma=float(np.exp(rng.uniform(np.log(0.85), np.log(1.4)))),
            shoulder=rng.uniform(0.0, 0.5),
            black=rng.uniform(0.0, 0.06) + hazy * rng.uniform(0.3, 1.0),
            white=rng.uniform(0.88, 1.0),
            window=(rng.uniform(0.2, 1.5), rng.uniform(99.4, 99.9)),
        )


def expose(depth: Field, exposure: Exposure, rng: np.random.Generator) -> Field:
    """Return grey levels 0..1, bone bright, of an optical depth (H, W)."""
    height, width = depth.shape
    sharp = gaussian_filter(depth, exposure.blur_px, truncate=3.0)
    primary = np.exp(-exposure.contrast * sharp)
    rows = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    primary *= 1 + exposure.heel[0] * rows + exposure.heel[1] * columns
    beam = primary + exposure.scatter * _scattered(primary)

    relative = 1 / np.sqrt(exposure.quanta * beam)
    noise = rng.standard_normal(depth.shape).astype(np.float32)
    # A detector's light spreads over neighbouring pixels; the factor restores
    # the deviation that the filter takes away.
    noise = 1.7 * gaussian_filter(noise, 0.5, truncate=3.0)
    beam *= np.maximum(1 + relative * noise, 0.05)
    density = -np.log(beam)

    low, high = np.percentile(density[::3, ::3], exposure.window)
    level = np.clip((density - low) / (high - low), 0, 1.15)
    level = np.power(level, exposure.gamma)
    bent = np.clip(level, 0, 1)
    bent = bent * bent * (3 - 2 * bent)
    level = (1 - exposure.shoulder) * level + exposure.shoulder * bent
    level = exposure.black + (exposure.white - exposure.black) * level
    return np.asarray(np.clip(level, 0, 1), dtype=np.float32)


def _scattered(primary: Field) -> Field:
    """Very wide blur, made on an eighth of the grid."""
    height, width = primary.shape
    padded = np.pad(primary, ((0, -height % 8), (0, -width % 8)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8)
    wide = gaussian_filter(blocks.mean(axis=(1, 3)), 9.0)
    return np.asarray(zoom(wide, 8, order=1)[:height, :width], dtype=np.float32)


@dataclass(frozen=True)
class Collimation:
    """Four leaves that end the field, not quite parallel to the film.

    Parameters
    ----------
    inset_px : tuple of float
        Distance of the leaf from the top, bottom, left and right border;
        negative for a leaf outside the picture.
    slope : float
        Tangent of the small angle between leaves and film.
    level : float
        Grey level behind the leaves.
    penumbra_px : float
        Width of the soft edge.
    """

    inset_px: tuple[float, float, float, float]
    slope: float
    level: float
    penumbra_px: float

    @classmethod
    def sampled(
        cls, rng: np.random.Generator, free_px: tuple[float, float, float, float]
    ) -> Collimation:
        """Draw the leaves; each leaves ``free_px`` (top … right) uncovered."""
        insets = tuple(
            min(float(rng.uniform(4, 26)), free) if rng.random() < 0.4 else -20.0
            for free in free_px
        )
        return cls(
            inset_px=(insets[0], insets[1], insets[2], insets[3]),
            slope=float(np.tan(np.deg2rad(rng.uniform(-0.8, 0.8)))),
            level=float(rng.choice([0.0, 0.03, 0.93, 1.0])),
            penumbra_px=rng.uniform(0.6, 3.0),
        )

    def applied(self, level: Field) -> Field:
        """Return the picture with the field ended by the leaves."""
        height, width = level.shape
        rows = np.arange(height, dtype=np.float32)[:, None]
        columns = np.arange(width, dtype=np.float32)[None, :]
        across = self.slope * (columns - width / 2)
        down = self.slope * (rows - height / 2)
        top, bottom, left, right = self.inset_px
        inside = np.minimum(
            np.minimum(rows + across - top, height - 1 - bottom - rows - across),
            np.minimum(columns - down - left, width - 1 - right - columns + down),
        )
        open_share = np.clip(inside / self.penumbra_px + 0.5, 0, 1)
        return np.asarray(open_share * level + (1 - open_share) * self.level, dtype=np.float32)
