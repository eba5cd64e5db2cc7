"""A lateral skull in the beam: which body goes where, and what it absorbs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.phantoms import skull_drawing as draw
from napari_oneshot_lmk.phantoms.absorption import (
    CORTEX,
    ENAMEL,
    METAL,
    SOFT,
    Absorption,
)
from napari_oneshot_lmk.phantoms.marks import write_lead
from napari_oneshot_lmk.phantoms.outline import STEP_MM, Drawing, Outline, drawn
from napari_oneshot_lmk.phantoms.shape_model import Pose, bounded
from napari_oneshot_lmk.phantoms.skull_subject import Bump, SkullSubject
from napari_oneshot_lmk.phantoms.teeth import LOWER, UPPER, Tooth

Points = NDArray[np.float64]
Shaping = Callable[[Points], Points]

NAMES: tuple[str, ...] = (
    "sella",
    "nasion",
    "orbitale",
    "porion",
    "subspinale_A",
    "supramentale_B",
    "pogonion",
    "menton",
    "gnathion",
    "gonion",
    "lower_incisal_incision",
    "upper_incisal_incision",
    "upper_lip",
    "lower_lip",
    "subnasale",
    "soft_tissue_pogonion",
    "posterior_nasal_spine",
    "anterior_nasal_spine",
    "articulare",
)

SELLA_XY = (0.0, 0.0)
"""Centre of the fossa that SELLA_WALL draws."""

# Which part of the subject carries each drawing that holds landmarks.
CARRIERS: tuple[tuple[Drawing, str], ...] = (
    (draw.VAULT, "bone"),
    (draw.ORBITAL_RIM, "bone"),
    (draw.EAR_CANAL, "bone"),
    (draw.MAXILLA, "bone"),
    (draw.PALATE, "bone"),
    (draw.MANDIBLE, "jaw"),
    (draw.PROFILE, "profile"),
)


class SkullScene:
    """One person between tube and film.

    Parameters
    ----------
    subject : SkullSubject
        The shape.
    """

    def __init__(self, subject: SkullSubject) -> None:
        self.subject = subject
        self.incisors = (
            _tilted(UPPER[0], subject.upper_incisor),
            _tilted(LOWER[0], subject.lower_incisor),
        )

    def landmarks_xy(self) -> dict[str, Points]:
        """Return the subject's landmarks in mm, in the order of ``NAMES``."""
        found: dict[str, Points] = {}
        shaped = self.subject.shaped
        for drawing, part in CARRIERS:
            for name, point in drawn(drawing).landmarks().items():
                found[name] = shaped(point[None], part)[0]
        for outline, part in zip(self.incisors, ("bone", "jaw"), strict=True):
            for name, point in outline.landmarks().items():
                found[name] = shaped(point[None], part)[0]
        found["sella"] = shaped(np.array([SELLA_XY]), "bone")[0]
        return {name: found[name] for name in NAMES}

    def absorb(
        self, absorption: Absorption, pose: Pose, rng: np.random.Generator
    ) -> None:
        """Put the whole scene into the beam.

        ``rng`` draws what is not shape: densities, the far side's offset,
        fillings, the head holder.
        """
        _SkullPainter(self, absorption, pose, rng).paint()


def _tilted(tooth: Tooth, angle: float) -> Outline:
    """Return the crown of an incisor turned about its apex."""
    return _turn(tooth.crown_outline(), tooth.apex_xy, angle)


def _turn(outline: Outline, about_xy: Points, angle: float) -> Outline:
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    points = (outline.points_xy - about_xy) @ turn.T + about_xy
    return Outline(points, outline.names, outline.corners, outline.closed)


