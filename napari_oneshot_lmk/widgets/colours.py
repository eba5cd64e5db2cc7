"""Colours: one a landmark while annotating, one a score after detecting."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# Orange to blue stays readable with any colour vision, and on black and white.
SCORE_STOPS = np.array([[1.0, 0.45, 0.0], [1.0, 0.86, 0.35], [0.20, 0.80, 1.0]], dtype=float)
UNKNOWN_SCORE = (0.75, 0.75, 0.75)
UNSURE_COLOUR = (1.0, 0.18, 0.10, 1.0)
"""Red enough to be seen on bone; its mark has a form of its own besides."""

MARK_DARK = (0.0, 0.0, 0.0, 0.7)
MARK_LIGHT = (1.0, 1.0, 1.0, 1.0)

# Steps of the golden ratio keep neighbours in the list apart in hue.
GOLDEN = 0.618033988749895


def landmark_colours(names: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """Give every name of a list its colour (RGBA, 0..1), by its place in the list."""
    colours = {}
    for index, name in enumerate(names):
        hue = (0.08 + index * GOLDEN) % 1.0
        # Blue is dark to the eye: lift it, or it drowns in a black background.
        lightness = 0.68 if 0.55 < hue < 0.8 else 0.58
        colours[name] = (*colorsys.hls_to_rgb(hue, lightness, 0.95), 1.0)
    return colours


def score_colours(scores: ArrayLike) -> NDArray[np.float64]:
    """Map (N,) scores in 0..1 to (N, 4) RGBA; grey where there is no score."""
    values = np.asarray(scores, dtype=float).reshape(-1)
    known = np.nan_to_num(np.clip(values, 0.0, 1.0))
    stops = np.linspace(0.0, 1.0, len(SCORE_STOPS))
    rgb = np.stack([np.interp(known, stops, c) for c in SCORE_STOPS.T], axis=-1)
    rgb[np.isnan(values)] = UNKNOWN_SCORE
    return np.hstack([rgb, np.ones((len(rgb), 1))])


def css(rgba: Sequence[float]) -> str:
    """Write a colour for a style sheet."""
    return "#" + "".join(f"{round(255 * v):02x}" for v in rgba[:3])
