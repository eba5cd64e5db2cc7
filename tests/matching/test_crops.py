"""Crops around points, their targets, and the points that are read from maps."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.matching.crops import (
    cut_crops,
    gaussian_targets,
    log_gaussian,
    pool_image,
    soft_argmax,
)


def ramp(height: int = 41, width: int = 50) -> torch.Tensor:
    """Grey values that are exact under bilinear interpolation: 100 rows + columns."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (100.0 * rows + columns)[None, None]


def test_a_crop_shows_the_image_around_its_centre_at_each_magnification():
    centres = torch.tensor([[20.25, 24.5], [19.0, 25.0]])
    crops = cut_crops(pool_image(ramp(), (1, 3)), (1, 3), centres, side=4)
    assert crops.shape == (2, 2, 4, 4)
    steps = torch.arange(4) - 1.5
    for crop, centre in zip(crops, centres, strict=True):
        for channel, factor in zip(crop, (1, 3), strict=True):
            rows = centre[0] + factor * steps[:, None]
            expected = 100 * rows + centre[1] + factor * steps[None]
            torch.testing.assert_close(channel, expected, atol=2e-2, rtol=0)


def test_a_turned_crop_shows_what_its_offsets_are_mapped_to():
    turn = torch.tensor([[[0.0, -2.0], [2.0, 0.0]]])  # a quarter turn, half as large
    centre = torch.tensor([[20.0, 25.0]])
    [crop] = cut_crops(pool_image(ramp(), (1,)), (1,), centre, 3, turn)[:, 0]
    offset = turn[0] @ torch.tensor([-1.0, 1.0])
    where = centre[0] + offset
    assert crop[0, 2].item() == pytest.approx(100 * where[0].item() + where[1].item(), abs=2e-2)


def test_beyond_the_image_a_crop_is_black():
    crops = cut_crops(pool_image(ramp() + 1, (1,)), (1,), torch.tensor([[0.0, 0.0]]), 6)
    assert crops[0, 0, :2].abs().max() == 0
    assert crops[0, 0, 3:, 3:].min() > 0


def test_the_peak_of_a_target_is_read_where_it_was_drawn():
    offsets = torch.tensor([[0.0, 0.0], [-3.3, 5.6], [9.25, -9.75]])
    targets = gaussian_targets(offsets, side=32, sd_px=1.5)
    np.testing.assert_allclose(targets.sum((1, 2)), 1, atol=1e-5)
    found = soft_argmax(targets.clamp_min(1e-30).log(), window=9)
    np.testing.assert_allclose(found, offsets, atol=0.02)


def test_the_logarithm_of_a_gaussian_is_that_of_its_target():
    offsets = torch.tensor([[0.0, 0.0], [-3.3, 5.6]])
    logs = log_gaussian(offsets, side=16, sd_px=2.5)
    targets = gaussian_targets(offsets, side=16, sd_px=2.5)
    torch.testing.assert_close(logs.flatten(1).softmax(1), targets.flatten(1), atol=1e-6, rtol=1e-4)
    # Far away, where a probability would be 0, it still says which place is nearer.
    far = log_gaussian(torch.tensor([[0.0, 0.0]]), side=96, sd_px=0.5)[0, 0]
    assert far[40] > far[20] > -float("inf")


def test_a_peak_at_the_border_stays_in_the_crop():
    maps = torch.full((1, 16, 16), -9.0)
    maps[0, 0, 15] = 9.0
    np.testing.assert_allclose(soft_argmax(maps, 9), [[-7.5, 7.5]], atol=1e-3)
