"""The shape model: leave-one-out prediction, robustness, few landmarks."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.matching.confidence import estimate_confidence
from napari_oneshot_lmk.matching.shape import ShapeModel, ShapeVariation

SHAPE = (128, 128)


def template_points(count, seed=3):
    return np.random.default_rng(seed).uniform(25, 100, (count, 2))


def step(points, **variation):
    return ShapeModel(points, np.array([0.6, 0.5]), SHAPE, ShapeVariation(**variation))


def expected(shape, points):
    """Places, standard deviations and weights as arrays."""
    expectation = shape.expect(torch.from_numpy(points))
    return (expectation.points_yx.numpy(), expectation.sd.numpy(), expectation.weights.numpy())


def fitted(shape, maps):
    """Found points as an array."""
    return shape.fit(maps, 2)[0].numpy()


def log_maps(points, stride=2, width=4.0, floor=-4.0):
    """Gaussian bumps of log-similarity around points, as matching gives them."""
    cells = stride * (torch.arange(SHAPE[0] // stride) + 0.5) - 0.5
    maps = []
    for y, x in points:
        squared = (cells[:, None] - y) ** 2 + (cells[None] - x) ** 2
        maps.append((-squared / (2 * width**2)).clamp_min(floor))
    return torch.stack(maps).float()


def test_prediction_is_what_conditioning_on_the_others_gives():
    points = template_points(7)
    # A huge tail makes every weight 1: an ordinary Gaussian process.
    shape = step(points, tail=1e12)
    rng = np.random.default_rng(0)
    found = points + rng.normal(0, 3, points.shape)
    expected_yx, sd, _ = expected(shape, found)
    pixel_size_yx, size = shape.pixel_size_yx.numpy(), float(shape.size)
    moved = (found - points) * pixel_size_yx / size
    noise = shape.variation.own_sd**2
    prior = shape.covariance.numpy()
    for i in range(len(points)):
        others = [j for j in range(len(points)) if j != i]
        solve = np.linalg.solve(
            prior[np.ix_(others, others)] + noise * np.eye(len(others)), prior[others, i]
        )
        mean = solve @ moved[others]
        variance = prior[i, i] - solve @ prior[others, i] + noise
        got = (expected_yx[i] - points[i]) * pixel_size_yx / size
        np.testing.assert_allclose(got, mean, atol=1e-8)
        assert sd[i] == pytest.approx(size * np.sqrt(variance))


def test_one_wrong_point_does_not_drag_the_others():
    points = template_points(15)
    moved = points + np.array([4.0, -3.0])
    wrong = moved.copy()
    wrong[5] += [40.0, 35.0]
    expected_yx, _, weights = expected(step(points), wrong)
    np.testing.assert_allclose(expected_yx, moved, atol=1.5)
    assert weights[5] < 0.05
    assert np.delete(weights, 5).min() > 0.8


def test_a_false_twin_is_rejected_with_the_help_of_the_others():
    points = template_points(12)
    true = points * 1.05 + np.array([3.0, -4.0])
    maps = log_maps(true)
    # Landmark 4 looks a little more like a place far away.
    twin = log_maps([(110.0, 20.0)])[0] + 0.5
    maps[4] = torch.maximum(maps[4], twin)
    found = fitted(step(points), maps)
    np.testing.assert_allclose(found, true, atol=0.7)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks_follow_their_maps(count):
    points = template_points(count)
    true = points + np.array([6.0, -5.0])
    found, expectation, _ = step(points).fit(log_maps(true, floor=-30.0), 2)
    np.testing.assert_allclose(found, true, atol=1.0)
    assert torch.isfinite(expectation.sd).all()


def test_fewer_landmarks_leave_more_room():
    points = template_points(20)
    sd = [expected(step(points[:n]), points[:n])[1][0] for n in (1, 2, 4, 20)]
    assert sd == sorted(sd, reverse=True)
    # Alone, a landmark may lie in a good part of the frame.
    diagonal = np.hypot(*(np.array(SHAPE) * [0.6, 0.5]))
    assert sd[0] == pytest.approx(0.1 * diagonal, rel=0.1)


def test_result_does_not_depend_on_the_unit_of_length():
    points = template_points(9)
    maps = log_maps(points + np.random.default_rng(1).normal(0, 3, points.shape))
    small = fitted(ShapeModel(points, np.array([0.6, 0.5]), SHAPE), maps)
    large = fitted(ShapeModel(points, np.array([600.0, 500.0]), SHAPE), maps)
    np.testing.assert_allclose(small, large, atol=1e-9)


def test_coincident_landmarks_are_no_error():
    points = np.repeat([[60.0, 60.0]], 3, axis=0)
    found = fitted(step(points), log_maps(points + 2.0))
    np.testing.assert_allclose(found, points + 2.0, atol=0.7)


def test_confidences_are_shares_and_prefer_the_sharp_lone_peak():
    points = template_points(10)
    maps = 3 * log_maps(points, floor=-4.0)
    blurred = maps.clone()
    blurred[2] = 0.02 * blurred[2]
    shape = step(points)
    results = []
    for each in (maps, blurred):
        found, expectation, posterior = shape.fit(each, 2)
        results.append(estimate_confidence(posterior, found, expectation, shape, 2))
    sharp, soft = results
    assert torch.all((sharp >= 0) & (sharp <= 1))
    assert sharp[2] > 2 * soft[2]