class _SkullPainter:
    """Draws one scene; holds what every body of it needs."""

    def __init__(
        self,
        scene: SkullScene,
        absorption: Absorption,
        pose: Pose,
        rng: np.random.Generator,
    ) -> None:
        self.scene = scene
        self.subject = scene.subject
        self.to = absorption
        self.pose = pose
        self.rng = rng
        self.density = bounded(rng, 0.12, 1.0)
        self.far = (
            1 + abs(bounded(rng, 0.012, 0.018)),
            np.array([bounded(rng, 1.0), bounded(rng, 1.0)]),
        )

    def curve(
        self, drawing: Drawing | Outline, part: str, closed: bool = True
    ) -> Points:
        """Return a dense curve in pixels."""
        outline = drawing if isinstance(drawing, Outline) else drawn(drawing, closed)
        return self.pose.to_image(self.subject.shaped(outline.dense(), part))

    def far_curve(
        self, drawing: Drawing | Outline, part: str, closed: bool = True
    ) -> Points:
        """Return the same structure of the side that is nearer to the tube."""
        outline = drawing if isinstance(drawing, Outline) else drawn(drawing, closed)
        points = self.subject.shaped(outline.dense(), part) + self.far[1]
        return self.pose.to_image(points, self.far[0])

    def line(
        self, drawing: Drawing, width_mm: float, height: float, far: float = 0.0
    ) -> None:
        """Draw an edge-on plate of the cranium, and its far twin if wanted."""
        height *= self.density
        self.to.stroke(self.curve(drawing, "bone", False), width_mm, height)
        if far:
            self.to.stroke(
                self.far_curve(drawing, "bone", False), width_mm, height * far
            )

    def paint(self) -> None:
        """Draw everything."""
        self._soft_tissue()
        self._vault()
        self._base()
        self._midface()
        self._jaw()
        self._teeth()
        self._spine()
        self._holder()

    # -- parts ------------------------------------------------------------------

    def _soft_tissue(self) -> None:
        skin = self.to.region(self.curve(draw.PROFILE, "profile"))
        self.to.solid(skin, 40.0, SOFT * 0.75)
        self.to.slab(skin, 0.12, texture=self.to.texture.broad, grain=0.5)
        for drawing, depth in (
            (draw.AIRWAY, -0.42),
            (draw.NASAL_CAVITY, -0.22),
            (draw.TONGUE_SPACE, -0.12),
        ):
            part = "airway" if drawing is draw.AIRWAY else "bone"
            curve = self.curve(drawing, part)
            self.to.slab(curve, depth * self.rng.uniform(0.7, 1.2), soften_mm=4.0)

    def _vault(self) -> None:
        to, texture = self.to, self.to.texture
        outer = to.region(self.curve(draw.VAULT, "bone"))
        inner = to.region(self.curve(draw.CAVITY, "bone"))
        to.bone(outer, 58.0, 1.6, strength=0.7 * self.density, grain=0.15)
        to.solid(outer, 50.0, SOFT * 0.25)
        # The cavity holds brain, which was counted as bone above and in part.
        shell = 1.0 * self.density
        to.solid(inner, 52.0, -0.0077 * 0.7 * shell)
        to.bone(inner, 8.0, 1.2, strength=0.35 * shell, grain=0.0)
        to.slab(inner, 0.09, texture=texture.broad, grain=0.5, soften_mm=8)
        to.slab(inner, 0.04, texture=texture.patchy, grain=0.7, soften_mm=8)
        for suture in (draw.CORONAL_SUTURE, draw.LAMBDOID_SUTURE):
            self._suture(suture)
        groove = self.curve(draw.MENINGEAL_GROOVE, "bone", False)
        to.stroke(groove, 1.8, -0.09)

    def _suture(self, drawing: Drawing) -> None:
        curve = self.curve(drawing, "bone", False)
        steps = self.rng.standard_normal((len(curve), 2))
        kernel = np.hanning(31)
        wobble = np.stack(
            [np.convolve(steps[:, i], kernel / kernel.sum(), "same") for i in (0, 1)],
            axis=1,
        )
        self.to.stroke(curve + 14.0 * wobble, 0.8, -0.16)

    def _base(self) -> None:
        to, texture = self.to, self.to.texture
        to.slab(self.curve(draw.SPHENOID_SINUS, "bone"), -0.30, soften_mm=2)
        to.slab(self.curve(draw.FRONTAL_SINUS, "bone"), -0.55, soften_mm=1.5)
        to.slab(
            self.curve(draw.PETROUS, "bone"),
            0.36 * self.density,
            texture=texture.patchy,
            grain=0.22,
            soften_mm=7,
        )
        to.slab(
            self.curve(draw.MASTOID, "bone"),
            0.10,
            texture=texture.patchy,
            grain=1.2,
            soften_mm=6,
        )
        canal = self.curve(draw.EAR_CANAL, "bone")
        to.slab(canal, -0.42, soften_mm=1.2)
        to.stroke(canal, 1.0, 0.55 * self.density)
        self.line(draw.SELLA_WALL, 1.1, 0.42)
        self.line(draw.ANTERIOR_CLINOID, 1.2, 0.30, far=0.6)
        self.line(draw.CRIBRIFORM, 0.9, 0.28)
        self.line(draw.ORBITAL_ROOF, 1.3, 0.34, far=0.8)
        self.line(draw.SPHENOID_WING, 1.1, 0.30, far=0.8)
        self.line(draw.OCCIPITAL_CREST, 3.0, 0.22)
        # The base's lower border crosses the jaw's hind border at articulare.
        mean = np.array([drawn(draw.MANDIBLE).landmarks()["articulare"]])
        apart = self.subject.shaped(mean, "jaw") - self.subject.shaped(mean, "bone")
        pull = Bump(tuple(mean[0]), 7.0, tuple(apart[0]))
        outline = drawn(draw.SKULL_BASE, closed=False)
        dense = outline.dense()
        shaped = self.subject.shaped(dense, "bone") + pull.displacement(dense)
        to.stroke(self.pose.to_image(shaped), 1.3, 0.40 * self.density)

    def _midface(self) -> None:
        to, texture = self.to, self.to.texture
        to.bone(self.curve(draw.MAXILLA, "bone"), 7.0, 0.9, strength=1.1 * self.density)
        to.bone(self.curve(draw.PALATE, "bone"), 9.0, 0.9, strength=1.1 * self.density)
        to.slab(self.curve(draw.MAXILLARY_SINUS, "bone"), -0.26, soften_mm=2)
        to.slab(self.far_curve(draw.MAXILLARY_SINUS, "bone"), -0.12, soften_mm=2)
        to.slab(
            self.curve(draw.ETHMOID, "bone"), -0.09, texture=texture.patchy, grain=1.0
        )
        to.bone(self.curve(draw.NASAL_BONE, "bone"), 4.0, 1.0, strength=self.density)
        to.bone(self.curve(draw.ZYGOMA, "bone"), 5.0, 1.2, strength=0.5 * self.density)
        to.bone(self.far_curve(draw.ZYGOMA, "bone"), 5.0, 1.2, strength=0.35)
        self.line(draw.ORBITAL_RIM, 1.4, 0.50, far=0.45)
        self.line(draw.ORBITAL_FLOOR, 1.0, 0.30, far=0.5)
        self.line(draw.PTERYGOID_BACK, 1.1, 0.30, far=0.5)
        self.line(draw.PTERYGOID_FRONT, 1.0, 0.28, far=0.5)
        self.line(draw.KEY_RIDGE, 1.5, 0.36, far=0.6)
        self.line(draw.ZYGOMATIC_ARCH_TOP, 1.2, 0.16, far=0.7)
        self.line(draw.ZYGOMATIC_ARCH_LOW, 1.4, 0.18, far=0.7)
        self.line(draw.FRONTAL_PROCESS, 2.0, 0.20)
        nasion = self.scene.landmarks_xy()["nasion"]
        seam = np.stack([nasion, nasion + np.array([-5.5, 3.0])])
        dense = _line(seam, STEP_MM)
        to.stroke(self.pose.to_image(dense), 0.9, -0.30)

    def _jaw(self) -> None:
        self.to.bone(
            self.curve(draw.MANDIBLE, "jaw"), 5.5, 2.3, strength=1.05 * self.density
        )
        self.to.bone(
            self.far_curve(draw.MANDIBLE, "jaw"), 5.5, 2.0, strength=0.6 * self.density
        )
        self.to.bone(
            self.curve(draw.SYMPHYSIS, "jaw"), 7.0, 2.2, strength=0.9 * self.density
        )
        self.to.bone(self.curve(draw.HYOID, "profile"), 4.0, 0.8, strength=0.7)

    def _teeth(self) -> None:
        for row, part, tilt in (
            (UPPER, "bone", self.subject.upper_incisor),
            (LOWER, "jaw", self.subject.lower_incisor),
        ):
            for place, tooth in enumerate(row):
                turn = tilt * max(0.0, 1 - place / 2)
                for far in (True, False):
                    self._tooth(tooth, part, turn, far)

    def _tooth(self, tooth: Tooth, part: str, turn: float, far: bool) -> None:
        curve = self.far_curve if far else self.curve
        strength = (0.5 if far else 1.0) * self.density
        crown = self.to.region(
            curve(_turn(tooth.crown_outline(), tooth.apex_xy, turn), part)
        )
        self.to.solid(crown, 3.2, ENAMEL * strength * 1.15)
        for outline in tooth.root_outlines():
            root = curve(_turn(outline, tooth.apex_xy, turn), part)
            self.to.solid(root, 2.6, CORTEX * strength * 1.5)
            if not far:
                self.to.stroke(root, 0.5, -0.07)
        if not far:
            line = curve(_turn(tooth.pulp(), tooth.apex_xy, turn), part)
            self.to.stroke(line, 1.0, -0.12)
        if not tooth.name and self.rng.random() < 0.12:
            self.to.solid(crown, 1.2, METAL * self.rng.uniform(0.4, 1.0))

    def _spine(self) -> None:
        for body in draw.VERTEBRAE:
            curve = self.curve(body, "spine")
            self.to.bone(curve, 12.0, 1.0, strength=1.0 * self.density, grain=0.7)
        for process in draw.SPINOUS:
            curve = self.curve(process, "spine")
            self.to.bone(curve, 5.0, 1.2, strength=0.9 * self.density)

    def _holder(self) -> None:
        """Ear rods and their ring, a ruler, letters: none of it the patient."""
        rng = self.rng
        ring = np.linspace(0, 2 * np.pi, 200)
        circle = np.stack([np.cos(ring), np.sin(ring)], axis=1)
        centre = np.array([-24.0 + bounded(rng, 1.5), 29.5 + bounded(rng, 1.5)])
        for radius, height in ((6.5, 0.45), (2.6, 0.30)):
            points = self.subject.shaped(centre + radius * circle, "bone")
            self.to.stroke(
                self.pose.to_image(points), 0.9, height * rng.uniform(0.4, 1)
            )
        height_px, width_px = self.to.shape_yx
        mm = self.to.mm_per_px
        if rng.random() < 0.7:
            left = width_px - rng.uniform(12, 30) / mm
            bottom = rng.uniform(0.2, 0.35) * height_px
            for offset in (0.0, 5.0 / mm):
                bar = np.array([[-5.0, left + offset], [bottom, left + offset]])
                self.to.stroke(_line(bar), 1.2, 0.5)
            for tick in np.arange(bottom - 30 / mm, bottom, 10 / mm):
                mark = np.array([[tick, left], [tick, left + 3 / mm]])
                self.to.stroke(_line(mark), 0.8, 1.2)
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


def _line(ends: Points, step: float = 0.4) -> Points:
    count = int(np.ceil(np.linalg.norm(ends[1] - ends[0]) / step)) + 1
    return np.linspace(ends[0], ends[1], max(count, 2))
