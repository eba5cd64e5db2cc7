"""Repeated parts: another place that is as good is seen, and one point brings the others along."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.matching import shape as shape_module
from napari_oneshot_lmk.matching.ambiguity import estimate_clarity
from napari_oneshot_lmk.matching.shape import Decided, ShapeModel

SHAPE = (256, 256)
STRIDE = 2
RUNG = 16.0
"""Network pixels from one rung of the ladder to the next."""


def ladder(first=0, rungs=8):
    """Both ends of some rungs, (2 * rungs, 2)."""
    rows = 60.0 + RUNG * (first + np.arange(rungs))
    return np.array([(y, x) for y in rows for x in (110.0, 146.0)])


def maps_of(places, heights, width=3.0, floor=-6.0):
    """Maps with bumps of some heights at the places, (P, 2), of each landmark."""
    cells = STRIDE * (torch.arange(SHAPE[0] // STRIDE) + 0.5) - 0.5
    maps = torch.full((len(places), len(cells), len(cells)), floor)
    for n, (own, tops) in enumerate(zip(places, heights, strict=True)):
        for (y, x), top in zip(own, tops, strict=True):
            squared = (cells[:, None] - y) ** 2 + (cells[None] - x) ** 2
            maps[n] = torch.maximum(maps[n], top - squared / (2 * width**2))
    return maps.float()


def repeated(first, height_of_next):
    """Maps of a ladder found at rung ``first``; each end also resembles those of other rungs.

    The next rung is as similar as said, any other less.
    """
    offsets = range(-3, 4)
    places = [ladder(first + offset) for offset in offsets]
    heights = [{0: 0.0, 1: height_of_next}.get(offset, -1.5) for offset in offsets]
    return maps_of(np.stack(places, axis=1), [heights] * len(ladder()))


def clarity(maps):
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    found = shape.fit(maps, STRIDE)[0]
    return estimate_clarity(shape, maps, STRIDE, found)[:, 0].numpy(), found.numpy()


def test_points_with_one_place_are_clear():
    maps = maps_of(ladder()[:, None] + 3.0, [[0.0]] * len(ladder()))
    np.testing.assert_array_equal(clarity(maps)[0], 1.0)


def test_a_body_of_a_few_cells_is_clear():
    points = np.array([(10.0, 10.0), (14.0, 10.0), (10.0, 15.0), (13.0, 14.0)])
    shape = ShapeModel(points, np.ones(2), (32, 32))
    maps = torch.zeros(4, 32 // STRIDE, 32 // STRIDE)
    found = shape.fit(maps, STRIDE)[0]
    clear = estimate_clarity(shape, maps, STRIDE, found)
    np.testing.assert_array_equal(clear, np.tile([1.0, 0.0], (4, 1)))


def test_a_ladder_that_may_lie_one_rung_off_is_not_clear():
    clear, found = clarity(repeated(0, -0.02))
    np.testing.assert_allclose(found, ladder(), atol=1.0)
    assert clear.max() < 0.3


def test_the_other_place_is_as_far_as_a_rung():
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    maps = repeated(0, -0.02)
    found = shape.fit(maps, STRIDE)[0]
    elsewhere = estimate_clarity(shape, maps, STRIDE, found)[:, 1].numpy() * float(shape.size)
    rung = np.hypot(*(ladder(1) - ladder())[0])
    np.testing.assert_allclose(elsewhere, rung, atol=1.5)


def test_clarity_grows_with_what_the_second_place_lacks():
    each = [clarity(repeated(0, height))[0].mean() for height in (-0.02, -0.1, -0.3, -1.2)]
    assert each == sorted(each)
    assert each[-1] > 0.8


def test_a_landmark_that_stays_where_it_is_stays_clear():
    # A mark beside the ladder that is like nothing else, far enough for the ladder to slide.
    shape = ShapeModel(np.vstack([ladder(), [(20.0, 20.0)]]), np.ones(2), SHAPE)
    maps = torch.cat([repeated(0, -0.02), maps_of([[(20.0, 20.0)]], [[0.0]], floor=-30.0)])
    found = shape.fit(maps, STRIDE)[0]
    clear = estimate_clarity(shape, maps, STRIDE, found)[:, 0].numpy()
    assert clear[:-1].max() < 0.7
    assert clear[-1] == 1.0


@pytest.mark.parametrize("held", [0, 7, 15])
def test_one_point_brings_a_ladder_back_that_lies_one_rung_off(held, monkeypatch):
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    # The next rung is a little more similar.
    maps = repeated(0, 0.1)
    wrong = shape.fit(maps, STRIDE)[0].numpy()
    np.testing.assert_allclose(wrong, ladder(1), atol=1.0)
    mask = torch.arange(len(ladder())) == held
    known = Decided(torch.from_numpy(ladder()), mask, torch.zeros_like(mask))
    found = shape.fit(maps, STRIDE, decided=known)[0].numpy()
    np.testing.assert_allclose(found, ladder(), atol=1.0)
    monkeypatch.setattr(shape_module, "PULLS", 0)
    monkeypatch.setattr(shape_module, "POSES", 0)
    left = np.arange(len(ladder())) != held
    unpulled = shape.fit(maps, STRIDE, decided=known)[0].numpy()
    np.testing.assert_allclose(unpulled[left], ladder(1)[left], atol=3.0)


def test_one_outlier_that_a_person_has_placed_does_not_move_the_others():
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    maps = maps_of(ladder()[:, None], [[0.0]] * len(ladder()), floor=-30.0)
    place = ladder().copy()
    place[3] += [0.0, 12.0]
    mask = torch.arange(len(place)) == 3
    known = Decided(torch.from_numpy(place), mask, torch.zeros_like(mask))
    found = shape.fit(maps, STRIDE, decided=known)[0].numpy()
    np.testing.assert_array_equal(found[3], place[3])
    np.testing.assert_allclose(np.delete(found, 3, 0), np.delete(ladder(), 3, 0), atol=1.5)


def decided(held=(), left_out=()):
    numbers = np.arange(len(ladder()))
    masks = (torch.from_numpy(np.isin(numbers, list(each))) for each in (held, left_out))
    return Decided(torch.from_numpy(ladder()), *masks)


def test_a_point_that_was_taken_off_does_not_make_the_others_clear():
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    maps, known = repeated(0, -0.02), decided(left_out=[3])
    found, expectation, _ = shape.fit(maps, STRIDE, decided=known)
    assert not shape.is_confirmed(expectation, known)
    clear = estimate_clarity(shape, maps, STRIDE, found, known)[:, 0].numpy()
    assert np.delete(clear, 3).max() < 0.3
    assert clear[3] == 1.0


def test_a_placed_point_says_where_the_others_lie_only_if_they_lie_there(monkeypatch):
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    maps, known = repeated(0, 0.1), decided(held=[7])
    _, expectation, _ = shape.fit(maps, STRIDE, decided=known)
    assert shape.is_confirmed(expectation, known)
    # As if no other solution had been found.
    monkeypatch.setattr(shape_module, "PULLS", 0)
    monkeypatch.setattr(shape_module, "POSES", 0)
    _, expectation, _ = shape.fit(maps, STRIDE, decided=known)
    assert not shape.is_confirmed(expectation, known)


@pytest.mark.parametrize("taken_off", [0, 4, 16])
def test_what_was_all_decided_is_clear(taken_off):
    shape = ShapeModel(ladder(), np.ones(2), SHAPE)
    known = decided(held=range(taken_off, 16), left_out=range(taken_off))
    maps = repeated(0, -0.02)
    found = shape.fit(maps, STRIDE, decided=known)[0]
    clear = estimate_clarity(shape, maps, STRIDE, found, known)
    np.testing.assert_array_equal(clear, np.tile([1.0, 0.0], (16, 1)))
