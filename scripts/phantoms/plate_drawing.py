"""Thin plates and seams of the mean skull, seen edge-on: open lines.

In the frame of ``skull_drawing``.
"""

from __future__ import annotations

from phantoms.outline import Drawing

SELLA_WALL: Drawing = [
    (11.5, -7.5),
    (9, -6.5, "!"),
    (7.5, -2),
    (6, 3.5),
    (0, 6.8),
    (-6, 4),
    (-7.5, -1),
    (-9.5, -6.5, "!"),
    (-13, 3),
    (-19, 16),
    (-26, 33),
]

ANTERIOR_CLINOID: Drawing = [(15, -11.5), (8, -10.5), (2.5, -8.3), (8, -7.8), (14, -8.5)]

CRIBRIFORM: Drawing = [(9, -6.5), (20, -9.5), (40, -12.5), (61, -15.5)]

ORBITAL_ROOF: Drawing = [(12, -11), (26, -19), (44, -24), (60, -22), (67, -13)]

ORBITAL_RIM: Drawing = [
    (66, -14),
    (58, -9),
    (52.8, -1),
    (50.2, 8),
    (51, 16),
    (54.8, 21.4, "orbitale!"),
    (60, 20),
    (63.5, 24),
]

ORBITAL_FLOOR: Drawing = [(54.8, 21.4), (46, 20.5), (36, 17), (27, 12)]

SPHENOID_WING: Drawing = [(24, -14), (18, -4), (17, 8), (22, 17), (27, 20)]

PTERYGOID_BACK: Drawing = [(20, 12), (17, 26), (19, 38), (22.5, 43)]

PTERYGOID_FRONT: Drawing = [(24, 15), (27, 24), (25, 36), (22.5, 43)]

KEY_RIDGE: Drawing = [(49, 21), (46, 30), (48, 40), (52, 43.5), (57, 38), (61, 26)]

ZYGOMATIC_ARCH_TOP: Drawing = [(48, 24), (32, 24.5), (12, 22), (-8, 20)]

ZYGOMATIC_ARCH_LOW: Drawing = [(47, 30), (32, 31), (12, 28), (-6, 26)]

SKULL_BASE: Drawing = [(22, 19), (8, 24), (-7, 26.5), (-17.2, 30.8), (-25, 38.5)]

FRONTAL_PROCESS: Drawing = [(68, -4), (65.5, 10), (63, 24)]

OCCIPITAL_CREST: Drawing = [(-30, 44), (-50, 38), (-72, 34), (-92, 22)]

CORONAL_SUTURE: Drawing = [(6, -103), (4, -80), (12, -56), (16, -34), (26, -16)]

LAMBDOID_SUTURE: Drawing = [(-96, -68), (-84, -40), (-76, -12), (-62, 12)]

MENINGEAL_GROOVE: Drawing = [(10, -14), (2, -36), (-14, -60), (-20, -88)]
