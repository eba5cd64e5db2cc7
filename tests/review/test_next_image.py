"""Which image to correct next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.next_image import rank_next

POINTS = {"a": (30.0, 40.0), "b": (60.0, 120.0), "c": (150.0, 90.0), "d": (90.0, 30.0)}
WIDE = {"a": (30.0, 10.0), "b": (60.0, 170.0), "c": (150.0, 100.0), "d": (90.0, 5.0)}
SHAPE_YX = (240, 200)


@pytest.fixture(scope="module")
def template() -> Template:
    pixels = np.random.default_rng(0).normal(size=SHAPE_YX)
    return Template.create(
        GrayImage.from_array(pixels, name="t.png"), Landmarks.from_positions(POINTS, "t.png"), "t"
    )


def found(
    points: dict[str, tuple[float, float]], unsure: int = 0, corrected: bool = False
) -> Landmarks:
    landmarks = Landmarks.from_positions(points, "image").with_geometry(Geometry(SHAPE_YX))
    source = Source.CORRECTED if corrected else Source.DETECTED
    return landmarks.with_points(
        replace(point, source=source, score=0.9, unsure=number < unsure)
        for number, point in enumerate(landmarks)
    )


def test_images_that_stand_for_others_that_nothing_corrected_is_like_come_first(template):
    moved = {name: (y + 20, x + 15) for name, (y, x) in POINTS.items()}
    works = {
        "usual": found(moved, 2),
        "wide": found(WIDE, 2),
        "wide too": found({n: (y + 3, x) for n, (y, x) in WIDE.items()}, 2),
        "done": found(POINTS, corrected=True),
        "to do": None,
    }
    first, second, last = rank_next(works, template)
    assert {first.key, second.key} == {"wide", "wide too"}
    assert (first.doubtful, first.like_it) == (2, 1)
    assert first.reason == (
        "2 points are doubtful, 1 other image is more like it than like any corrected one"
    )
    assert last.key == "usual"
    assert last.like_it == 0
    assert "more like the template or a corrected image" in last.reason
    # Once one of them is corrected, the other has nothing left to show.
    works["wide"] = found(WIDE, corrected=True)
    usual, wide_too = rank_next(works, template)
    assert wide_too.gain == pytest.approx(usual.gain, rel=1e-3)
    assert wide_too.gain < 0.1 * first.gain


def test_of_images_that_are_alike_the_more_doubtful_comes_first(template):
    works = {"few": found(WIDE, 1), "many": found(WIDE, 3), "none": found(WIDE)}
    assert [each.key for each in rank_next(works, template)] == ["many", "few", "none"]
    assert rank_next({}, template) == []
    assert rank_next({"to do": None}, template) == []
