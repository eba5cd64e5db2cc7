"""Semilandmarks lie at equal distances along a curve, whose points they stay."""

from __future__ import annotations

import numpy as np
import pytest

from napari_oneshot_lmk.errors import LandmarkError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.curve import Curve
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.morphometrics.semilandmarks import (
    CurveDefinition,
    Slider,
    resample_curve,
    resample_curves,
    sliders,
    with_semilandmarks,
)

JAW = CurveDefinition("jaw", ("a", "b", "c"))


def on(image: str, *curves: Curve, spacing=None) -> Landmarks:
    places = {"a": (0.0, 0.0), "b": (0.0, 6.0), "c": (4.0, 6.0)}
    landmarks = Landmarks.from_positions(places, image, Geometry((50, 50), spacing))
    return Landmarks(landmarks.points, image, landmarks.geometry, curves=curves)


def test_points_of_a_circle_are_equally_far_apart():
    turn = np.linspace(0, np.pi, 2001) ** 1.5 / np.pi**0.5
    circle = np.stack([10 * np.sin(turn), 10 * np.cos(turn)], axis=1)
    points = resample_curve(circle, 7)
    assert np.allclose(points[[0, -1]], circle[[0, -1]])
    exact = np.linspace(0, np.pi, 7)
    assert np.allclose(points, 10 * np.stack([np.sin(exact), np.cos(exact)], axis=1), atol=1e-3)


def test_lengths_are_millimetres_where_pixels_are_not_square():
    # 6 columns of 0.5 mm, then 4 rows of 0.25 mm: 3 mm and 1 mm.
    (curve,) = resample_curves(on("p.png", spacing=(0.25, 0.5)), 5, [JAW]).curves
    assert curve.points_yx == ((0, 0), (0, 2), (0, 4), (0, 6), (4, 6))
    (curve,) = resample_curves(on("p.png"), 6, [JAW]).curves
    assert curve.points_yx == ((0, 0), (0, 2), (0, 4), (0, 6), (2, 6), (4, 6))


def test_which_curve_a_semilandmark_lies_on_is_kept():
    brow = Curve("brow", ((9.0, 9.0), (9.0, 9.0), (9.0, 13.0)))
    images = [resample_curves(on(name, brow), 4, [JAW]) for name in ("p.png", "q.png")]
    (first, _) = with_semilandmarks(images)
    # An end that is a landmark on all images stays this landmark.
    semilandmarks = ["brow:1", "brow:2", "brow:3", "brow:4", "jaw:2", "jaw:3"]
    assert list(first.names) == ["a", "b", "c", *semilandmarks]
    assert np.allclose(first["brow:2"].position_yx, (9, 9 + 4 / 3))
    assert sliders(images) == (
        Slider("brow", "brow:1", "brow:2", "brow:3"),
        Slider("brow", "brow:2", "brow:3", "brow:4"),
        Slider("jaw", "a", "jaw:2", "jaw:3"),
        Slider("jaw", "jaw:2", "jaw:3", "c"),
    )


def test_what_cannot_be_resampled_says_why():
    point = Curve("dot", ((3.0, 3.0), (3.0, 3.0)))
    with pytest.raises(LandmarkError, match=r"p\.png: curve 'dot' has no length"):
        resample_curves(on("p.png", point), 5)
    with pytest.raises(LandmarkError, match=r"p\.png: has no curves; digitise some"):
        resample_curves(on("p.png"), 5)
    with pytest.raises(LandmarkError, match="goes through x, which is not placed"):
        resample_curves(on("p.png"), 5, [CurveDefinition("k", ("a", "x"))])
    with pytest.raises(UsageError, match="2 points has no semilandmark"):
        resample_curves(on("p.png"), 2, [JAW])
    one, other = (resample_curves(on(name), n, [JAW]) for name, n in (("p", 4), ("q", 5)))
    with pytest.raises(UsageError, match="'jaw' has 4 points on p, but 5 on q"):
        with_semilandmarks([one, other])
