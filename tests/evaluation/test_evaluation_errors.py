"""Pairing of images and errors in millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.evaluation.error_table import Outcome, SpacingSource
from napari_oneshot_lmk.evaluation.errors import (
    grid384_distances_mm,
    measure_errors,
    native_distances_mm,
    pair_images,
)
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

CEPHALOGRAM = Geometry((2400, 1935), (0.1, 0.1))


def marks(image: str, geometry: Geometry | None = None, **positions) -> Landmarks:
    return Landmarks.from_positions(positions or {"a": (1.0, 2.0)}, image, geometry)


# -- pairing ------------------------------------------------------------------


def test_same_name_wins_then_stem():
    pairing = pair_images(
        [marks("b.dcm"), marks("a.png"), marks("extra.png")],
        [marks("a.png"), marks("sub/b.jpg"), marks("c.jpg")],
    )
    found = [(p.predicted.image, p.truth.image) for p in pairing.pairs]
    assert found == [("a.png", "a.png"), ("b.dcm", "sub/b.jpg")]
    assert pairing.unmatched_predicted == ("extra.png",)
    assert pairing.unmatched_truth == ("c.jpg",)
    names = ["p1/001.png", "p2/001.png"]
    pairing = pair_images([marks(n) for n in names], [marks(n) for n in names[::-1]])
    assert [p.predicted.image for p in pairing.pairs] == names[::-1]


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        (["x/001.png", "y/001.png"], ["001.png"]),
        (["001.dcm"], ["001.png", "001.jpg"]),
        # one of the two has its own partner: the other is still a guess
        (["a/001.png", "001.png"], ["a/001.png", "b/001.png"]),
    ],
)
def test_ambiguity_is_refused(predicted, truth):
    with pytest.raises(UsageError, match="share the name '001'"):
        pair_images([marks(n) for n in predicted], [marks(n) for n in truth])


# -- distances ----------------------------------------------------------------


def test_native_distance_is_anisotropic():
    geometry = Geometry((100, 100), (0.5, 0.25))
    assert native_distances_mm([[10, 10]], [[16, 26]], geometry) == [5.0]


def test_published_cell_size_and_strict_threshold():
    """Four rows of a 2400-row image at 0.1 mm are exactly 2.5 mm."""
    truth = CEPHALOGRAM.points_from_network([[100.0, 200.0]])
    for rows, columns, expected in [
        (4, 0, 2.5),
        (0, 1, 0.50390625),
        (3, 4, np.hypot(1.875, 2.015625)),
    ]:
        found = CEPHALOGRAM.points_from_network([[100.0 + rows, 200.0 + columns]])
        distance = grid384_distances_mm(found, truth, CEPHALOGRAM)[0]
        assert distance == pytest.approx(expected, abs=1e-4)
        assert (distance < 2.5) == (expected < 2.5)


def test_grid384_equals_the_published_arithmetic():
    """Integer cells, truncated, with mm per cell = spacing * size / 384."""
    generator = np.random.default_rng(0)
    shape = np.array([2400, 1935])
    found, true = generator.uniform(0, shape - 1, (2, 500, 2))
    cells = [np.trunc((p + 0.5) * 384 / shape) for p in (found, true)]
    dy, dx = ((cells[0] - cells[1]) * (0.1 * shape / 384)).T
    measured = grid384_distances_mm(found, true, CEPHALOGRAM)
    np.testing.assert_allclose(measured, np.hypot(dy, dx), atol=1e-9)


def test_grid384_does_not_depend_on_the_stored_resolution():
    stored = Geometry((800, 645), (0.3, 0.3))
    generator = np.random.default_rng(1)
    found, true = generator.uniform(0, 383, (2, 300, 2))
    # off the cells' edges, where rounding may fall either way
    found, true = np.floor(found) + 0.3, np.floor(true) - 0.2
    on = [
        grid384_distances_mm(g.points_from_network(found), g.points_from_network(true), g)
        for g in (stored, CEPHALOGRAM)
    ]
    np.testing.assert_array_equal(on[0], on[1])


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_grid384_is_within_a_cell_of_native(height, width, found, true):
    geometry = Geometry((height, width), (0.2, 0.3))
    size = np.array([height, width])
    a, b = (np.array([p]) * size - 0.5 for p in (found, true))
    native = native_distances_mm(a, b, geometry)[0]
    grid = grid384_distances_mm(a, b, geometry)[0]
    assert abs(native - grid) <= np.hypot(*(size / 384 * (0.2, 0.3))) + 1e-6
    assert grid384_distances_mm(a, a, geometry)[0] == 0


# -- tables -------------------------------------------------------------------


def one(predicted: Landmarks, truth: Landmarks, **options):
    return measure_errors(pair_images([predicted], [truth]), **options)


def test_outcomes_are_counted_and_never_zero_errors():
    def points(*states: State) -> tuple[Landmark, ...]:
        return tuple(
            Landmark(f"p{i}", (5.0, 5.0) if s is State.PLACED else None, s)
            for i, s in enumerate(states)
        )

    placed, skipped, absent = State.PLACED, State.SKIPPED, State.ABSENT
    truth = Landmarks(
        (*points(placed, placed, placed, absent, absent, skipped), Landmark("gone", (1, 1))),
        "i.png",
        Geometry((10, 10), (1, 1)),
    )
    found = Landmarks(points(placed, skipped, absent, placed, absent, placed), "i.png")
    table = one(found, truth)
    outcomes = {p.landmark: p.outcome for p in table.points}
    assert outcomes == {
        "p0": Outcome.SCORED,
        "p1": Outcome.MISSED,
        "p2": Outcome.FALSE_ABSENT,
        "p3": Outcome.FALSE_FOUND,
        "p4": Outcome.RIGHTLY_ABSENT,
        "p5": Outcome.NOT_ANNOTATED,
        "gone": Outcome.MISSED,
    }
    assert table.count(Outcome.MISSED) == 2
    assert table.count(Outcome.MISSED, "p1") == 1
    np.testing.assert_array_equal(table.native_mm(), [[0] + [np.nan] * 6])


def test_spacing_sources_in_order():
    known, other = Geometry((10, 10), (0.5, 0.5)), Geometry((10, 10), (2.0, 2.0))
    unknown = Geometry((10, 10))
    for truth_geometry, found_geometry, given_mm, expected, source in [
        (known, other, 1.0, 4.0, SpacingSource.GIVEN),
        (known, other, None, 2.0, SpacingSource.TRUTH),
        (unknown, other, None, 8.0, SpacingSource.PREDICTED),
        (None, other, None, 8.0, SpacingSource.PREDICTED),
    ]:
        found, true = marks("i", found_geometry, a=(0, 4)), marks("i", truth_geometry, a=(0, 0))
        table = one(found, true, spacing_mm_yx=given_mm)
        assert table.native_mm()[0, 0] == expected
        assert table.spacing_sources == {source}


def test_spacing_per_image():
    truth = [marks(n, Geometry((9, 9), (s, s)), a=(0.0, 0.0)) for n, s in [("x", 1), ("y", 3)]]
    found = [marks(n, None, a=(0.0, 2.0)) for n in "xy"]
    table = measure_errors(pair_images(found, truth))
    np.testing.assert_allclose(table.native_mm(), [[2], [6]])


def test_unknown_size_has_no_grid384():
    table = one(marks("i.png"), marks("i.png"), spacing_mm_yx=0.3)
    assert table.grid384_mm() is None
    assert table.sizes_unknown == ("i.png",)
    assert table.native_mm()[0, 0] == 0


@pytest.mark.parametrize(
    ("predicted", "truth", "options", "message"),
    [
        (marks("i"), marks("i"), {}, r"pixel spacing of i is unknown.*--spacing"),
        *(
            (marks("i"), marks("i"), {"spacing_mm_yx": mm}, "spacing")
            for mm in (0, -1, float("nan"), 1e6)
        ),
        (
            *(marks("i", CEPHALOGRAM), marks("i", Geometry((800, 645), (0.3, 0.3)))),
            *({}, r"truth .* 645 x 800 .* 1935 x 2400"),
        ),
        (marks("i"), marks("i", b=(0, 0)), {"spacing_mm_yx": 1}, "no landmark name"),
        (marks("i"), marks("j"), {}, "no image stands in both"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted, truth, options, message):
    with pytest.raises((GeometryError, UsageError), match=message):
        one(predicted, truth, **options)
