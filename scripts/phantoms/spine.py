"""A frontal spine in the beam: an anatomy of repeated parts, of which no end is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms.absorption import SOFT, Absorption
from phantoms.marks import resample_polyline, write_lead
from phantoms.outline import STEP_MM, Outline
from phantoms.shape_model import Pose, clipped_normal
from phantoms.spine_subject import ABOVE, ANNOTATED, SpineSubject, Vertebra

Points = NDArray[np.float64]

CORNERS = ("upper_left", "upper_right", "lower_right", "lower_left")
"""Of a body, left and right as on the film."""
NAMES: tuple[str, ...] = tuple(
    f"v{number:02d}_{corner}" for number in range(1, ANNOTATED + 1) for corner in CORNERS
)
LAST_RIB = ABOVE + 11
"""Index of the lowest vertebra with ribs."""

# One side of the trunk, mm, wider than the film.
SIDE = [(232.0, -480.0), (232.0, -150.0), (222.0, 60.0), (234.0, 240.0), (234.0, 480.0)]
# Parts behind the body, in halves of its width and height, those of one side.
TRANSVERSE = [(0.8, -0.35), (1.25, -0.5), (1.62, -0.42), (1.62, -0.12), (1.2, -0.02), (0.8, 0.1)]
FACETS = [(0.3, 0.35), (0.55, 0.3), (0.62, 0.8), (0.56, 1.35), (0.38, 1.4), (0.3, 0.9)]
SPINOUS = [(-0.1, 0.1), (0.1, 0.1), (0.14, 0.8), (0.0, 1.05), (-0.14, 0.8)]
TURN = np.linspace(0, 2 * np.pi, 601)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
PEDICLE = np.array([0.62, -0.22]) + np.array([0.17, 0.36]) * CIRCLE


class SpineScene:
    """One trunk between tube and film.

    Parameters
    ----------
    subject : SpineSubject
        The shape.
    """

    def __init__(self, subject: SpineSubject) -> None:
        self.subject = subject

    def landmarks_xy(self) -> dict[str, Points]:
        """Return the subject's landmarks in mm, in the order of ``NAMES``."""
        raw = [
            vertebra.body().landmarks()[corner]
            for vertebra in self.subject.annotated
            for corner in CORNERS
        ]
        return dict(zip(NAMES, self.subject.shaped(np.array(raw)), strict=True))

    def absorb(self, absorption: Absorption, pose: Pose, rng: np.random.Generator) -> None:
        """Put the whole scene into the beam."""
        painter = _SpinePainter(self.subject, absorption, pose, rng)
        painter.trunk()
        painter.gas()
        for number, vertebra in enumerate(self.subject.vertebrae):
            if number <= LAST_RIB:
                painter.ribs(vertebra, full=(0.4, 0.75, 1.0)[min(LAST_RIB - number, 2)])
            painter.vertebra(vertebra)
        painter.letter()


