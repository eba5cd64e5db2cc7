"""One subject of the hand: rays of bones with joints, then smooth modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.hand_drawing import CARPALS, RAYS, BoneForm
from phantoms.outline import Outline, make_outline
from phantoms.shape_model import SmoothModes, clipped_normal

Points = NDArray[np.float64]

WIDE = SmoothModes.of_scale(length_mm=70.0, sd_mm=2.2, count=24, seed=3)
LOCAL = SmoothModes.of_scale(length_mm=24.0, sd_mm=0.55, count=60, seed=4)


@dataclass(frozen=True, eq=False)
class Bone:
    """A long bone of one subject, before the smooth modes.

    Parameters
    ----------
    form : BoneForm
        Its sizes.
    base_xy : ndarray, (2,)
        Middle of its base, mm.
    angle : float
        Radians from straight up, clockwise.
    kind : str
        "metacarpal", "phalanx" or "tip".
    """

    form: BoneForm
    base_xy: Points
    angle: float
    kind: str

    def placed(self, local: Points) -> Points:
        """Map (across, along) in mm to the drawing's (x, y)."""
        along = np.array([np.sin(self.angle), -np.cos(self.angle)])
        across = np.array([np.cos(self.angle), np.sin(self.angle)])
        return np.asarray(self.base_xy + local[:, :1] * across + local[:, 1:] * along)

    @property
    def head_xy(self) -> Points:
        """Middle of the head."""
        return np.asarray(self.placed(np.array([[0.0, self.form.length]]))[0])

    def outline(self) -> Outline:
        """Return the contour; it passes through the middles of base and head."""
        f = self.form
        b, w, h, n = f.base / 2, f.waist / 2, f.head / 2, f.length
        # A phalanx has a hollow base, a metacarpal an almost flat one; heads
        # are round on the metacarpals, notched pulleys on the phalanges.
        hollow = 0.05 * f.base if self.kind != "metacarpal" else -0.02 * f.base
        right: list[tuple[float, float]] = [
            (b * 0.92, -hollow * 0.4),
            (b, 0.07 * n),
            (0.62 * b + 0.38 * w, 0.2 * n),
            (w, 0.5 * n),
        ]
        if self.kind == "tip":
            right += [(w, 0.68 * n), (h, 0.85 * n), (0.72 * h, 0.97 * n)]
            top = (0.0, n)
        elif self.kind == "phalanx":
            right += [(0.9 * w + 0.1 * h, 0.72 * n), (h * 0.97, 0.9 * n)]
            right += [(0.78 * h, n + 0.04 * f.head)]
            top = (0.0, n - 0.03 * f.head)
        else:
            right += [(0.85 * w + 0.15 * h, 0.72 * n), (h, n - 0.55 * f.head)]
            right += [(0.8 * h, n - 0.2 * f.head)]
            top = (0.0, n)
        left = [(-across, along) for across, along in reversed(right)]
        points = np.array([(0.0, 0.0), *right, top, *left])
        # The rims of the base are corners, before and after its middle.
        return Outline(self.placed(points), {}, (1, len(points) - 1), True)

    def cortex_mm(self, dense_xy: Points) -> Points:
        """Cortex at points of the contour: thick on the shaft, thin at the ends."""
        offset = dense_xy - self.base_xy
        along = offset @ np.array([np.sin(self.angle), -np.cos(self.angle)])
        share = np.clip(along / self.form.length, 0, 1)
        shaft = np.clip(1 - (2 * share - 1) ** 4 * 1.2, 0, 1)
        thick = 0.2 * self.form.waist
        return np.asarray(0.45 + (thick - 0.45) * shaft)


@dataclass(frozen=True, eq=False)
class HandSubject:
    """Shape of one hand.

    Parameters
    ----------
    rays : tuple of tuple of Bone
        Thumb to little finger, metacarpal first.
    carpals : tuple of tuple of float
        Size factor and shift (x, y) in mm of each carpal bone.
    wide, local : ndarray
        Coefficients of the smooth modes.
    open_physis : float
        0 for a grown-up, up to 1 for wide-open growth plates.
    fullness : float
        Factor on the soft tissue around the fingers.
    """

    rays: tuple[tuple[Bone, ...], ...]
    carpals: tuple[tuple[float, float, float], ...]
    wide: Points
    local: Points
    open_physis: float
    fullness: float

    @classmethod
    def sampled(cls, rng: np.random.Generator) -> HandSubject:
        """Draw a subject: proportions, spread of the fingers, age."""
        slender = clipped_normal(rng, 0.06, 1.0)
        spread = clipped_normal(rng, 0.32, 1.0)
        thumb = clipped_normal(rng, 7.0)
        rays = []
        for place, ray in enumerate(RAYS):
            long = clipped_normal(rng, 0.025, 1.0)
            base = np.array(ray.base_xy)
            angle, bones = 0.0, []
            for step, mean in enumerate(ray.bones):
                turn = mean.turn_deg
                if place == 0:
                    turn += thumb * (1.0, 0.6, 0.3)[step] + clipped_normal(rng, 2.5)
                elif step < 2:
                    # Spreading acts at the knuckles, hardly in the palm.
                    fan = (0.0, 12.0, 2.0, -8.0, -16.0)[place]
                    turn += (0.12, 0.5)[step] * (spread - 1) * fan
                    turn += clipped_normal(rng, (0.8, 2.5)[step])
                else:
                    turn += clipped_normal(rng, 2.2)
                angle += np.deg2rad(turn)
                # Flexion out of the plane of the film shortens the picture.
                flexed = 1 - 0.06 * rng.random() ** 2 * (step > 0)
                form = BoneForm(
                    mean.length * long * clipped_normal(rng, 0.02, 1.0) * flexed,
                    mean.base * slender * clipped_normal(rng, 0.03, 1.0),
                    mean.waist * slender * clipped_normal(rng, 0.03, 1.0),
                    mean.head * slender * clipped_normal(rng, 0.03, 1.0),
                    turn,
                )
                last = step == len(ray.bones) - 1
                kind = "tip" if last else "phalanx" if step else "metacarpal"
                bone = Bone(form, base, angle, kind)
                bones.append(bone)
                gap = 1.6 + 0.5 * rng.random()
                base = bone.placed(np.array([[0.0, form.length + gap]]))[0]
            rays.append(tuple(bones))
        young = rng.random() < 0.4
        return cls(
            rays=tuple(rays),
            carpals=tuple(
                (
                    clipped_normal(rng, 0.05, 1.06),
                    clipped_normal(rng, 0.7),
                    clipped_normal(rng, 0.7),
                )
                for _ in CARPALS
            ),
            wide=WIDE.sample(rng),
            local=LOCAL.sample(rng),
            open_physis=rng.uniform(0.25, 1.0) if young else 0.0,
            fullness=clipped_normal(rng, 0.08, 1.0),
        )

    def carpal(self, number: int) -> Outline:
        """Return the contour of a carpal bone, before the smooth modes."""
        outline = make_outline(CARPALS[number])
        size, *shift_xy = self.carpals[number]
        middle = outline.points_xy.mean(axis=0)
        points = middle + size * (outline.points_xy - middle) + np.array(shift_xy)
        return Outline(points, outline.names, outline.corners, True)

    def shaped(self, points_xy: Points) -> Points:
        """Return where drawn points lie in this subject, (N, 2) mm."""
        points = np.array(points_xy, dtype=float)
        points += WIDE.along(points_xy, self.wide)
        points += LOCAL.along(points_xy, self.local)
        return points
