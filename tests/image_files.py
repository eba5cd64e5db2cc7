"""Small images with known pixels, written by other libraries, and how they are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.reader import read_image

LUMA = np.array([0.299, 0.587, 0.114])
SMOOTH = np.add.outer(np.arange(64) * 2, np.arange(48)).astype(np.uint8)
"""For codecs with loss."""
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


def check(path: Path, expected: np.ndarray, atol: float = 0, **options: object) -> tuple[str, ...]:
    """Compare the pixels of a file with what is right; return the notes."""
    image = read_image(path, **options)
    np.testing.assert_allclose(image.pixels, expected.astype(np.float64), rtol=1e-6, atol=atol)
    return image.notes


def refused(path: Path, match: str, **options: object) -> str:
    """Check that reading fails in one sentence with a remedy; return the sentence."""
    with pytest.raises(ImageError, match=match) as caught:
        read_image(path, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.remedy
    return sentence
