"""The mean hand, drawn in millimetres about the middle of the wrist.

A hand seen from its back, thumb to the right, fingers up, y growing downwards.
Lengths of the rays follow those of an adult; the rest is drawn by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from phantoms.outline import Drawing


@dataclass(frozen=True)
class BoneForm:
    """A long bone along its own axis, in mm.

    Parameters
    ----------
    length : float
        From the middle of the base to the middle of the head.
    base, waist, head : float
        Widths.
    turn_deg : float
        Angle to the bone before it, clockwise; of a metacarpal, to straight up.
    """

    length: float
    base: float
    waist: float
    head: float
    turn_deg: float


@dataclass(frozen=True)
class Ray:
    """A digit: where its metacarpal begins, and its bones from there outwards.

    Parameters
    ----------
    names : tuple of str
        Landmarks: the tip, the joints from the tip to the knuckle, the base.
    base_xy : tuple of float
        Middle of the metacarpal's base.
    bones : tuple of BoneForm
        Metacarpal first, the last one ends in the tip.
    """

    names: tuple[str, ...]
    base_xy: tuple[float, float]
    bones: tuple[BoneForm, ...]


RAYS: tuple[Ray, ...] = (
    Ray(
        ("01", "02", "03", "04"),
        (29.5, -8.5),
        (
            BoneForm(44, 14.5, 9.0, 14.0, 47),
            BoneForm(30, 14.0, 8.5, 11.5, -9),
            BoneForm(21, 12.5, 6.0, 8.0, -2),
        ),
    ),
    Ray(
        ("05", "06", "07", "08", "09"),
        (14.0, -15.5),
        (
            BoneForm(64, 13.0, 8.2, 14.5, 13),
            BoneForm(38, 14.0, 8.8, 11.5, 3),
            BoneForm(22, 12.5, 7.6, 10.0, 2),
            BoneForm(16, 10.0, 4.6, 7.0, 0),
        ),
    ),
    Ray(
        ("10", "11", "12", "13", "14"),
        (3.6, -17.0),
        (
            BoneForm(62, 12.0, 8.2, 14.5, 3),
            BoneForm(42, 14.0, 9.0, 12.0, 0),
            BoneForm(27, 12.8, 7.8, 10.4, 0),
            BoneForm(17, 10.4, 4.8, 7.4, -1),
        ),
    ),
    Ray(
        ("15", "16", "17", "18", "19"),
        (-5.8, -15.8),
        (
            BoneForm(55, 10.6, 7.0, 12.6, -8),
            BoneForm(39, 13.0, 8.2, 11.0, -3),
            BoneForm(25.5, 12.0, 7.2, 9.8, -2),
            BoneForm(17, 9.8, 4.6, 7.2, 0),
        ),
    ),
    Ray(
        ("20", "21", "22", "23", "24"),
        (-14.0, -12.5),
        (
            BoneForm(51, 11.6, 6.6, 11.8, -19),
            BoneForm(31, 12.0, 7.0, 9.4, -7),
            BoneForm(18, 10.2, 6.0, 8.2, 1),
            BoneForm(15, 8.2, 4.0, 5.8, 3),
        ),
    ),
)

RADIUS: Drawing = [
    (23.5, 18.5, "25!"),
    (14, 23.5),
    (4, 26.3),
    (-5.2, 25.8, "26!"),
    (-5.6, 33),
    (-2.5, 47),
    (0.5, 75),
    (2, 150),
    (16.5, 150),
    (17, 75),
    (20, 50),
    (25.2, 36),
    (26, 26),
]
ULNA: Drawing = [
    (-8.2, 28.6, "!"),
    (-14, 27.2),
    (-19, 27.4),
    (-21.6, 22, "28!"),
    (-22.8, 30),
    (-21, 41),
    (-18.3, 60),
    (-17.5, 150),
    (-7, 150),
    (-8.2, 60),
    (-8.7, 42),
    (-7.6, 34),
]
SCAPHOID: Drawing = [
    (10.2, 21.2, "30"),
    (16, 17.2),
    (20.6, 9),
    (21.4, 0.6, "29"),
    (16.8, -0.6),
    (13, 5),
    (10.6, 11),
    (8.9, 17),
]
LUNATE: Drawing = [
    (-1, 12.6),
    (5.5, 13.4),
    (8, 18),
    (3.5, 23.6),
    (-2.8, 23.4),
    (-6.3, 19, "31"),
    (-4.6, 14),
]
TRIQUETRUM: Drawing = [
    (-6.8, 10.4),
    (-10.5, 5.4),
    (-15.5, 2.8),
    (-19.4, 7, "32"),
    (-17, 13.5),
    (-11.5, 17),
    (-7.5, 15.6),
]
HAMATE: Drawing = [
    (-4.2, -12.8),
    (-13, -9.8),
    (-15.2, -6, "27"),
    (-10.4, 2),
    (-4.4, 9, "33!"),
    (-3.4, 2),
    (-3.6, -6),
]
CAPITATE: Drawing = [
    (-1.6, -13.8),
    (7.8, -13.6, "35!"),
    (8.3, -6),
    (7.2, 2.5),
    (7.6, 8),
    (3.4, 11.4, "34"),
    (-1, 9.5),
    (-2.4, 2),
    (-2.2, -8),
]
TRAPEZOID: Drawing = [(10, -12.2), (17.4, -10.6, "36!"), (17.2, -4), (13.5, -2.4), (10, -5.5)]
TRAPEZIUM: Drawing = [
    (19.5, -9.6),
    (25, -7),
    (29.6, -2.2, "37"),
    (26.4, 3.2),
    (22, 1.4),
    (18.9, -4),
]
PISIFORM: Drawing = [(-16.5, 6.5), (-12.5, 10), (-14, 15), (-18.5, 15.2), (-20.5, 10.5)]

CARPALS: tuple[Drawing, ...] = (
    SCAPHOID,
    LUNATE,
    TRIQUETRUM,
    HAMATE,
    CAPITATE,
    TRAPEZOID,
    TRAPEZIUM,
    PISIFORM,
)

FOREARM_SKIN: Drawing = [
    (34, 2),
    (35, 16),
    (31, 32),
    (29, 55),
    (30, 90),
    (33, 155),
    (-33, 155),
    (-29, 90),
    (-27, 55),
    (-27.5, 30),
    (-27, 14),
    (-24, -6),
    (0, -30),
    (26, -20),
]
