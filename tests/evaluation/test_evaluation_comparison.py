"""Found and true points compared in millimetres, or in pixels where spacing is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.evaluation.comparison import compare, landmark_rows, point_rows
from napari_oneshot_lmk.evaluation.error_table import Outcome
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State


def marks(image, spacing=None, **places):
    return Landmarks.from_positions(places, image, Geometry((500, 500), spacing))


def test_errors_are_those_of_a_hand_computation():
    truth = [marks("p.png", a=(10, 10), b=(20, 20)), marks("q.png", a=(0, 0), c=(5, 5))]
    found = [
        marks("folder/p.png", (0.5, 0.5), a=(13, 14), b=(20, 20)),
        marks("q.png", (0.5, 0.5), a=(0, 9)).with_landmark(Landmark("c", None, State.ABSENT)),
        marks("alone.png", (0.5, 0.5), a=(0, 0)),
    ]
    shown = compare(found, truth)
    assert shown.unit == "mm"
    assert shown.images == ("folder/p.png", "q.png")
    assert shown.without_truth == ("alone.png",)
    a, b, c = shown.landmarks
    assert (a.n, a.mre, a.median) == (2, 3.5, 3.5)
    assert a.sdr_percent == (0, 0, 50, 50)
    assert (b.n, b.mre, c.n) == (1, 0, 0)
    assert math.isnan(c.mre)
    assert (shown.overall.n, shown.overall.mre) == (3, pytest.approx(7 / 3))
    worst = [(p.image, p.landmark, p.error) for p in shown.worst_first]
    assert worst[:2] == [("q.png", "a", 4.5), ("folder/p.png", "a", 2.5)]
    assert shown.worst_first[-1].outcome is Outcome.FALSE_ABSENT
    assert shown.errors("a").tolist() == [2.5, 4.5]
    # One image without a spacing: everything in pixels.
    shown = compare([*found[:1], marks("q.png", a=(0, 9))], truth)
    assert shown.unit == "px"
    assert [each.mre for each in shown.landmarks[:2]] == [7, 0]
    assert compare(found, truth, 2.0).landmarks[0].mre == 14


def test_outliers_lie_beyond_tukeys_fence():
    errors = [*np.linspace(1, 2, 11), 2.4, 9.0]
    truth = [marks(f"{n:02}.png", a=(100, 100)) for n in range(13)]
    found = [marks(f"{n:02}.png", a=(100, 100 + e)) for n, e in enumerate(errors)]
    shown = compare(found, truth)
    lower, upper = np.percentile(errors, (25, 75))
    assert shown.fence == pytest.approx(upper + 1.5 * (upper - lower))
    assert [point.image for point in shown.points if point.is_outlier] == ["12.png"]
    table = landmark_rows(shown)
    assert table["landmark"].tolist() == ["all", "a"]
    assert table["mre_px"].tolist() == pytest.approx([np.mean(errors)] * 2)
    points = point_rows(shown)
    assert points["outlier"].sum() == 1
    assert points["error_px"].tolist() == pytest.approx(errors)
    with pytest.raises(UsageError, match="no image stands in both"):
        compare(found, [marks("x.png", a=(0, 0))])
