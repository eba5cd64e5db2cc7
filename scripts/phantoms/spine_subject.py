"""One subject of the spine: like vertebrae along a curve, then smooth modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.outline import Drawing, Outline, make_outline
from phantoms.shape_model import SmoothModes, clipped_normal

Points = NDArray[np.float64]

ABOVE, ANNOTATED, BELOW = 8, 17, 5
"""How many vertebrae there are: more than any film shows, so that it shows no end of them."""
PITCH_MM = 28.0
"""From one vertebra to the next in the middle of the annotated ones."""

LOCAL = SmoothModes.of_scale(length_mm=40.0, sd_mm=0.6, count=80, seed=5)

# A body from the front, in halves of its width and height: flat end plates
# with lips, and a waist.
BODY: Drawing = [
    (-0.96, -1.0, "upper_left!"),
    (-0.55, -0.93),
    (0.0, -0.91),
    (0.55, -0.93),
    (0.96, -1.0, "upper_right!"),
    (0.87, -0.5),
    (0.85, 0.05),
    (0.90, 0.6),
    (1.0, 1.0, "lower_right!"),
    (0.55, 0.92),
    (0.0, 0.90),
    (-0.55, 0.92),
    (-1.0, 1.0, "lower_left!"),
    (-0.90, 0.6),
    (-0.85, 0.05),
    (-0.87, -0.5),
]


@dataclass(frozen=True, eq=False)
class Vertebra:
    """A vertebra of one subject, before the smooth modes.

    Parameters
    ----------
    middle_xy : ndarray, (2,)
        Middle of its body, mm.
    angle : float
        Radians, clockwise on the picture.
    width, height : float
        Of its body, mm.
    """

    middle_xy: Points
    angle: float
    width: float
    height: float

    def placed(self, halves_xy: Points) -> Points:
        """Map (x, y) in halves of width and height to mm."""
        offset = halves_xy * np.array([self.width / 2, self.height / 2])
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(self.middle_xy + offset @ np.array([[cos, sin], [-sin, cos]]))

    def body(self) -> Outline:
        """Return the contour of the body; its corners have names."""
        drawn = make_outline(BODY)
        return Outline(self.placed(drawn.points_xy), drawn.names, drawn.corners, True)


@dataclass(frozen=True, eq=False)
class SpineSubject:
    """Shape of one spine.

    Parameters
    ----------
    vertebrae : tuple of Vertebra
        From the top; ``ABOVE`` of them come before the annotated ones.
    local : ndarray
        Coefficients of the smooth modes.
    girth : float
        Factor on the width of the trunk.
    breath : float
        How deep the lungs reach, mm below the middle.
    """

    vertebrae: tuple[Vertebra, ...]
    local: Points
    girth: float
    breath: float

    @classmethod
    def sampled(cls, rng: np.random.Generator) -> SpineSubject:
        """Draw a subject: size, growth from one vertebra to the next, curvature."""
        count = ABOVE + ANNOTATED + BELOW
        growth = 1 + rng.uniform(0.016, 0.024)
        pitch = (
            PITCH_MM
            * clipped_normal(rng, 0.012, 1.0)
            * growth ** (np.arange(count) - ABOVE - ANNOTATED // 2)
        )
        slender = clipped_normal(rng, 0.04, 1.0)
        # Two waves along the column: mild scoliosis.
        circle = 2 * np.pi
        waves = [
            (clipped_normal(rng, sd_mm), circle / rng.uniform(*length_mm), rng.uniform(0, circle))
            for sd_mm, length_mm in ((8.0, (480, 700)), (2.0, (240, 330)))
        ]
        gaps = np.array([clipped_normal(rng, 0.012, 1.0) for _ in range(count)])
        along = np.cumsum(pitch * gaps)
        along -= along[ABOVE + ANNOTATED // 2]
        vertebrae = []
        for y, step in zip(along, pitch, strict=True):
            x = sum(size * np.sin(turn * y + phase) for size, turn, phase in waves)
            slope = sum(size * turn * np.cos(turn * y + phase) for size, turn, phase in waves)
            vertebrae.append(
                Vertebra(
                    middle_xy=np.array([x, y]),
                    angle=-float(np.arctan(slope)) + clipped_normal(rng, 0.022),
                    width=1.28 * step * slender * clipped_normal(rng, 0.02, 1.0),
                    height=0.79 * step * clipped_normal(rng, 0.02, 1.0),
                )
            )
        return cls(
            vertebrae=tuple(vertebrae),
            local=LOCAL.sample(rng),
            girth=clipped_normal(rng, 0.05, 1.0),
            breath=rng.uniform(-15.0, 35.0),
        )

    @property
    def annotated(self) -> tuple[Vertebra, ...]:
        """The vertebrae that carry landmarks."""
        return self.vertebrae[ABOVE : ABOVE + ANNOTATED]

    def shaped(self, points_xy: Points) -> Points:
        """Return where drawn points lie in this subject, (N, 2) mm."""
        return np.asarray(points_xy + LOCAL.along(points_xy, self.local))
