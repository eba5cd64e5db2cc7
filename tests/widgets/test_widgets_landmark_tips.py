"""What the tip of a landmark's row says of its uncertainty."""

import pytest

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.widgets.annotate.landmark_rows import rows_of


@pytest.mark.parametrize(
    ("spacing", "said"), [((0.5, 0.5), "within 4.0 mm"), (None, "within 8 px")]
)
def test_the_tip_says_within_which_distance_the_true_point_is_expected(spacing, said):
    about = {"score": 0.7, "source": Source.DETECTED, "radius_90_px": 8.0}
    points = (
        Landmark("sella", (10.0, 20.0), description="middle", **about),
        Landmark("nasion", (30.0, 20.0), source=Source.CORRECTED),
    )
    rows = rows_of(Annotation(Landmarks(points, "a.png", Geometry((60, 50), spacing))))
    assert rows[0].tip.startswith("middle · ")
    assert said in rows[0].tip
    assert "within" not in rows[1].tip
