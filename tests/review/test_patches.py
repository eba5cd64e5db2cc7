"""Patches around a landmark."""

import numpy as np
import pytest

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.review.patches import PART, cut_patch, patch_sizes_yx


@pytest.mark.parametrize(
    "centre_yx", [(10.2, 20.4), (0.0, 39.0), (-3.0, 5.0), (29.4, 0.4), (-90, 5), (90, 5), (5, 99)]
)
def test_the_middle_pixel_is_that_of_the_landmark_and_outside_is_black(centre_yx):
    pixels = 1 + np.arange(30 * 40).reshape(30, 40)
    patch = cut_patch(pixels, centre_yx, np.array([6, 8]))
    assert patch.shape == (7, 9)
    row, column = np.round(centre_yx).astype(int)
    inside = 0 <= row < 30 and 0 <= column < 40
    assert patch[3, 4] == (pixels[row, column] if inside else 0)
    assert cut_patch(np.stack([pixels] * 3, -1), centre_yx, np.array([6, 8])).shape == (7, 9, 3)


def test_patches_show_the_same_millimetres_where_both_spacings_are_known():
    template, image = Geometry((200, 100), (0.5, 0.25)), Geometry((900, 900), (0.1, 0.1))
    ours, theirs = patch_sizes_yx(template, image)
    assert ours * (0.5, 0.25) == pytest.approx(theirs * 0.1)
    ours, theirs = patch_sizes_yx(template, Geometry((900, 600)))
    assert ours == pytest.approx(200 * PART)
    assert theirs == pytest.approx(900 * PART)
