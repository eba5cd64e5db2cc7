"""``oneshot-lmk morphometrics`` and one file per image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_scene import POINTS, refused, save_table, succeed

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks


def rows(noise: float = 0.0, images: int = 6, off: float = 0.0) -> list[dict[str, object]]:
    generator = np.random.default_rng(3)
    shifts = generator.normal(0, 20, (images, 2))
    found = [
        {"image": f"{n}.png", "landmark": name, "x_px": x + dx, "y_px": y + dy}
        for n, (dy, dx) in enumerate(shifts)
        for name, (y, x) in (POINTS | {"heel": (10.0, 90.0)}).items()
    ]
    for row in found:
        row["x_px"] += generator.normal(0, noise)
    found[-1]["x_px"] += off
    return found


def table(path: Path, *arguments: float) -> Path:
    save_table(path, rows(*arguments))
    return path


@pytest.fixture
def sized(tmp_path: Path) -> Path:
    """A TPS file of two images that knows their size."""
    sets = [Landmarks.from_positions(POINTS, f"{n}.png", Geometry((200, 200))) for n in range(2)]
    write_landmarks(tmp_path / "sized.tps", sets)
    return tmp_path / "sized.tps"


def test_aligned_tables(tmp_path: Path) -> None:
    found, out = table(tmp_path / "found.csv"), tmp_path / "aligned"
    result = succeed("morphometrics", "align", found, "--spacing", 0.5, "--out", out)
    assert "6 images, 4 landmarks" in result.stdout
    images = pd.read_csv(out / "images.csv")
    assert np.allclose(images["procrustes_distance"], 0, atol=1e-6)
    points = np.array([*POINTS.values(), (10.0, 90.0)])
    size = np.linalg.norm(points - points.mean(axis=0))
    assert np.allclose(images["centroid_size"], 0.5 * size)
    assert set(images["unit"]) == {"mm"}
    mean = pd.read_csv(out / "mean.csv", index_col="landmark")
    assert np.allclose(mean[["y", "x"]], (points - points.mean(axis=0)) / size, atol=1e-6)
    content = json.loads(succeed("morphometrics", "align", found, "--json").stdout)
    assert (len(content["aligned"]), content["images"][0]["unit"]) == (24, "px")
    assert "exists" in refused(2, "morphometrics", "align", found, "--out", out)


def test_an_outlier_is_named(tmp_path: Path) -> None:
    found, out = table(tmp_path / "found.csv", 0.3, 12, 30.0), tmp_path / "out.csv"
    result = succeed("morphometrics", "outliers", found, "--out", out)
    assert "11.png" in result.stdout
    scored = pd.read_csv(out)
    assert len(scored) == 12 * 5
    of_images = scored[scored["landmark"].isna()]
    assert of_images[of_images["outlier"] == 1]["image"].tolist() == ["11.png"]
    assert set(scored[scored["outlier"] == 1]["image"]) == {"11.png"}
    alone = refused(2, "morphometrics", "outliers", found, "--project", tmp_path)
    assert "name either landmark files or a project" in alone


def test_readers_are_compared_with_themselves_and_each_other(tmp_path: Path) -> None:
    first, again, other = (
        table(tmp_path / f"{name}.csv", noise)
        for name, noise in (("first", 0.0), ("again", 1.0), ("other", 4.0))
    )
    own = tmp_path / "own.toml"
    own.write_text('[[measurement]]\nname="at"\nkind="distance"\npoints=["apex","tip"]\n')
    readings = (f"ada={first}", f"ada={again}", f"bo={other}")
    out = tmp_path / "out"
    result = succeed("morphometrics", "observers", *readings, "--set", own, "--out", out)
    assert "Intra-observer error of ada" in result.stdout
    landmarks = pd.read_csv(out / "landmarks.csv").set_index(["comparison", "landmark"])
    intra = landmarks.loc[("Intra-observer error of ada", "all")]
    inter = landmarks.loc[("Inter-observer error", "all")]
    assert (intra["n"], intra["dahlberg_y"], intra["unit"]) == (24, 0, "px")
    assert 0.4 < intra["dahlberg_x"] < 1.1
    assert 3 < inter["dahlberg_x"] / intra["dahlberg_x"] < 5
    measured = pd.read_csv(out / "measurements.csv")
    assert measured["measurement"].tolist() == ["at", "at"]
    content = json.loads(succeed("morphometrics", "observers", first, other, "--json").stdout)
    assert content["Inter-observer error"]["readings"] == ["first.csv", "other.csv"]
    assert "nothing to compare" in refused(2, "morphometrics", "observers", first)
    assert (
        "first.csv was named twice" in refused(2, "morphometrics", "observers", first, first) or 1
    )


def test_curves_are_resampled_and_kept(tmp_path: Path, sized: Path) -> None:
    curves, joined = tmp_path / "curves.tps", tmp_path / "joined.csv"
    sliders = tmp_path / "sliders.csv"
    through = ("--curve", "edge=apex,notch,tip", "--points", 5)
    command = ("morphometrics", "resample", sized, *through, "--sliders", sliders)
    succeed(*command, "--out", curves)
    first, _ = read_landmarks(curves)
    assert [(curve.name, len(curve)) for curve in first.curves] == [("edge", 5)]
    assert len(first) == 3
    # Numbers as geomorph reads the file: landmarks, then all points of curves.
    numbers = pd.read_csv(sliders)[["before_number", "slide_number", "after_number"]]
    assert numbers.to_numpy().tolist() == [[4, 5, 6], [5, 6, 7], [6, 7, 8]]
    succeed(*command, "--out", joined, "--overwrite")
    first, _ = read_landmarks(joined)
    assert first.names == (*POINTS, "edge:2", "edge:3", "edge:4")
    assert pd.read_csv(sliders)["before"].tolist() == ["apex", "edge:2", "edge:3"]
    # A further tool wants a file for each image.
    each = tmp_path / "each"
    succeed("convert", curves, each, "--to", "tps")
    assert [len(read_landmarks(path)[0].curves) for path in sorted(each.iterdir())] == [1, 1]
    told = refused(
        *(2, "morphometrics", "resample", sized, "--curve", "edge"),
        *("--out", tmp_path / "no.tps"),
    )
    assert "write it like jaw=gonion,menton,pogonion" in told
