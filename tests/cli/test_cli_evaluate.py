"""``oneshot-lmk evaluate`` through the real command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from cli_scene import refused, run, save_table, succeed

KEYS = {"mre_mm", "sd_mm", "median_mm", "sdr_percent", "n"}


def rows(images: dict[str, float], **columns: object) -> list[dict[str, object]]:
    """Two landmarks an image, off to the right by so many pixels."""
    return [
        {"image": image, "landmark": name, "x_px": x + off, "y_px": 20.0, **columns}
        for image, off in images.items()
        for name, x in [("a", 10.0), ("b", 30.0)]
    ]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    found, truth = tmp_path / "found.csv", tmp_path / "truth.csv"
    size = {"height_px": 384, "width_px": 384}
    save_table(found, rows({"p.png": 2.0, "q.png": 6.0, "extra.png": 0.0}, **size))
    save_table(truth, rows({"p.png": 0.0, "q.jpg": 0.0, "lost.png": 0.0}))
    return found, truth


def test_summary_has_the_fixed_names(files, tmp_path):
    found, truth = files
    out = tmp_path / "report"
    succeed("evaluate", "--predicted", found, "--truth", truth, "--spacing", 0.5, "--out", out)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["native"]) == set(summary["grid384"]) == KEYS
    assert summary["native"] == {
        "mre_mm": 2.0,
        "sd_mm": 1.0,
        "median_mm": 2.0,
        "sdr_percent": {"2.0": 50.0, "2.5": 50.0, "3.0": 50.0, "4.0": 100.0},
        "n": 4,
    }
    assert summary["grid384"] == summary["native"]  # one cell is one pixel here
    assert set(summary["per_landmark"]) == {"a", "b"}
    assert summary["per_landmark"]["b"]["mre_mm"] == 2.0
    assert set(summary["per_landmark"]["b"]) == KEYS
    # Two images: means of (1, 1), (1, 3), (3, 3).
    assert summary["ci95"]["native"]["mre_mm"] == [1.0, 3.0]
    assert summary["unmatched"] == {
        "predicted": ["extra.png"],
        "truth": ["lost.png"],
        "predicted_landmarks": [],
        "truth_landmarks": [],
    }
    assert summary["spacing_source"] == ["given"]
    assert {p.name for p in out.iterdir()} == {
        *("summary.json", "errors.csv", "per_landmark.csv"),
        *("cumulative_error.png", "per_landmark.png"),
    }
    with (out / "errors.csv").open(encoding="utf-8") as file:
        errors = list(csv.DictReader(file))
    assert [float(e["native_mm"]) for e in errors] == [1, 1, 3, 3]
    assert [e["image"] for e in errors] == ["p.png"] * 2 + ["q.jpg"] * 2


def test_printed_table_names_what_is_unmatched(files):
    found, truth = files
    result = succeed("evaluate", "--predicted", found, "--truth", truth, "--spacing", "0.5")
    assert "2.00 ± 1.00" in result.stdout
    assert "Images without truth (1): extra.png" in result.stdout
    assert "Images without predictions (1): lost.png" in result.stdout


def test_json_goes_alone_to_stdout(files):
    found, truth = files
    result = run("evaluate", "--predicted", found, "--truth", truth, "--spacing", "0.5x1", "--json")
    assert json.loads(result.stdout)["native"]["mre_mm"] == 4.0


def test_spacing_per_image_from_the_file(tmp_path):
    found, truth = tmp_path / "found.csv", tmp_path / "truth.csv"
    found_rows = rows({"p.png": 2.0, "q.png": 2.0}, height_px=50, width_px=60)
    for row in found_rows:
        spacing = 0.5 if row["image"] == "p.png" else 2.0
        row["x_mm"], row["y_mm"] = row["x_px"] * spacing, row["y_px"] * spacing
    save_table(found, found_rows)
    save_table(truth, rows({"p.png": 0.0, "q.png": 0.0}))
    result = run("evaluate", "--predicted", found, "--truth", truth, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["native"]["mre_mm"] == pytest.approx(2.5)
    assert summary["native"]["sdr_percent"]["2.0"] == 50
    assert summary["spacing_source"] == ["predicted file"]
    shown = run("evaluate", "--predicted", found, "--truth", truth)
    assert "the pixel spacing that the file of predicted landmarks states." in shown.output


def test_unknown_size_is_said(tmp_path):
    table = tmp_path / "t.csv"
    save_table(table, rows({"p.png": 0.0}))
    result = run("evaluate", "--predicted", table, "--truth", table, "--spacing", 1, "--json")
    summary = json.loads(result.stdout)
    assert summary["grid384"] is None
    assert "height_px" in summary["grid384_reason"]
    assert summary["native"]["mre_mm"] == 0


def test_absent_and_skipped_are_counted(tmp_path):
    found, truth = tmp_path / "found.csv", tmp_path / "truth.csv"
    truth.write_text(
        "image,landmark,x_px,y_px,state\ni.png,a,1,1,placed\ni.png,b,2,2,placed\ni.png,c,,,absent\n"
    )
    found.write_text(
        "image,landmark,x_px,y_px,state\ni.png,a,1,2,placed\ni.png,b,,,absent\ni.png,c,3,3,placed\n"
    )
    result = run("evaluate", "--predicted", found, "--truth", truth, "--spacing", 1, "--json")
    summary = json.loads(result.stdout)
    assert summary["native"]["n"] == 1
    assert summary["native"]["mre_mm"] == 1
    assert summary["outcomes"]["false_absent"] == 1
    assert summary["outcomes"]["false_found"] == 1
    assert summary["per_landmark"]["c"]["mre_mm"] is None


def test_same_call_same_bytes(files, tmp_path):
    found, truth = files
    outs = [tmp_path / name for name in ("r1", "r2")]
    for out in outs:
        run("evaluate", "--predicted", found, "--truth", truth, "--spacing", 1, "--out", out)
    for name in ("summary.json", "errors.csv", "per_landmark.csv"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()


# -- bad input ------------------------------------------------------------------


def test_unknown_spacing(files):
    found, truth = files
    assert "--spacing" in refused(2, "evaluate", "--predicted", found, "--truth", truth)


@pytest.mark.parametrize("spacing", ["0", "-1", "1000", "nan", "wide", "1x2x3"])
def test_senseless_spacing(files, spacing):
    found, truth = files
    call = ["evaluate", "--predicted", found, "--truth", truth, "--spacing", spacing]
    assert "spacing" in refused(2, *call)


def test_existing_output_is_kept(files, tmp_path):
    found, truth = files
    out = tmp_path / "report"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    call = ["evaluate", "--predicted", found, "--truth", truth, "--spacing", 1, "--out", out]
    assert "--overwrite" in refused(2, *call)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    succeed(*call, "--overwrite")
    assert (out / "mine.txt").exists()
    assert (out / "summary.json").exists()


def test_bad_table(files):
    found, truth = files
    truth.write_text("image,landmark,x_px,y_px\ni,a,one,2\n")
    sentence = refused(1, "evaluate", "--predicted", found, "--truth", truth, "--spacing", 1)
    assert f"{truth}: line 2: x_px is 'one', which is not a number" in sentence


def test_missing_file_and_wrong_suffix(files, tmp_path):
    found, _ = files
    call = ["evaluate", "--predicted", found, "--truth"]
    assert "no.csv" in refused(1, *call, tmp_path / "no.csv")
    assert ".csv, .mrk.json" in refused(2, *call, tmp_path / "no.xlsx")


def test_errors_in_pixels_need_no_spacing(files, tmp_path):
    found, truth = files
    out = tmp_path / "report"
    call = ["evaluate", "--predicted", found, "--truth", truth, "--pixels"]
    assert "MRE px" in succeed(*call, "--out", out).stdout
    in_mm = json.loads(succeed(*call[:-1], "--spacing", 1, "--json").stdout)
    (overall, *_) = json.loads(succeed(*call, "--json").stdout)
    assert overall["mre_px"] == pytest.approx(in_mm["native"]["mre_mm"])
    assert sorted(file.name for file in out.iterdir()) == ["errors.csv", "per_landmark.csv"]
    assert "leave out one" in refused(2, *call, "--spacing", 1)
