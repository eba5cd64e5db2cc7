"""One subject of the lateral skull: how the mean drawing becomes a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.shape_model import SmoothModes, clipped_normal

Points = NDArray[np.float64]

HINGE_XY = np.array([-14.0, 23.0])
"""The condyle: the lower jaw turns about it."""
NECK_XY = np.array([-28.0, 52.0])
"""Base of the skull on the spine: the neck bends about it."""

WIDE = SmoothModes.of_scale(length_mm=75.0, sd_mm=2.6, count=24, seed=1)
LOCAL = SmoothModes.of_scale(length_mm=26.0, sd_mm=1.1, count=60, seed=2)
FINE = SmoothModes.of_scale(length_mm=11.0, sd_mm=0.55, count=60, seed=5)


@dataclass(frozen=True)
class Bump:
    """A Gaussian displacement field: centre, reach and shift in mm."""

    centre_xy: tuple[float, float]
    reach_mm: float
    shift_xy: tuple[float, float]

    def displacement(self, points_xy: Points) -> Points:
        """Return the displacement of (N, 2) points."""
        away = ((points_xy - np.array(self.centre_xy)) ** 2).sum(axis=1)
        weight = np.exp(-away / (2 * self.reach_mm**2))
        return np.asarray(weight[:, None] * np.array(self.shift_xy))


REGIONS: dict[str, tuple[tuple[float, float], float, float, float]] = {
    "vault": ((0.0, -50.0), 0.6, 0.00, 0.3),
    "base": ((0.0, 20.0), 2.0, 0.02, 0.6),
    "sella": ((0.0, 0.0), 7.0, 0.09, 0.7),
    "orbit": ((54.0, 10.0), 3.0, 0.05, 1.0),
    "ear": ((-26.0, 26.0), 4.0, 0.06, 1.1),
    "maxilla": ((48.0, 45.0), 2.0, 0.03, 0.8),
    "jaw": ((30.0, 80.0), 0.8, 0.015, 0.6),
    "profile": ((70.0, 50.0), 0.0, 0.00, 0.4),
    "airway": ((-5.0, 90.0), 1.5, 0.04, 1.2),
    "spine": ((-35.0, 100.0), 1.0, 0.03, 1.5),
}
"""Middle (x, y) of each region and how much it varies on its own: standard
deviations of its turn in degrees, of its relative size, of its shift in mm."""


@dataclass(frozen=True, eq=False)
class RegionShape:
    """What one region of one person has for itself.

    Parameters
    ----------
    centre_xy : tuple of float
        It turns and grows about this point.
    angle, size : float
        Turn in radians, size factor.
    shift_xy : tuple of float
        Displacement in mm.
    fine : ndarray
        Coefficients of the fine modes.
    """

    centre_xy: tuple[float, float]
    angle: float
    size: float
    shift_xy: tuple[float, float]
    fine: Points

    @classmethod
    def sampled(cls, rng: np.random.Generator, region: str) -> RegionShape:
        """Draw the variation of a region."""
        centre_xy, turn_sd, size_sd, shift_sd = REGIONS[region]
        return cls(
            centre_xy,
            np.deg2rad(clipped_normal(rng, turn_sd)),
            clipped_normal(rng, size_sd, 1.0),
            (clipped_normal(rng, shift_sd), clipped_normal(rng, shift_sd)),
            FINE.sample(rng),
        )

    def shaped(self, points_xy: Points) -> Points:
        """Return where mean points of the region lie."""
        centre = np.array(self.centre_xy)
        turned = _turned(points_xy, centre, self.angle)
        moved = centre + self.size * (turned - centre) + np.array(self.shift_xy)
        return np.asarray(moved + FINE.along(points_xy, self.fine))


@dataclass(frozen=True, eq=False)
class SkullSubject:
    """Shape of one person, as fields that act on drawn points.

    Angles are in radians, lengths in mm.
    """

    regions: dict[str, RegionShape]
    wide: Points
    local: Points
    jaw_open: float
    jaw_forward: float
    neck_bend: float
    stretch_xy: tuple[float, float]
    vault: float
    upper_incisor: float
    lower_incisor: float
    maxilla: Bump
    skin: tuple[Bump, ...]

    @classmethod
    def sampled(cls, rng: np.random.Generator) -> SkullSubject:
        """Draw a subject."""
        skin = (
            Bump((96, 36), 10, (clipped_normal(rng, 2.4), clipped_normal(rng, 2.2))),
            Bump((85, 55), 7, (clipped_normal(rng, 0.8), clipped_normal(rng, 0.8))),
            Bump((88, 67), 4.5, (clipped_normal(rng, 1.2), clipped_normal(rng, 0.8))),
            Bump((86, 80), 4.5, (clipped_normal(rng, 1.2), clipped_normal(rng, 0.9))),
            Bump((80, 104), 8, (clipped_normal(rng, 1.4), clipped_normal(rng, 1.0))),
            Bump((50, 122), 16, (0.0, clipped_normal(rng, 4.0, 2.0))),
            Bump((80, -25), 14, (clipped_normal(rng, 1.2), 0.0)),
        )
        opening = abs(clipped_normal(rng, 0.5)) if rng.random() < 0.85 else rng.uniform(1.5, 5)
        return cls(
            regions={name: RegionShape.sampled(rng, name) for name in REGIONS},
            wide=WIDE.sample(rng),
            local=LOCAL.sample(rng),
            jaw_open=np.deg2rad(opening),
            jaw_forward=clipped_normal(rng, 1.8),
            neck_bend=np.deg2rad(clipped_normal(rng, 7.0)),
            stretch_xy=(clipped_normal(rng, 0.035), clipped_normal(rng, 0.05)),
            vault=clipped_normal(rng, 0.04),
            upper_incisor=np.deg2rad(clipped_normal(rng, 5.0)),
            lower_incisor=np.deg2rad(clipped_normal(rng, 5.0)),
            maxilla=Bump((72, 55), 22, (clipped_normal(rng, 1.3), clipped_normal(rng, 1.0))),
            skin=skin,
        )

    def shaped(self, points_xy: Points, region: str) -> Points:
        """Return where points of a region, (N, 2) mm in the mean, lie."""
        points = self.regions[region].shaped(points_xy)
        if region != "jaw":
            points += self.maxilla.displacement(points)
        if region in ("profile", "airway"):
            for bump in self.skin if region == "profile" else ():
                points += bump.displacement(points)
            weight = _jaw_share(points_xy)
            points += weight[:, None] * (self._opened(points) - points)
            bend = _ramp(points_xy[:, 1], 95.0, 165.0)
            points += bend[:, None] * (self._bent(points) - points)
        elif region == "jaw":
            points = self._opened(points)
        elif region == "spine":
            points = self._bent(points)
        below = np.clip(points[:, 1] / 100, 0, 1.2)
        above = np.clip(-points[:, 1] / 100, 0, 1.2)
        points[:, 0] *= 1 + self.stretch_xy[0]
        points[:, 1] += 100 * (self.stretch_xy[1] * below - self.vault * above)
        points += WIDE.along(points, self.wide)
        points += LOCAL.along(points, self.local)
        return points

    def _opened(self, points: Points) -> Points:
        """Turn about the condyle, and slide with the jaw's own length."""
        turned = _turned(points, HINGE_XY, self.jaw_open)
        # The joint stays in its fossa: a longer jaw shows in front.
        reach = _ramp(points[:, 0], -15.0, 50.0)
        turned[:, 0] += reach * self.jaw_forward
        return turned

    def _bent(self, points: Points) -> Points:
        return _turned(points, NECK_XY, self.neck_bend)


def _turned(points: Points, about_xy: Points, angle: float) -> Points:
    """Rotate clockwise on the picture (y points down)."""
    offset = points - about_xy
    cos, sin = np.cos(angle), np.sin(angle)
    x = cos * offset[:, 0] - sin * offset[:, 1]
    y = sin * offset[:, 0] + cos * offset[:, 1]
    return np.asarray(np.stack([x, y], axis=1) + about_xy)


def _ramp(values: Points, low: float, high: float) -> Points:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _jaw_share(points: Points) -> Points:
    """How much soft tissue follows the lower jaw: chin fully, neck fading."""
    below_lips = _ramp(points[:, 1], 71.5, 75.5)
    front = _ramp(points[:, 0], 0.0, 35.0)
    return np.asarray(below_lips * front)
