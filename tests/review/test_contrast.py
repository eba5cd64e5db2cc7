"""Parts of the grey levels."""

import numpy as np
import pytest

from napari_oneshot_lmk.review.contrast import Contrast, contrast_limits


@pytest.mark.parametrize("shape", [(120, 90), (1500, 1400)])
def test_the_parts_are_those_that_they_are_called_after(shape):
    pixels = np.random.default_rng(1).gamma(2.0, 400.0, shape).astype(np.float32)
    pixels[0, 0], pixels[3, 3] = np.nan, 1e6
    lower, upper = np.nanpercentile(pixels, (1, 99))
    middle = (lower + upper) / 2
    wanted = {
        Contrast.FULL: (np.nanmin(pixels), 1e6),
        Contrast.PERCENTILES: (lower, upper),
        Contrast.BRIGHT: (middle, upper),
        Contrast.DARK: (lower, middle),
    }
    for contrast, limits in wanted.items():
        # Of large images, a part of the pixels stands for all.
        assert contrast_limits(pixels, contrast) == pytest.approx(limits, rel=0.03), contrast


def test_an_image_of_one_grey_level_has_limits_too():
    for contrast in Contrast:
        low, high = contrast_limits(np.full((5, 5), 7), contrast)
        assert low < high
