"""What the signs of a point are, and what is made of them."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.detection.points_on_image import points_with_errors
from napari_oneshot_lmk.encoders.encoder import FeaturePyramid, Level
from napari_oneshot_lmk.matching import uncertainty
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.matching.similarity import describe_points
from napari_oneshot_lmk.matching.uncertainty import (
    CLARITY_OF_RADIUS,
    LEAST_SPREAD,
    chance_of_near,
    log_error,
    log_spread,
    mean_error,
    radius_of_90,
    read_signs,
    similarity_at,
)

STRIDE = 4
POINTS = np.array([(10.0, 12.0), (40.0, 14.0), (14.0, 50.0), (44.0, 48.0), (30.0, 30.0)])


def shape_of(pixel_size_yx=(1.0, 1.0)):
    return ShapeModel(POINTS, np.array(pixel_size_yx), (64, 64))


def test_the_spread_is_the_mean_distance_of_the_posterior():
    rng = np.random.default_rng(0)
    posterior = torch.from_numpy(rng.normal(0, 2, (5, 16, 16))).float()
    shape = shape_of((1.0, 1.5))
    spread = log_spread(posterior, torch.from_numpy(POINTS), shape, STRIDE, 0.7).numpy()
    for n, point in enumerate(POINTS):
        total = distance = 0.0
        for row in range(16):
            for column in range(16):
                weight = np.exp(0.7 * float(posterior[n, row, column]))
                centre = np.array([row, column]) * STRIDE + (STRIDE - 1) / 2
                apart = (centre - point) * (1.0, 1.5) / float(shape.size)
                total += weight
                distance += weight * np.hypot(*apart)
        assert spread[n] == pytest.approx(np.log(distance / total + LEAST_SPREAD), abs=1e-4)


def test_a_second_peak_and_a_residual_are_signs():
    shape, points = shape_of(), torch.from_numpy(POINTS)
    maps = torch.full((5, 16, 16), -20.0)
    for n, (y, x) in enumerate(POINTS):
        maps[n, int(y // STRIDE), int(x // STRIDE)] = 0.0
    similar = torch.zeros(5)
    expectation = shape.expect(points)
    one = read_signs(maps, points, expectation, shape, STRIDE, similar, 1.5)
    maps[2, 1, 1] = -0.5
    two = read_signs(maps, points, expectation, shape, STRIDE, similar, 1.5)
    assert two[2, 0] > one[2, 0] + 1
    left = [0, 1, 3, 4]
    np.testing.assert_array_equal(two[left], one[left])
    moved = points.clone()
    moved[4] += torch.tensor([0.0, 15.0])
    off = read_signs(maps, moved, shape.expect(moved), shape, STRIDE, similar, 1.5)
    assert off[4, 1] == off[:, 1].max() > 1


def pyramid_of(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.rand(1, 6, 64 // stride, 64 // stride, generator=generator) for stride in (4, 8)]
    levels = tuple(Level(f"level {stride}", 6, stride) for stride in (4, 8))
    return FeaturePyramid(tuple(maps), levels)


def test_an_image_is_most_like_itself():
    one, other = pyramid_of(0), pyramid_of(1)
    points = torch.from_numpy(POINTS)
    described = [describe_points(each, points) for each in (one, other)]
    known = torch.ones(1, 5, dtype=torch.bool)
    assert similarity_at(one, described[:1], known, points).abs().max() < 1e-5
    unlike = similarity_at(one, described[1:], known, points)
    assert unlike.max() < -1e-2
    # Of several templates the most similar counts, where it knows the landmark.
    both = torch.tensor([[True] * 5, [False, True, True, True, True]])
    mixed = similarity_at(one, described[::-1], both, points)
    assert mixed[0] == pytest.approx(float(unlike[0]), abs=1e-6)
    assert mixed[1:].abs().max() < 1e-5


def test_more_doubt_means_a_larger_error_and_radius_and_a_smaller_chance():
    doubt = log_error(torch.tensor([[-4.0, 0.1, -0.3], [-2.0, 0.1, -0.3], [-2.0, 2.0, -1.0]]))
    assert (doubt.diff() > 0).all()
    assert (mean_error(doubt).diff() > 0).all()
    assert (radius_of_90(doubt).diff() > 0).all()
    assert (radius_of_90(doubt) > mean_error(doubt)).all()
    assert (chance_of_near(doubt).diff() < 0).all()


def match_of(clarity, elsewhere):
    row = [20.0, 30.0, 0.9, 21.0, 29.0, -3.5, 0.1, -0.3, clarity, elsewhere]
    return torch.tensor([row], dtype=torch.float64)


def test_where_the_body_could_lie_elsewhere_the_radius_reaches_there():
    shape = shape_of()
    [clear] = points_with_errors(match_of(1.0, 0.0), shape).numpy()
    [unclear] = points_with_errors(match_of(0.5, 0.4), shape).numpy()
    assert CLARITY_OF_RADIUS > 0.5
    size = float(shape.size)
    assert unclear[2] == pytest.approx(clear[2] / 2)
    assert unclear[5] == pytest.approx(clear[5] / 2 + 0.2 * size)
    assert unclear[6] == pytest.approx(clear[6] + 0.4 * size)
    np.testing.assert_array_equal(clear[[0, 1, 3, 4]], [20, 30, 21, 29])


def test_lengths_are_in_pixels_of_the_network_grid():
    square = points_with_errors(match_of(1.0, 0.0), shape_of()).numpy()
    # Twice the millimetres, as many pixels.
    twice = points_with_errors(match_of(1.0, 0.0), shape_of((2.0, 2.0))).numpy()
    np.testing.assert_allclose(twice, square)


def test_constants_are_those_of_a_fit():
    assert len(uncertainty.LOG_ERROR) == 4
    assert uncertainty.LOG_ERROR[1] > 0 > uncertainty.LOG_ERROR[3]


def test_maps_of_more_levels_are_taken_as_less_sharp():
    assert uncertainty.sharpness_for(uncertainty.LEVELS) == uncertainty.SHARPNESS
    assert uncertainty.sharpness_for(4 * uncertainty.LEVELS) == uncertainty.SHARPNESS / 2
