"""A hand in the beam: long bones, wrist, skin, and what people wear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from phantoms import hand_drawing as draw
from phantoms.absorption import METAL, SOFT, Absorption, path
from phantoms.hand_subject import Bone, HandSubject
from phantoms.marks import resample_polyline, write_lead
from phantoms.outline import make_outline
from phantoms.raster import fill
from phantoms.shape_model import Pose, clipped_normal

Points = NDArray[np.float64]

NAMES: tuple[str, ...] = tuple(f"{number:02d}" for number in range(1, 38))


class HandScene:
    """One hand between tube and film.

    Parameters
    ----------
    subject : HandSubject
        The shape.
    """

    def __init__(self, subject: HandSubject) -> None:
        self.subject = subject

    def landmarks_xy(self) -> dict[str, Points]:
        """Return the subject's landmarks in mm, in the order of ``NAMES``."""
        raw: dict[str, Points] = {}
        for ray, bones in zip(draw.RAYS, self.subject.rays, strict=True):
            joints = [bone.base_xy for bone in reversed(bones[2:])]
            points = [bones[-1].head_xy, *joints, bones[0].head_xy, bones[0].base_xy]
            if len(points) != len(ray.names):
                # The thumb has one phalanx fewer: its first joint is the second's.
                raise AssertionError(f"ray {ray.names} has {len(points)} landmarks")
            raw.update(zip(ray.names, points, strict=True))
        outlines = [make_outline(draw.RADIUS), make_outline(draw.ULNA)]
        outlines += [self.subject.carpal(i) for i in range(len(draw.CARPALS))]
        for outline in outlines:
            raw.update(outline.landmarks())
        return {name: self.subject.shaped(raw[name][None])[0] for name in NAMES}

    def absorb(self, absorption: Absorption, pose: Pose, rng: np.random.Generator) -> None:
        """Put the whole scene into the beam."""
        painter = _HandPainter(self.subject, absorption, pose, rng)
        painter.soft_tissue()
        painter.wrist()
        painter.long_bones()
        painter.worn()


