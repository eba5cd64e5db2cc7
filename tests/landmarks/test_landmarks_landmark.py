from __future__ import annotations

import numpy as np
import pytest

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State


def test_a_placed_landmark_has_a_position_and_no_other_has():
    assert Landmark("sella", (1, 2)).position_yx == (1.0, 2.0)
    assert Landmark("sella", None, State.ABSENT).position_yx is None
    with pytest.raises(LandmarkError, match="'sella' is placed but has no position"):
        Landmark("sella")
    for state in (State.SKIPPED, State.ABSENT):
        with pytest.raises(LandmarkError, match=f"'sella' is {state} but has a position"):
            Landmark("sella", (1, 2), state)


@pytest.mark.parametrize("name", ["", " ", "sella ", "\tsella"])
def test_a_name_without_content_or_with_blanks_around_is_refused(name):
    with pytest.raises(LandmarkError, match="is not a landmark name"):
        Landmark(name, (1, 2))


@pytest.mark.parametrize(
    ("position", "match"),
    [
        *(((np.nan, 1), "not two finite"), ((1, np.inf), "not two finite")),
        *(((1, 2, 3), "not two finite"), ((1.0, 1e300), "beyond any image")),
    ],
)
def test_a_position_must_be_two_finite_numbers_near_an_image(position, match):
    with pytest.raises(LandmarkError, match=match):
        Landmark("sella", position)


def test_a_name_may_stand_once_only():
    with pytest.raises(LandmarkError, match="'sella' stands twice"):
        Landmarks((Landmark("sella", (1, 2)), Landmark("sella", (3, 4))))


def test_order_names_and_positions():
    points = (Landmark("b", (1, 2)), Landmark("a", None, State.SKIPPED), Landmark("c", (5.5, 6.25)))
    landmarks = Landmarks(points, "001.png", Geometry((10, 20)))
    assert landmarks.names == ("b", "a", "c")
    assert [point.name for point in landmarks.placed] == ["b", "c"]
    np.testing.assert_array_equal(landmarks.positions_yx, [[1, 2], [np.nan, np.nan], [5.5, 6.25]])
    assert Landmarks().positions_yx.shape == (0, 2)
    assert len(landmarks) == 3
    assert "a" in landmarks
    assert "d" not in landmarks
    assert landmarks["c"].position_yx == (5.5, 6.25)
    with pytest.raises(KeyError):
        landmarks["d"]


def test_replacing_a_landmark_keeps_the_order():
    landmarks = Landmarks.from_positions({"a": (1, 2), "b": (3, 4)}, "001.png")
    moved = landmarks.with_landmark(Landmark("a", (9, 9)))
    assert moved.names == ("a", "b")
    assert moved["a"].position_yx == (9.0, 9.0)
    assert landmarks["a"].position_yx == (1.0, 2.0)
    assert landmarks.with_landmark(Landmark("c", (5, 6))).names == ("a", "b", "c")
