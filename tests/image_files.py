"""Small images with known pixels, written by other libraries than ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

ROWS, COLUMNS = 30, 24
# Rises by one from pixel to pixel: any flip, transposition or shift shows.
PIXELS = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)
GREY8 = (PIXELS % 251).astype(np.uint8)


def write_itk(path: Path, pixels: np.ndarray, spacing_xy=None) -> Path:
    """Write pixels with SimpleITK, in the format that the name ends in."""
    image = SimpleITK.GetImageFromArray(pixels)
    if spacing_xy is not None:
        image.SetSpacing(spacing_xy)
    SimpleITK.WriteImage(image, str(path))
    return path