class _HandPainter:
    """Draws one hand; holds what every body of it needs."""

    def __init__(
        self, subject: HandSubject, absorption: Absorption, pose: Pose, rng: np.random.Generator
    ) -> None:
        self.subject = subject
        self.to = absorption
        self.pose = pose
        self.rng = rng
        self.density = clipped_normal(rng, 0.12, 1.0)

    def place(self, points_xy: Points) -> Points:
        """Return drawn points in pixels."""
        return self.pose.to_image(self.subject.shaped(points_xy))

    def soft_tissue(self) -> None:
        """Add skin and flesh: fingers, palm and forearm in one smooth hull."""
        shape_yx = self.to.shape_yx
        covered = np.zeros(shape_yx, dtype=np.float32)
        contours = [self._finger(bones) for bones in self.subject.rays]
        contours += [make_outline(draw.FOREARM_SKIN).dense(), self._palm()]
        for contour in contours:
            region = fill(self.place(contour))
            on_image, on_window = region.overlap(shape_yx)
            covered[on_image] = np.maximum(covered[on_image], region.coverage[on_window])
        mm = self.to.mm_per_px
        # Blurring and cutting at one half rounds the webs between the fingers.
        smooth = gaussian_filter(covered, 1.8 / mm, mode="nearest")
        padded = np.pad(smooth > 0.5, 40, mode="edge")
        depth = distance_transform_edt(padded)[40:-40, 40:-40] * mm
        depth = gaussian_filter(depth.astype(np.float32), 1.0)
        self.to.depth += SOFT * path(depth, 8.5)
        palm = gaussian_filter(path(depth - 6.0, 14.0), 5.0 / mm)
        texture = 1 + 0.10 * self.to.texture.broad + 0.04 * self.to.texture.patchy
        self.to.depth += 0.35 * SOFT * palm * texture

    def _finger(self, bones: tuple[Bone, ...]) -> Points:
        """Return the closed skin contour of one digit."""
        full = self.subject.fullness
        right: list[Points] = []
        left: list[Points] = []
        for bone in bones:
            form = bone.form
            start = 0.35 if bone.kind == "metacarpal" else 0.0
            for share in np.arange(start, 1.0, 0.25):
                width = form.base / 2 + (form.head - form.base) / 2 * share
                half = (0.75 * width + 3.6) * full
                ends = np.array([[half, share], [-half, share]])
                ends[:, 1] *= form.length
                a, b = bone.placed(ends)
                right.append(a)
                left.append(b)
        tip = bones[-1]
        half = (tip.form.head / 2 + 3.3) * full
        n = tip.form.length
        cap = tip.placed(
            np.array(
                [
                    [half, n - 1.0],
                    [0.72 * half, n + 2.8],
                    [0.0, n + 4.6],
                    [-0.72 * half, n + 2.8],
                    [-half, n - 1.0],
                ]
            )
        )
        control = [*right, *cap, *reversed(left)]
        return make_outline([(p[0], p[1]) for p in control]).dense()

    def _palm(self) -> Points:
        """Return the hull of the palm, from the wrist to the knuckles."""
        thumb, index, middle, ring, little = self.subject.rays
        heads = [ray[0].head_xy for ray in (index, middle, ring, little)]
        control = [
            thumb[0].placed(np.array([[8.0, 0.0]]))[0],
            thumb[0].placed(np.array([[2.0, 0.75 * thumb[0].form.length]]))[0],
            (thumb[0].head_xy + index[0].head_xy) / 2 * 0.8 + 0.2 * heads[0],
            heads[0] + [9.5, 4.0],
            heads[0] + [8.0, -10.0],
            heads[1] + [0.0, -14.0],
            heads[2] + [0.0, -13.0],
            heads[3] + [-6.0, -9.0],
            heads[3] + [-10.5, 8.0],
            little[0].base_xy + np.array([-11.0, -4.0]),
            np.array([-24.0, 8.0]),
            np.array([0.0, 20.0]),
            np.array([30.0, 8.0]),
        ]
        return make_outline([(p[0], p[1]) for p in control]).dense()

    def wrist(self) -> None:
        """Add forearm bones and carpals."""
        for drawing in (draw.RADIUS, draw.ULNA):
            dense = make_outline(drawing).dense()
            shaft = np.clip((dense[:, 1] - 34) / 30, 0, 1)
            cortex = (0.7 + 1.9 * shaft) * np.sqrt(self.density)
            self.to.bone(self.place(dense), 7.5, cortex, strength=self.density)
        for number, drawing in enumerate(draw.CARPALS):
            faint = 0.5 if drawing is draw.PISIFORM else 0.9
            curve = self.place(self.subject.carpal(number).dense())
            strength = faint * self.density
            self.to.bone(curve, 6.5, 0.75, strength=strength, grain=0.45)
        if self.subject.open_physis:
            for ends in ([(-6, 34), (8, 35.5), (25.5, 33)], [(-22, 34.5), (-8, 35)]):
                self._physis(np.array(ends, dtype=float))

    def long_bones(self) -> None:
        """Add metacarpals and phalanges, growth plates, sesamoids."""
        for ray in self.subject.rays:
            for bone in ray:
                dense = bone.outline().dense()
                cortex = bone.cortex_mm(dense) * np.sqrt(self.density)
                radius = 0.5 * bone.form.waist + 1.0
                curve = self.place(dense)
                self.to.bone(curve, radius, cortex, strength=self.density, grain=0.5)
                if self.subject.open_physis:
                    self._bone_physis(bone, thumb=ray is self.subject.rays[0])
        knuckle = self.subject.rays[0][0]
        for across in (-4.5, 4.0):
            turn = np.linspace(0, 2 * np.pi, 60)
            circle = np.stack([1.9 * np.cos(turn), 1.5 * np.sin(turn)], axis=1)
            seed = circle + np.array([across, knuckle.form.length - 3.0])
            curve = self.place(resample_polyline(knuckle.placed(seed), 0.12))
            self.to.solid(curve, 2.0, 0.05 * self.density)

    def _bone_physis(self, bone: Bone, thumb: bool) -> None:
        """Mark the growth plate: at the base, of finger metacarpals at the head."""
        form = bone.form
        if bone.kind == "metacarpal" and not thumb:
            along, half = form.length - 0.62 * form.head, 0.46 * form.head
        else:
            along, half = 0.3 * form.base, 0.46 * form.base
        local = np.array([[-half, along], [0, along + 0.5], [half, along]])
        self._physis(bone.placed(local))

    def _physis(self, line_xy: Points) -> None:
        curve = self.place(resample_polyline(line_xy, 0.12))
        openness = self.subject.open_physis
        self.to.stroke(curve, 0.8 + 0.8 * round(openness, 1), -0.20 * self.density)
        chord = line_xy[-1] - line_xy[0]
        normal = np.array([-chord[1], chord[0]]) / np.linalg.norm(chord)
        for side in (-1.1, 1.1):
            edge = self.place(resample_polyline(line_xy + side * normal, 0.12))
            self.to.stroke(edge, 0.6, 0.07 * self.density)

    def worn(self) -> None:
        """Add a ring now and then, and the side's letter."""
        rng = self.rng
        if rng.random() < 0.15:
            bone = self.subject.rays[int(rng.integers(2, 5))][1]
            half = bone.form.base / 2 + 3.0
            along = bone.form.length * rng.uniform(0.3, 0.55)
            band = np.array([[-half, along], [0, along + 0.8], [half, along]])
            curve = self.place(resample_polyline(bone.placed(band), 0.12))
            self.to.stroke(curve, 2.0, 1.5 * METAL)
        height_px, width_px = self.to.shape_yx
        mm = self.to.mm_per_px
        corner = (
            rng.uniform(0.62, 0.9) * height_px,
            rng.uniform(4, 10) / mm if rng.random() < 0.5 else width_px - 22 / mm,
        )
        digits = "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(0, 3))))
        text = str(rng.choice(["L", "R"])) + digits
        write_lead(self.to, text, corner, rng.uniform(5, 8), rng.normal(0, 0.15))
