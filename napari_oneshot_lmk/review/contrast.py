"""Which grey levels of an image are shown, from black to white."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SAMPLES = 500_000
"""Pixels that the percentiles are taken of; of larger images, those of a regular grid."""


class Contrast(StrEnum):
    """Part of the grey levels that is spread from black to white; the rest is cut off.

    The halves are of the range between the two percentiles. On a radiograph on which dense
    tissue is bright, bone lies in the bright half, soft tissue in the dark one.
    """

    FULL = "full range"
    PERCENTILES = "1st to 99th percentile"
    BRIGHT = "bright half"
    DARK = "dark half"


def contrast_limits(pixels: NDArray[Any], contrast: Contrast) -> tuple[float, float]:
    """Return the grey levels that are shown black and white.

    Parameters
    ----------
    pixels : ndarray, (H, W)
        Values that are not finite count as not there.
    contrast : Contrast

    Returns
    -------
    tuple of float
        The second is larger than the first.

    Examples
    --------
    >>> contrast_limits(np.arange(101.0).reshape(1, 101), Contrast.BRIGHT)
    (50.0, 99.0)
    """
    if contrast is Contrast.FULL:
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    else:
        step = max(1, int(np.ceil(np.sqrt(pixels.size / MOST_SAMPLES))))
        some = np.asarray(pixels[::step, ::step])
        # Plain numbers: napari keeps them in its settings of a layer.
        low, high = (float(level) for level in np.percentile(some[np.isfinite(some)], (1, 99)))
        middle = (low + high) / 2
        if contrast is Contrast.BRIGHT:
            low = middle
        elif contrast is Contrast.DARK:
            high = middle
    return low, high if high > low else low + 1.0
