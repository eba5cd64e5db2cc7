"""Errors between readings, against values by hand and from the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.measure.measurement import Measurement
from napari_oneshot_lmk.measure.morphometrics.agreement import (
    intraclass_correlation,
    technical_error,
)
from napari_oneshot_lmk.measure.morphometrics.observers import Reading, compare_readings

# Table 2 of Shrout and Fleiss 1979: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def marks(image, spacing=None, shape_yx=(50, 50), **places):
    return Landmarks.from_positions(places, image, Geometry(shape_yx, spacing))


def test_icc_is_that_of_shrout_and_fleiss():
    assert intraclass_correlation(SHROUT_FLEISS) == pytest.approx(0.29, abs=0.005)
    assert intraclass_correlation(np.array([[1.0, 1.0], [3.0, 3.0]])) == 1
    assert math.isnan(intraclass_correlation(SHROUT_FLEISS[:1]))
    assert math.isnan(intraclass_correlation(np.ones((3, 2))))


def test_technical_error_of_two_readings_is_dahlbergs():
    first, second = np.random.default_rng(1).normal(50, 5, (2, 9))
    dahlberg = np.sqrt(((first - second) ** 2).sum() / (2 * 9))
    assert technical_error(np.stack([first, second], axis=1)) == pytest.approx(dahlberg)
    # Of more readings the formula of Ulijaszek and Kerr, written out.
    k, n = 4, len(SHROUT_FLEISS)
    squares = (SHROUT_FLEISS**2).sum(axis=1) - SHROUT_FLEISS.sum(axis=1) ** 2 / k
    assert technical_error(SHROUT_FLEISS) == pytest.approx(np.sqrt(squares.sum() / (n * (k - 1))))


def test_two_readers_by_hand_in_millimetres():
    ada = [marks("p.png", (0.5, 0.25), a=(10, 10), b=(30, 30)), marks("q.png", a=(10, 10))]
    bo = [marks("x/p.PNG", a=(16, 26), b=(30, 30)), marks("q.png", (0.5, 0.25), a=(10, 10))]
    length = Measurement(name="ab", kind="distance", points=("a", "b"))
    found = compare_readings([Reading("ada", tuple(ada)), Reading("bo", tuple(bo))], [length])
    assert (found.unit, found.images, found.spacing_unknown) == ("mm", ("p.png", "q.png"), ())
    a, b = found.landmarks
    # 6 rows of 0.5 mm and 16 columns of 0.25 mm: 3, 4 and 5 mm, on one of two images.
    assert (a.landmark, a.n, a.mre, a.sd, a.maximum) == ("a", 2, 2.5, 2.5, 5.0)
    assert a.dahlberg_y == pytest.approx(math.sqrt(9 / 4))
    assert a.dahlberg_x == pytest.approx(math.sqrt(16 / 4))
    assert (a.bias_y, a.bias_x) == (1.5, 2.0)
    assert (b.n, b.mre) == (1, 0)
    assert (found.overall.n, found.overall.mre) == (3, pytest.approx(5 / 3))
    (ab,) = found.measurements
    lengths = [math.hypot(10, 5), math.hypot(7, 1)]
    assert (ab.n, ab.unit, ab.mean) == (1, "mm", pytest.approx(np.mean(lengths)))
    assert ab.technical_error == pytest.approx((lengths[0] - lengths[1]) / math.sqrt(2))
    assert ab.bias == pytest.approx(lengths[1] - lengths[0])
    assert math.isnan(ab.icc)


def test_what_one_reading_lacks_is_named():
    skipped = marks("p.png", a=(1, 1), b=(2, 2)).with_landmark(Landmark("b", None, State.SKIPPED))
    first = Reading("first", (marks("p.png", a=(1, 2), b=(2, 2), c=(0, 0)), marks("r.png")))
    second = Reading("second", (skipped, marks("s.png", a=(0, 0))))
    third = Reading("third", (marks("p.png", a=(1, 1), b=(2, 2)),))
    found = compare_readings([first, second, third])
    assert found.only_in == {"first": ("r.png",), "second": ("s.png",)}
    assert found.landmarks_only_in == {"first": ("c",)}
    assert found.partly == (("p.png", "b"),)
    assert (found.unit, found.spacing_unknown) == ("px", ("p.png",))
    # Three pairs of readings: 1, 1 and 0 pixels apart.
    assert found.overall.mre == pytest.approx(2 / 3)


def test_readings_that_cannot_be_compared_say_why():
    one = Reading("one", (marks("p.png", a=(1, 1)),))
    with pytest.raises(UsageError, match="nothing to compare with"):
        compare_readings([one])
    with pytest.raises(UsageError, match="no image is in all of one and two"):
        compare_readings([one, Reading("two", (marks("q.png", a=(1, 1)),))])
    with pytest.raises(UsageError, match="no landmark is placed in all readings"):
        compare_readings([one, Reading("two", (marks("p.png", b=(1, 1)),))])
    with pytest.raises(GeometryError, match=r"p\.png: was read as images of 50 x 50 and 60 x 90"):
        compare_readings([one, Reading("two", (marks("p.png", shape_yx=(90, 60), a=(1, 1)),))])
    twice = Reading("two", (marks("x/p.png", a=(1, 1)), marks("y/p.png", a=(1, 1))))
    with pytest.raises(UsageError, match=r"several images of two could be 'p\.png' of one"):
        compare_readings([twice, one])
