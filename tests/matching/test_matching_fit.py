"""The fit of many starts at once against one that goes step by step over whole maps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_oneshot_lmk.matching.peaks import (
    MapsUnderPriors,
    find_candidates,
    find_peaks,
    pool_maxima,
)
from napari_oneshot_lmk.matching.poses import TOLERANCE
from napari_oneshot_lmk.matching.shape import POSES, ROUNDS, Decided, ShapeModel

SIDE, STRIDE = 64, 2
SEEDS = range(6)


def random_maps(count, seed, kind="smooth"):
    """Maps as encoders give them, noise, or maps in steps, where many cells are equally high."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, SIDE // 8, SIDE // 8, generator=generator)
    if kind == "noise":
        return -5 * torch.rand(count, SIDE, SIDE, generator=generator)
    maps = -9 * F.interpolate(coarse[None], (SIDE, SIDE), mode="bicubic")[0].contiguous()
    return (maps / 2).round() * 2 if kind == "steps" else maps


def random_shape(count, seed):
    points = np.random.default_rng(seed).uniform(15, 2 * SIDE - 15, (count, 2))
    return ShapeModel(points, np.array([0.6, 0.5]), (2 * SIDE, 2 * SIDE))


def added(maps, expectation, shape):
    """The maps plus the Gaussian around each expected place, written out."""
    centres = STRIDE * (torch.arange(SIDE, dtype=torch.float64) + 0.5) - 0.5
    sd = shape.variation.slack * expectation.sd[:, None]
    apart = [
        (centres - expectation.points_yx[:, axis, None]) * shape.pixel_size_yx[axis] / sd
        for axis in (0, 1)
    ]
    rows, columns = ((-0.5 * each**2).float() for each in apart)
    return maps + (rows[:, :, None] + columns[:, None, :])


def plain_end(shape, maps, start, decided=None):
    """One start, one round after the other."""
    points = start
    for _ in range(ROUNDS):
        points = points if decided is None else decided.hold(points)
        expectation = shape.expect(points, decided)
        points = find_peaks(added(maps, expectation, shape), STRIDE)[0]
    points = points if decided is None else decided.hold(points)
    return points, expectation, shape.consistency(maps, STRIDE, points, expectation)


def plain_fit(shape, maps, decided=None):
    if decided is not None:
        maps = decided.show(maps, STRIDE)
    starts = [find_peaks(maps, STRIDE)[0]]
    poses, plausible = shape.trials.best(maps, STRIDE, shape.pixel_size_yx, POSES)
    for pose in poses[plausible]:
        sd = (TOLERANCE * shape.size).expand(len(pose)) / shape.variation.slack
        around = type(shape.expect(pose))(pose, sd, torch.ones_like(sd))
        starts.append(find_peaks(added(maps, around, shape), STRIDE)[0])
    ends = [plain_end(shape, maps, start, decided) for start in starts]
    points, expectation, _ = max(ends, key=lambda end: float(end[2]))
    return points, expectation, added(maps, expectation, shape)


@pytest.mark.parametrize("kind", ["smooth", "noise", "steps"])
@pytest.mark.parametrize("seed", SEEDS)
def test_fit_is_that_of_a_plain_loop(seed, kind):
    maps, shape = random_maps(9, seed, kind), random_shape(9, seed)
    found, expectation, posterior = shape.fit(maps, STRIDE)
    points, expected, total = plain_fit(shape, maps)
    torch.testing.assert_close(found, points, atol=1e-6, rtol=0)
    torch.testing.assert_close(expectation.points_yx, expected.points_yx, atol=1e-6, rtol=0)
    torch.testing.assert_close(expectation.sd, expected.sd)
    torch.testing.assert_close(posterior, total, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_fit_beside_held_points_is_that_of_a_plain_loop(seed):
    maps, shape = random_maps(9, seed), random_shape(9, seed)
    numbers = torch.arange(9)
    # Where the others expect it, so that nothing is moved with the held landmark.
    expected = plain_fit(shape, maps)[1].points_yx
    decided = Decided(expected, numbers == 2, numbers == 4)
    found = shape.fit(maps, STRIDE, decided=decided)[0]
    torch.testing.assert_close(found, plain_fit(shape, maps, decided)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2])
def test_few_landmarks_are_fitted_as_by_a_plain_loop(count):
    maps, shape = random_maps(count, 0), random_shape(count, 0)
    torch.testing.assert_close(shape.fit(maps, STRIDE)[0], plain_fit(shape, maps)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_starts_do_not_influence_one_another(seed):
    maps, shape = random_maps(7, seed), random_shape(7, seed)
    starts = torch.from_numpy(np.random.default_rng(seed).uniform(0, 2 * SIDE, (4, 7, 2)))
    ends, consistencies = shape.fit_each(maps, STRIDE, starts)
    for start, end, consistency in zip(starts, ends, consistencies, strict=True):
        points, _, plain = plain_end(shape, maps, start)
        torch.testing.assert_close(end, points, atol=1e-6, rtol=0)
        torch.testing.assert_close(consistency, plain)


def test_points_expected_together_are_those_expected_alone():
    shape = random_shape(8, 1)
    sets = torch.from_numpy(np.random.default_rng(1).uniform(0, 2 * SIDE, (3, 8, 2)))
    together = shape.expect(sets)
    for number, points in enumerate(sets):
        one, alone = together.chosen(torch.tensor([number])), shape.expect(points)
        torch.testing.assert_close(one.points_yx, alone.points_yx)
        torch.testing.assert_close(one.sd, alone.sd)
        torch.testing.assert_close(one.weights, alone.weights)


@pytest.mark.parametrize("kind", ["smooth", "noise", "steps"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("sd", [0.5, 6.0, 1e3])
def test_peaks_under_a_prior_are_those_of_the_sum(kind, whole, sd):
    maps = random_maps(12, 5, kind)
    places = torch.rand(3, 12, 2, 1, generator=torch.Generator().manual_seed(0)) * SIDE
    apart = (torch.arange(SIDE) - places) / sd
    rows, columns = (-0.5 * apart**2).unbind(2)
    found = MapsUnderPriors(maps, STRIDE, whole=whole).peaks(rows, columns)
    for row, column, points in zip(rows, columns, found, strict=True):
        total = maps + (row[:, :, None] + column[:, None, :])
        assert torch.equal(points, find_peaks(total, STRIDE)[0])


@pytest.mark.parametrize("side", [64, 62, 9, 4])
@pytest.mark.parametrize("fill", [None, 0.0])
def test_highest_points_are_those_of_each_map(side, fill):
    maps = random_maps(5, 2, "steps")[:, :side, :side]
    maps = maps if fill is None else torch.full_like(maps, fill)
    assert torch.equal(MapsUnderPriors(maps, STRIDE).highest(), find_peaks(maps, STRIDE)[0])


def test_candidates_are_the_highest_maxima_of_their_neighbourhood():
    maps = random_maps(6, 3, "noise")
    around = F.max_pool2d(maps[None], 9, stride=1, padding=4)[0]
    maxima = torch.where(maps == around, maps, -torch.inf)
    cells = maxima.flatten(1).topk(5).indices
    places = torch.stack([cells // SIDE, cells % SIDE], -1)
    expected = STRIDE * (places.double() + 0.5) - 0.5
    assert torch.equal(find_candidates(maps, STRIDE, 5), expected)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_pooled_maxima_are_those_of_max_pooling(side):
    maps = random_maps(2, 4)[:, :50, :61]
    assert torch.equal(pool_maxima(maps, side), F.max_pool2d(maps[None], side)[0])
