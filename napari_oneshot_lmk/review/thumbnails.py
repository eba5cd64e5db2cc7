"""Images drawn small, to be told apart in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shrink(pixels: NDArray[Any], side_px: int) -> NDArray[np.uint8]:
    """Shrink grey (H, W) pixels and stretch them from the 1st to the 99th percentile.

    Parameters
    ----------
    pixels : ndarray, (H, W)
    side_px : int
        The longer side of the result is at least this, if that of the image is, and less than
        twice as long: each of its pixels is the mean of a square of whole pixels.

    Returns
    -------
    ndarray, (h, w), uint8

    Examples
    --------
    >>> shrink(np.arange(24.0).reshape(4, 6), 3)
    array([[  0,  31,  63],
           [192, 224, 255]], dtype=uint8)
    """
    step = max(1, max(pixels.shape) // side_px)
    height, width = (max(step, n // step * step) for n in pixels.shape)
    # An image narrower than a square is continued by its last pixels.
    margins = [(0, max(0, n - m)) for n, m in zip((height, width), pixels.shape, strict=True)]
    whole = np.pad(pixels[:height, :width], margins, mode="edge")
    squares = whole.reshape(height // step, step, width // step, step)
    small = squares.mean((1, 3), dtype=np.float32)
    low, high = np.percentile(small, (1, 99))
    grey = np.clip((small - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray(np.round(255 * grey), dtype=np.uint8)
