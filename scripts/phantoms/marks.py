"""Lead letters and scratches: what a radiograph shows besides the patient."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phantoms.absorption import Absorption

Points = NDArray[np.float64]

# Strokes on a grid 4 wide and 6 high, as a lead letter is bent from wire.
GLYPHS: dict[str, list[list[tuple[float, float]]]] = {
    "L": [[(0, 0), (0, 6), (3.5, 6)]],
    "R": [[(0, 6), (0, 0), (2.5, 0), (3.5, 1.5), (2.5, 3), (0, 3)], [(1.5, 3), (4, 6)]],
    "0": [[(2, 0), (4, 2), (4, 4), (2, 6), (0, 4), (0, 2), (2, 0)]],
    "1": [[(0.8, 1.2), (2, 0), (2, 6)]],
    "2": [[(0, 1), (2, 0), (4, 1.2), (0, 6), (4, 6)]],
    "3": [[(0, 0), (4, 0), (2, 2.5), (4, 4.2), (2, 6), (0, 5.2)]],
    "4": [[(3, 6), (3, 0), (0, 4), (4, 4)]],
    "5": [[(4, 0), (0.4, 0), (0, 2.6), (3, 2.4), (4, 4), (2.4, 6), (0, 5.4)]],
    "6": [[(3.5, 0), (0, 4), (1.5, 6), (4, 4.5), (2, 3), (0, 4)]],
    "7": [[(0, 0), (4, 0), (1.4, 6)]],
    "8": [
        [(2, 3), (0.3, 1.5), (2, 0), (3.7, 1.5), (2, 3)],
        [(2, 3), (4, 4.6), (2, 6), (0, 4.6), (2, 3)],
    ],
    "9": [[(4, 2), (2, 3), (0.3, 1.5), (2, 0), (4, 2), (2, 6)]],
}


def write_lead(
    absorption: Absorption,
    text: str,
    corner_yx_px: tuple[float, float],
    height_mm: float,
    tilt: float = 0.0,
    depth: float = 2.0,
) -> None:
    """Put lead characters on the film, starting at their upper left corner."""
    unit_px = height_mm / 6 / absorption.mm_per_px
    cos, sin = np.cos(tilt), np.sin(tilt)
    for place, character in enumerate(text):
        for stroke in GLYPHS[character]:
            points = np.array(stroke, dtype=float) + np.array([place * 5.6, 0.0])
            points = points @ np.array([[cos, sin], [-sin, cos]]) * unit_px
            curve = resample_polyline(points[:, ::-1] + np.array(corner_yx_px))
            absorption.stroke(curve, max(height_mm * 0.15, 0.5), depth)


def resample_polyline(points: Points, step: float = 0.4) -> Points:
    """Return points along a polyline, at most ``step`` apart."""
    pieces = []
    for a, b in pairwise(points):
        count = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        pieces.append(np.linspace(a, b, count, endpoint=False))
    return np.vstack([*pieces, points[-1:]])


def scratch(absorption: Absorption, rng: np.random.Generator) -> None:
    """Add a few faint lines, as handling leaves them on film."""
    height, width = absorption.shape_yx
    for _ in range(int(rng.integers(0, 4))):
        start = rng.uniform([0, 0], [height, width])
        angle = rng.uniform(0, 2 * np.pi)
        length = rng.uniform(0.05, 0.4) * height
        end = start + length * np.array([np.sin(angle), np.cos(angle)])
        bend = (start + end) / 2 + rng.normal(0, 0.02 * length, 2)
        curve = resample_polyline(np.array([start, bend, end]))
        absorption.stroke(curve, 0.4, rng.choice([-1, 1]) * rng.uniform(0.03, 0.12))
