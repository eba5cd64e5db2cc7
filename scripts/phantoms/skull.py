"""A lateral skull between tube and film: its landmarks and its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phantoms import neck_drawing as neck
from phantoms import plate_drawing as plate
from phantoms import skull_drawing as draw
from phantoms.absorption import Absorption
from phantoms.outline import Drawing, make_outline
from phantoms.shape_model import Pose
from phantoms.skull_painter import SkullPainter
from phantoms.skull_subject import SkullSubject
from phantoms.teeth import LOWER, UPPER

Points = NDArray[np.float64]

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

SELLA_XY = (0.0, 0.5)
"""Middle of the fossa that SELLA_WALL draws."""

# The drawings that hold landmarks, and the region that carries each.
CARRIERS: tuple[tuple[Drawing, str], ...] = (
    (draw.VAULT, "vault"),
    (plate.ORBITAL_RIM, "orbit"),
    (draw.EAR_CANAL, "ear"),
    (draw.MAXILLA, "maxilla"),
    (draw.PALATE, "maxilla"),
    (neck.MANDIBLE, "jaw"),
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

    def landmarks_xy(self) -> dict[str, Points]:
        """Return the subject's landmarks in mm, in the order of ``NAMES``."""
        subject = self.subject
        outlines = [(make_outline(drawing), region) for drawing, region in CARRIERS]
        for tooth, angle, region in (
            (UPPER[0], subject.upper_incisor, "maxilla"),
            (LOWER[0], subject.lower_incisor, "jaw"),
        ):
            crown = tooth.crown_outline().turned(tooth.apex_xy, angle)
            outlines.append((crown, region))
        found = {
            name: subject.shaped(point[None], region)[0]
            for outline, region in outlines
            for name, point in outline.landmarks().items()
        }
        found["sella"] = subject.shaped(np.array([SELLA_XY]), "sella")[0]
        return {name: found[name] for name in NAMES}

    def absorb(self, absorption: Absorption, pose: Pose, rng: np.random.Generator) -> None:
        """Put the whole scene into the beam.

        ``rng`` draws what is not shape: densities, the far side's offset,
        fillings, the head holder.
        """
        nasion_xy = self.landmarks_xy()["nasion"]
        SkullPainter(self.subject, absorption, pose, rng).paint(nasion_xy)
