"""Reports: summaries, scores, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.evaluation.metrics import confidence_quality
from napari_oneshot_lmk.evaluation.plots import (
    FAR,
    NEAR,
    Panel,
    draw_cumulative_error,
    draw_overview,
    draw_per_landmark,
)
from napari_oneshot_lmk.evaluation.report import Report, evaluate
from napari_oneshot_lmk.evaluation.write_report import write_report
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance

GEOMETRY = Geometry((200, 160), (0.5, 0.5))


def report_of(
    errors_mm: np.ndarray,
    scores: np.ndarray | None = None,
    unsure: np.ndarray | None = None,
    radii_mm: np.ndarray | None = None,
) -> Report:
    """A report with just these errors (images, landmarks)."""
    found, truth = [], []
    for row, errors in enumerate(errors_mm):
        points = [
            Landmark(
                f"p{k}",
                (50.0, 40.0 + error / 0.5),
                score=None if scores is None else float(scores[row, k]),
                unsure=bool(unsure is not None and unsure[row, k]),
                radius_90_px=None if radii_mm is None else float(radii_mm[row, k]) / 0.5,
            )
            for k, error in enumerate(errors)
        ]
        source = Provenance("instant", "vgg19-12345678", "adult")
        found.append(Landmarks(tuple(points), f"{row}.png", GEOMETRY, source))
        true = {point.name: (50.0, 40.0) for point in points}
        truth.append(Landmarks.from_positions(true, f"{row}.png", GEOMETRY))
    return evaluate(found, truth)


def test_summary_and_the_same_without_an_image():
    whole = report_of(np.array([[1.0, 1.0], [3.0, 3.0], [8.0, 8.0]]))
    summary = whole.summary()
    assert summary["methods"] == ["instant"]
    assert summary["encoders"] == ["vgg19-12345678"]
    assert summary["templates"] == ["adult"]
    assert summary["bootstrap"]["seed"] == 0
    assert summary["images"] == 3
    part = whole.without(["2.png"])
    assert whole.native.overall.mre_mm == 4
    assert part.native.overall.mre_mm == 2
    assert part.table.images == ("0.png", "1.png")
    assert part.provenance == whole.provenance


def test_landmark_without_any_error_is_null():
    truth = [Landmarks((Landmark("a", (1, 1)), Landmark("b", (1, 1))), "i", GEOMETRY)]
    found = [Landmarks((Landmark("a", (1, 1)),), "i", GEOMETRY)]
    summary = evaluate(found, truth).summary()
    assert summary["per_landmark"]["b"]["n"] == 0
    assert summary["per_landmark"]["b"]["mre_mm"] is None
    assert summary["unmatched"]["truth_landmarks"] == ["b"]


# -- confidence ---------------------------------------------------------------


def quality(errors: np.ndarray, *more: np.ndarray) -> dict[str, float] | None:
    return confidence_quality(report_of(errors, *more).table)


def test_how_well_confidence_predicts_errors():
    errors = np.array([[1.0, 2.0, 5.0], [1.5, 6.0, 7.0]])
    assert quality(errors, 1 / (1 + errors), errors >= 6) == {
        "auc_4mm": 1,
        "unsure_percent": pytest.approx(100 / 3),
        "unsure_of_far_percent": pytest.approx(200 / 3),
        "far_of_unsure_percent": 100,
        "far_and_sure_percent": pytest.approx(100 / 6),
        "far_in_least_sure_10_percent": pytest.approx(100 / 3),
        "far_in_least_sure_20_percent": pytest.approx(100 / 3),
        "within_radius_percent": None,
    }
    radii = np.array([[1.5, 1.5, 5.5], [1.0, 6.5, 6.5]])
    found = quality(errors, 1 / (1 + errors), errors >= 6, radii)
    assert found["within_radius_percent"] == 50
    assert quality(np.ones((2, 2)), np.ones((2, 2)))["auc_4mm"] is None
    assert quality(errors) is None
    # In general it is the share of pairs in the right order.
    generator = np.random.default_rng(0)
    errors = generator.rayleigh(3, (10, 6))
    scores = np.round(generator.uniform(size=errors.shape), 1)
    good, bad = scores[errors < 4], scores[errors >= 4]
    pairs = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
    assert quality(errors, scores)["auc_4mm"] == pytest.approx(pairs)


# -- files ----------------------------------------------------------------------


def test_report_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    report = report_of(np.ones((3, 2)))

    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_oneshot_lmk.evaluation.plots.draw_per_landmark", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_report(report, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def colours_in(path: Path) -> set[str]:
    pixels = np.round(imread(path)[..., :3] * 255).astype(int).reshape(-1, 3)
    return {"#{:02X}{:02X}{:02X}".format(*row) for row in np.unique(pixels, axis=0)}


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (30, 25)])
def test_plots_of_any_size(shape, tmp_path):
    errors = np.random.default_rng(0).rayleigh(1.5, shape)
    report = report_of(errors)
    draw_cumulative_error({"": report}, tmp_path / "c.png")
    draw_per_landmark(report, tmp_path / "l.png")
    assert "#0072B2" in colours_in(tmp_path / "c.png")  # native
    assert "#D55E00" in colours_in(tmp_path / "c.png")  # 384 grid
    assert "#0072B2" in colours_in(tmp_path / "l.png")
    reports = {str(k): report for k in range(3)}
    draw_cumulative_error(reports, tmp_path / "three.png", title="Three")
    assert {"#0072B2", "#D55E00", "#009E73"} <= colours_in(tmp_path / "three.png")


def test_plots_of_nothing_found(tmp_path):
    truth = [Landmarks((Landmark("a", (1, 1)),), "i", GEOMETRY)]
    found = [Landmarks((Landmark("a", None, "skipped"),), "i", GEOMETRY)]
    report = evaluate(found, truth)
    write_report(report, tmp_path / "r")
    assert (tmp_path / "r" / "cumulative_error.png").exists()


def test_overview_colours_by_error(tmp_path):
    image = GrayImage(np.random.default_rng(0).uniform(0, 1, (200, 160)), GEOMETRY, "i.png")
    truth = Landmarks.from_positions({"a": (50.0, 50.0), "b": (120.0, 90.0)})
    right = Landmarks.from_positions({"a": (50.5, 50.0), "b": (120.0, 91.0)})
    wrong = Landmarks.from_positions({"a": (90.0, 50.0), "b": (120.0, 20.0)})
    for found, colour, other in [(right, NEAR, FAR), (wrong, FAR, NEAR)]:
        path = tmp_path / "o.png"
        draw_overview([Panel(image, truth, found, "i")] * 3, path, columns=2, title="T")
        pixels = imread(path)[: -int(0.15 * len(imread(path))), :, :3]  # not the key
        wanted, unwanted = (
            np.array([int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)]) for c in (colour, other)
        )
        assert (np.abs(pixels - wanted).max(axis=-1) < 0.02).sum() > 10
        assert (np.abs(pixels - unwanted).max(axis=-1) < 0.02).sum() == 0


def test_overview_of_the_template_and_of_absent_points(tmp_path):
    image = GrayImage(np.eye(200, 160), GEOMETRY, "i.png")
    truth = Landmarks((Landmark("a", (50.0, 50.0)), Landmark("b", None, "absent")))
    found = Landmarks((Landmark("a", None, "skipped"), Landmark("b", (9.0, 9.0))))
    panels = [Panel(image, truth, None, "template"), Panel(image, truth, found, "i")]
    draw_overview(panels, tmp_path / "o.png")
    assert (tmp_path / "o.png").stat().st_size > 1000
