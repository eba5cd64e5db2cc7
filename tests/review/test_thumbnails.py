"""Images drawn small."""

import numpy as np
import pytest

from napari_oneshot_lmk.review.thumbnails import shrink


@pytest.mark.parametrize("shape", [(200, 100), (2400, 1935), (3, 700), (40, 64), (1, 1)])
def test_the_longer_side_is_at_least_as_asked_and_the_sides_keep_their_ratio(shape):
    small = shrink(np.random.default_rng(0).normal(size=shape), 64)
    assert max(small.shape) >= min(64, max(shape))
    assert max(small.shape) < 128
    step = max(1, max(shape) // 64)
    assert small.shape == tuple(max(1, n // step) for n in shape)


def test_the_whole_range_is_used_whatever_the_grey_values():
    ramp = np.linspace(-1000, 3000, 128 * 128).reshape(128, 128)
    small = shrink(ramp, 64)
    assert (small.min(), small.max()) == (0, 255)
    assert small[0, 0] < small[32, 32] < small[63, 63]
    assert not shrink(np.full((10, 10), 7.0), 64).any()
