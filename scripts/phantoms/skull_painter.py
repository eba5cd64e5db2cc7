"""What a lateral skull absorbs, body by body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms import neck_drawing as neck
from phantoms import plate_drawing as plate
from phantoms import skull_drawing as draw
from phantoms.absorption import CORTEX, ENAMEL, METAL, SOFT, Absorption
from phantoms.marks import resample_polyline, write_lead
from phantoms.outline import STEP_MM, Drawing, Outline, make_outline
from phantoms.shape_model import Pose, clipped_normal
from phantoms.skull_subject import Bump, SkullSubject
from phantoms.teeth import LOWER, UPPER, Tooth

Points = NDArray[np.float64]

# Thin plates seen edge-on: drawing, region, width in mm, optical depth, and how
# strongly the far side's twin shows (0: in the middle, there is none).
PLATES: tuple[tuple[Drawing, str, float, float, float], ...] = (
    (plate.SELLA_WALL, "sella", 1.1, 0.42, 0.0),
    (plate.ANTERIOR_CLINOID, "sella", 1.2, 0.30, 0.6),
    (plate.CRIBRIFORM, "vault", 0.9, 0.28, 0.0),
    (plate.ORBITAL_ROOF, "vault", 1.3, 0.34, 0.8),
    (plate.SPHENOID_WING, "base", 1.1, 0.30, 0.8),
    (plate.OCCIPITAL_CREST, "vault", 3.0, 0.22, 0.0),
    (plate.ORBITAL_RIM, "orbit", 1.4, 0.50, 0.45),
    (plate.ORBITAL_FLOOR, "orbit", 1.0, 0.30, 0.5),
    (plate.KEY_RIDGE, "orbit", 1.5, 0.36, 0.6),
    (plate.ZYGOMATIC_ARCH_TOP, "orbit", 1.2, 0.16, 0.7),
    (plate.ZYGOMATIC_ARCH_LOW, "orbit", 1.4, 0.18, 0.7),
    (plate.PTERYGOID_BACK, "maxilla", 1.1, 0.30, 0.5),
    (plate.PTERYGOID_FRONT, "maxilla", 1.0, 0.28, 0.5),
    (plate.FRONTAL_PROCESS, "maxilla", 2.0, 0.20, 0.0),
)


class SkullPainter:
    """Puts one person's head into the beam.

    Parameters
    ----------
    subject : SkullSubject
        The shape.
    absorption : Absorption
        Where the bodies go.
    pose : Pose
        How the head stands.
    rng : Generator
        Draws what is not shape.
    """

    def __init__(
        self, subject: SkullSubject, absorption: Absorption, pose: Pose, rng: np.random.Generator
    ) -> None:
        self.subject = subject
        self.to = absorption
        self.pose = pose
        self.rng = rng
        self.density = clipped_normal(rng, 0.14, 1.0)
        self.far_size = 1 + abs(clipped_normal(rng, 0.012, 0.018))
        self.far_shift_xy = np.array([clipped_normal(rng, 1.2), clipped_normal(rng, 1.2)])

    def paint(self, nasion_xy: Points) -> None:
        """Draw everything; the suture at the nasion begins at ``nasion_xy``."""
        self._soft_tissue()
        self._vault()
        self._base()
        self._plates()
        self._midface(nasion_xy)
        self._jaw()
        self._teeth()
        self._spine()
        self._holder()

    # -- curves in pixels ---------------------------------------------------------

    def curve(self, drawing: Drawing | Outline, region: str, closed: bool = True) -> Points:
        """Return a dense curve in pixels."""
        outline = drawing if isinstance(drawing, Outline) else make_outline(drawing, closed)
        return self.pose.to_image(self.subject.shaped(outline.dense(), region))

    def far_curve(self, drawing: Drawing | Outline, region: str, closed: bool = True) -> Points:
        """Return the same structure of the side that is nearer to the tube."""
        outline = drawing if isinstance(drawing, Outline) else make_outline(drawing, closed)
        points = self.subject.shaped(outline.dense(), region) + self.far_shift_xy
        return self.pose.to_image(points, self.far_size)

    # -- parts ------------------------------------------------------------------

    def _soft_tissue(self) -> None:
        skin = self.to.region(self.curve(draw.PROFILE, "profile"))
        self.to.solid(skin, 40.0, SOFT * 0.75)
        self.to.slab(skin, 0.12, texture=self.to.texture.broad, grain=0.5)
        for drawing, region, depth in (
            (neck.AIRWAY, "airway", -0.42),
            (draw.NASAL_CAVITY, "maxilla", -0.22),
            (neck.TONGUE_SPACE, "airway", -0.12),
        ):
            curve = self.curve(drawing, region)
            self.to.slab(curve, depth * self.rng.uniform(0.6, 1.3), soften_mm=4.0)

    def _vault(self) -> None:
        to, texture = self.to, self.to.texture
        outer = to.region(self.curve(draw.VAULT, "vault"))
        inner = to.region(self.curve(draw.CAVITY, "vault"))
        to.bone(outer, 58.0, 1.6, strength=0.7 * self.density, grain=0.15)
        to.solid(outer, 50.0, SOFT * 0.18)
        # The body above is bone all through: the cavity takes its marrow away.
        to.solid(inner, 52.0, -0.0054 * self.density)
        to.bone(inner, 8.0, 1.2, strength=0.35 * self.density, grain=0.0)
        to.slab(inner, 0.09, texture=texture.broad, grain=0.5, soften_mm=8)
        to.slab(inner, 0.04, texture=texture.patchy, grain=0.7, soften_mm=8)
        for suture in (plate.CORONAL_SUTURE, plate.LAMBDOID_SUTURE):
            self._suture(suture)
        groove = self.curve(plate.MENINGEAL_GROOVE, "vault", False)
        to.stroke(groove, 1.8, -0.09)

    def _suture(self, drawing: Drawing) -> None:
        """Draw a line that meanders, as no two skulls' do alike."""
        curve = self.curve(drawing, "vault", False)
        steps = self.rng.standard_normal((len(curve), 2))
        kernel = np.hanning(31) / np.hanning(31).sum()
        sideways = [np.convolve(axis, kernel, "same") for axis in steps.T]
        self.to.stroke(curve + 14.0 * np.stack(sideways, axis=1), 0.8, -0.16)

    def _base(self) -> None:
        to, patchy = self.to, self.to.texture.patchy
        rng = self.rng
        to.slab(self.curve(draw.SPHENOID_SINUS, "base"), -0.30 * rng.uniform(0.6, 1.3), soften_mm=2)
        to.slab(
            self.curve(draw.FRONTAL_SINUS, "vault"), -0.55 * rng.uniform(0.3, 1.1), soften_mm=1.5
        )
        petrous, mastoid = (self.curve(drawing, "ear") for drawing in (draw.PETROUS, draw.MASTOID))
        dense = 0.36 * self.density
        to.slab(petrous, dense, texture=patchy, grain=0.22, soften_mm=7)
        to.slab(mastoid, 0.10, texture=patchy, grain=1.2, soften_mm=6)
        canal = self.curve(draw.EAR_CANAL, "ear")
        to.slab(canal, -0.42, soften_mm=1.2)
        to.stroke(canal, 1.0, 0.55 * self.density)
        # The base's lower border crosses the jaw's hind border at articulare.
        mean = np.array([make_outline(neck.MANDIBLE).landmarks()["articulare"]])
        apart = self.subject.shaped(mean, "jaw") - self.subject.shaped(mean, "base")
        pull = Bump((mean[0, 0], mean[0, 1]), 7.0, (apart[0, 0], apart[0, 1]))
        line = make_outline(plate.SKULL_BASE, closed=False).dense()
        shaped = self.subject.shaped(line, "base") + pull.displacement(line)
        to.stroke(self.pose.to_image(shaped), 1.3, 0.40 * self.density)

    def _plates(self) -> None:
        for drawing, region, width_mm, depth, far in PLATES:
            # Steps of a quarter keep the number of stroke layers small.
            width = round(width_mm * self.rng.uniform(0.8, 1.4) * 4) / 4
            height = depth * self.density * self.rng.uniform(0.65, 1.3)
            self.to.stroke(self.curve(drawing, region, False), width, height)
            if far:
                height *= far * self.rng.uniform(0.5, 1.4)
                twin = self.far_curve(drawing, region, False)
                self.to.stroke(twin, width, height)

    def _midface(self, nasion_xy: Points) -> None:
        to, rng, density = self.to, self.rng, self.density
        to.bone(self.curve(draw.MAXILLA, "maxilla"), 7.0, 0.9, strength=1.1 * density)
        to.bone(self.curve(draw.PALATE, "maxilla"), 9.0, 0.9, strength=1.1 * density)
        for curve, air in (
            (self.curve(draw.MAXILLARY_SINUS, "maxilla"), -0.26),
            (self.far_curve(draw.MAXILLARY_SINUS, "maxilla"), -0.12),
        ):
            to.slab(curve, air * rng.uniform(0.5, 1.3), soften_mm=2)
        cells = self.curve(draw.ETHMOID, "orbit")
        to.slab(cells, -0.09, texture=to.texture.patchy, grain=1.0)
        to.bone(self.curve(draw.NASAL_BONE, "vault"), 4.0, 1.0, strength=density)
        to.bone(self.curve(draw.ZYGOMA, "orbit"), 5.0, 1.2, strength=0.5 * density)
        to.bone(self.far_curve(draw.ZYGOMA, "orbit"), 5.0, 1.2, strength=0.35)
        seam = np.stack([nasion_xy, nasion_xy + np.array([-5.5, 3.0])])
        to.stroke(self.pose.to_image(resample_polyline(seam, STEP_MM)), 0.9, -0.30)

    def _jaw(self) -> None:
        density = self.density
        for curve, radius, cortex, strength in (
            (self.curve(neck.MANDIBLE, "jaw"), 5.5, 2.3, 1.05),
            (self.far_curve(neck.MANDIBLE, "jaw"), 5.5, 2.0, 0.6),
            (self.curve(neck.SYMPHYSIS, "jaw"), 7.0, 2.2, 0.9),
        ):
            self.to.bone(curve, radius, cortex, strength=strength * density)
        self.to.bone(self.curve(neck.HYOID, "profile"), 4.0, 0.8, strength=0.7)

    def _teeth(self) -> None:
        for row, region, tilt in (
            (UPPER, "maxilla", self.subject.upper_incisor),
            (LOWER, "jaw", self.subject.lower_incisor),
        ):
            for place, tooth in enumerate(row):
                turn = tilt * max(0.0, 1 - place / 2)
                for far in (True, False):
                    self._tooth(tooth, region, turn, far)

    def _tooth(self, tooth: Tooth, region: str, turn: float, far: bool) -> None:
        curve = self.far_curve if far else self.curve
        strength = (0.5 if far else 1.0) * self.density
        apex = tooth.apex_xy
        crown = self.to.region(curve(tooth.crown_outline().turned(apex, turn), region))
        self.to.solid(crown, 3.2, ENAMEL * strength * 1.15)
        for outline in tooth.root_outlines():
            root = curve(outline.turned(apex, turn), region)
            self.to.solid(root, 2.6, CORTEX * strength * 1.5)
            if not far:
                self.to.stroke(root, 0.5, -0.07)
        if far:
            return
        self.to.stroke(curve(tooth.pulp().turned(apex, turn), region), 1.0, -0.12)
        if not tooth.name and self.rng.random() < 0.12:
            self.to.solid(crown, 1.2, METAL * self.rng.uniform(0.4, 1.0))

    def _spine(self) -> None:
        for body in neck.VERTEBRAE:
            curve = self.curve(body, "spine")
            self.to.bone(curve, 12.0, 1.0, strength=self.density, grain=0.7)
        for process in neck.SPINOUS:
            curve = self.curve(process, "spine")
            self.to.bone(curve, 5.0, 1.2, strength=0.9 * self.density)

    def _holder(self) -> None:
        """Ear rods and their ring, a ruler, letters: none of it the patient."""
        rng = self.rng
        turn = np.linspace(0, 2 * np.pi, 400)
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        centre = np.array([-24.0 + clipped_normal(rng, 1.5), 29.5 + clipped_normal(rng, 1.5)])
        for radius, height in ((6.5, 0.45), (2.6, 0.30)):
            points = self.subject.shaped(centre + radius * circle, "base")
            ring = self.pose.to_image(points)
            self.to.stroke(ring, 1.0, height * rng.uniform(0.4, 1))
        height_px, width_px = self.to.shape_yx
        mm = self.to.mm_per_px
        if rng.random() < 0.7:
            left = width_px - rng.uniform(12, 30) / mm
            bottom = rng.uniform(0.2, 0.35) * height_px
            for offset in (0.0, 5.0 / mm):
                bar = np.array([[-5.0, left + offset], [bottom, left + offset]])
                self.to.stroke(resample_polyline(bar), 1.25, 0.5)
            for tick in np.arange(bottom - 30 / mm, bottom, 10 / mm):
                mark = np.array([[tick, left], [tick, left + 3 / mm]])
                self.to.stroke(resample_polyline(mark), 0.75, 1.2)
        digits = "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(3, 7))))
        # Above the face there is air; below the chin there may be none.
        corner = (rng.uniform(5, 16) / mm, rng.uniform(3, 12) / mm)
        if rng.random() < 0.5:
            corner = (rng.uniform(5, 16) / mm, width_px - rng.uniform(44, 50) / mm)
        write_lead(
            self.to,
            str(rng.choice(["L", "R"])) + digits,
            corner,
            rng.uniform(3.5, 5.5),
            rng.normal(0, 0.03),
        )