class _SpinePainter:
    """Draws one trunk; holds what every body of it needs."""

    def __init__(
        self, subject: SpineSubject, absorption: Absorption, pose: Pose, rng: np.random.Generator
    ) -> None:
        self.subject = subject
        self.to = absorption
        self.pose = pose
        self.rng = rng
        self.density = clipped_normal(rng, 0.12, 1.0)
        self.slant = clipped_normal(rng, 6.0, 34.0)

    def place(self, points_xy: Points) -> Points:
        """Return drawn points in pixels."""
        return self.pose.to_image(self.subject.shaped(points_xy))

    def trunk(self) -> None:
        """Add flesh, and the lungs on both sides of the spine."""
        to, girth = self.to, self.subject.girth
        side = np.array(SIDE) * [girth, 1]
        contour = Outline(np.vstack([side, side[::-1] * [-1, 1]]), {}, (), True)
        flesh = to.region(self.place(contour.dense()))
        to.solid(flesh, 110.0, 0.45 * SOFT)
        to.slab(flesh, 0.14, texture=to.texture.broad, grain=0.2)
        # The liver lifts one lung, the heart takes a piece of the other.
        for sign, lift, heart in ((-1, 12.0, 0.0), (1, 0.0, 22.0)):
            low = self.subject.breath - lift + clipped_normal(self.rng, 6.0)
            lung = [(36.0, -200.0), (44.0, -480.0), (108.0, -470.0), (124.0, low - 160)]
            lung += [(128.0, low - 20), (120.0, low + 12), (82.0, low - 22)]
            lung += [(46.0 + heart, low - 14), (40.0 + heart, low - 70)]
            outline = Outline(np.array(lung) * [sign * girth, 1], {}, (), True)
            air = -0.35 * self.rng.uniform(0.7, 1.3)
            to.slab(self.place(outline.dense()), air, soften_mm=16.0)

    def gas(self) -> None:
        """Take away some gas in the bowel, anywhere below the lungs."""
        rng = self.rng
        for _ in range(int(rng.integers(3, 9))):
            middle = np.array([rng.uniform(-120, 120), self.subject.breath + rng.uniform(50, 330)])
            uneven = 1 + 0.12 * np.sin(3 * TURN + rng.uniform(0, 2 * np.pi))
            bubble = middle + rng.uniform(8, 22, 2) * uneven[:, None] * CIRCLE
            depth = -0.12 * rng.uniform(0.5, 1.3)
            self.to.slab(self.place(bubble), depth, soften_mm=6.0)

    def ribs(self, vertebra: Vertebra, full: float) -> None:
        """Add a pair of ribs that go ``full`` of the way to the side of the chest."""
        share = np.linspace(0, full, 9)
        half_width = 2.2 + 1.6 * np.sin(np.pi * np.clip(share + 0.1, 0, 0.8))
        for sign in (-1, 1):
            reach = vertebra.width * clipped_normal(self.rng, 0.04, 2.9)
            slant = self.slant + clipped_normal(self.rng, 2.5)
            # Out of the joint a little upwards, then down, and steeply at the side.
            down = slant * (share**1.6 + 0.6 * share**6) - 5.0 * np.sin(np.pi * share)
            out = sign * reach * np.sin(np.pi / 2 * share)
            line = vertebra.placed(np.array([[0.92 * sign, -0.75]])) + np.stack([out, down], axis=1)
            along = np.gradient(line, axis=0)
            normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
            normal *= (half_width / np.linalg.norm(along, axis=1))[:, None]
            contour = np.vstack([line + normal, (line - normal)[::-1]])
            curve = self.place(Outline(contour, {}, (0, 8, 9, 17), True).dense())
            self.to.bone(curve, 3.6, 0.8, strength=0.8 * self.density, grain=0.3)

    def vertebra(self, vertebra: Vertebra) -> None:
        """Add a body with its end plates, pedicles and processes."""
        strength = self.density * clipped_normal(self.rng, 0.05, 1.0)
        body = self.place(vertebra.body().dense())
        self.to.bone(body, 0.4 * vertebra.width, 1.0, strength=1.15 * strength)
        for y in (-0.93, -0.86, 0.86, 0.93):
            self._stroke(vertebra, np.array([[-0.86, y], [0.86, y]]), 1.5, 0.07 * strength)
        for mirror in ([-1, 1], [1, 1]):
            self._stroke(vertebra, PEDICLE * mirror, 2.0, 0.26 * strength)
            self._solid(vertebra, np.array(TRANSVERSE) * mirror, 3.5, 0.020 * strength)
            self._solid(vertebra, np.array(FACETS) * mirror, 4.5, 0.012 * strength)
        lean = np.array([self.rng.normal(0, 0.03), 0.0])
        self._solid(vertebra, np.array(SPINOUS) + lean, 6.0, 0.022 * strength)

    def _solid(self, vertebra: Vertebra, halves: Points, radius_mm: float, per_mm: float) -> None:
        outline = Outline(vertebra.placed(halves), {}, (), True)
        self.to.solid(self.place(outline.dense()), radius_mm, per_mm)

    def _stroke(self, vertebra: Vertebra, halves: Points, width_mm: float, height: float) -> None:
        curve = resample_polyline(vertebra.placed(halves), STEP_MM)
        self.to.stroke(self.place(curve), width_mm, height)

    def letter(self) -> None:
        """Put a side's letter on that side; the heart is on the left one."""
        rng, mm = self.rng, self.to.mm_per_px
        height_px, width_px = self.to.shape_yx
        side = str(rng.choice(["L", "R"]))
        inset = rng.uniform(14, 30) / mm
        left = inset if side == "R" else width_px - inset - 12 / mm
        corner = (rng.uniform(0.04, 0.3) * height_px, left)
        write_lead(self.to, side, corner, rng.uniform(11, 16))
