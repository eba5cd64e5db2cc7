"""The shape model: leave-one-out prediction, robustness, few landmarks, whole-body poses."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.matching.confidence import estimate_confidence
from napari_oneshot_lmk.matching.poses import PoseTrials
from napari_oneshot_lmk.matching.shape import LEAST_WEIGHT, Decided, ShapeModel
from napari_oneshot_lmk.matching.variation import ShapeVariation

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


def bumps(places, heights, width=3.0, floor=-6.0):
    """Log-similarity maps; each landmark has several places with their heights."""
    cells = 2 * (torch.arange(SHAPE[0] // 2) + 0.5) - 0.5
    maps = torch.full((len(places), len(cells), len(cells)), floor)
    for n, (own, tops) in enumerate(zip(places, heights, strict=True)):
        for (y, x), top in zip(own, tops, strict=True):
            squared = (cells[:, None] - y) ** 2 + (cells[None] - x) ** 2
            maps[n] = torch.maximum(maps[n], top - squared / (2 * width**2))
    return maps.float()


def log_maps(points, width=4.0, floor=-4.0):
    """One bump around each point."""
    return bumps([[point] for point in points], [[0.0]] * len(points), width, floor)


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


# -- whole-body poses ------------------------------------------------------------


def plausible_poses(maps, points, count=3):
    """Poses as an array, those that no body takes left out."""
    trials = PoseTrials(points, 30.0)
    poses, plausible = trials.best(maps, 2, torch.ones(2), count)
    return poses[plausible].numpy()


def hand():
    """A palm of five points and three fingers of four, 18 pixels apart."""
    palm = [(110.0, 30.0), (112.0, 60.0), (108.0, 92.0), (95.0, 40.0), (95.0, 80.0)]
    fingers = [(80.0 - 15 * j, 42.0 + 18 * f) for f in range(3) for j in range(4)]
    return np.array(palm + fingers)


def test_the_best_pose_is_the_one_that_was_drawn():
    points = hand()
    angle, scale = 0.2, 0.9
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    drawn = (points - 64) @ turn.T + 66
    maps = log_maps(drawn, 3.0, -6.0)
    poses = plausible_poses(maps, points)
    assert poses.shape == (3, len(points), 2)
    assert np.abs(poses[0] - drawn).max() < 3


def test_poses_stay_within_the_allowed_turn():
    points = hand()
    maps = log_maps(128 - points, 3.0, -6.0)
    for pose in plausible_poses(maps, points):
        base, tip = pose[3], pose[8]
        # The tip stays above the palm as on the template.
        assert tip[0] < base[0]


def test_one_landmark_fixes_no_pose():
    maps = log_maps([(40.0, 40.0)])
    assert plausible_poses(maps, np.array([[30.0, 30.0]])).size == 0


def test_a_whole_finger_does_not_settle_on_its_neighbour():
    points = hand()
    true = points + np.array([2.0, -3.0])
    palm, fingers = true[:5], true[5:]
    # The neighbouring finger looks even a little better.
    twins = fingers + np.array([0.0, 18.0])
    places = [*palm[:, None], *np.stack([fingers, twins], axis=1)]
    maps = bumps(places, [[0.0]] * len(palm) + [[-0.6, 0.0]] * len(fingers))
    found, _, _ = ShapeModel(points, np.ones(2), SHAPE).fit(maps, 2)
    assert np.abs(found.numpy() - true).max() < 2


def decided(points, held=(), left_out=()):
    """Landmarks by number that a person has placed at their row of ``points``, or taken off."""
    numbers = torch.arange(len(points))
    masks = (torch.isin(numbers, torch.tensor(each, dtype=torch.long)) for each in (held, left_out))
    return Decided(torch.from_numpy(points), *masks)


def test_a_held_point_is_trusted_however_far_it_lies_from_the_others():
    points = template_points(7)
    shape = step(points)
    moved = points.copy()
    moved[2] += 60
    free = shape.expect(torch.from_numpy(moved))
    held = shape.expect(torch.from_numpy(moved), decided(moved, held=[2]))
    assert free.weights[2] < 0.1
    assert held.weights[2] == 1
    left_out = shape.expect(torch.from_numpy(moved), decided(moved, left_out=[2]))
    assert left_out.weights[2] == LEAST_WEIGHT


def test_one_correction_brings_the_others_back_to_the_right_side():
    points = template_points(9, seed=5)
    # Everything is there twice, and the copy 24 px to the right is a little clearer.
    copies = points + np.array([0, 24])
    places = [[a, b] for a, b in zip(points, copies, strict=True)]
    maps = bumps(places, [[-0.2, 0.0]] * len(points))
    shape = step(points, shift_sd=0.2)
    assert np.abs(fitted(shape, maps) - copies).max() < 2
    exact = points[[0]] + 0.3
    known = decided(np.vstack([exact, points[1:]]), held=[0])
    found, _, _ = shape.fit(maps, 2, decided=known)
    np.testing.assert_array_equal(found[0], exact[0])
    assert np.abs(found.numpy() - points).max() < 2


def test_a_landmark_that_was_taken_off_does_not_move_the_others():
    points = template_points(6)
    shape = step(points)
    maps = log_maps(points)
    maps[3] = log_maps(points + 40)[3]
    without = shape.fit(maps, 2, decided=decided(points, left_out=[3]))[0]
    maps[3] = log_maps(points)[3]
    np.testing.assert_allclose(without[:3], shape.fit(maps, 2)[0][:3], atol=0.6)
