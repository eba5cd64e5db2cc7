"""Benchmarks of methods, through the real command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_scene import point_rows, refused, run, save_image, save_table, scene, succeed, view
from random_vgg19 import saved_weights

from napari_oneshot_lmk.benchmark.methods import (
    METHODS,
    GreyPatches,
    Options,
    TemplateCopy,
    checked_methods,
)
from napari_oneshot_lmk.benchmark.trained import TRAINED_METHODS
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.errors import UsageError, WeightsError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import RunFolder

SCORINGS = ["native", "grid384", "native_without_duplicates", "grid384_without_duplicates"]
# (rows, columns) by which the content of each image is moved; 0.5 mm a pixel
SHIFTS = {"t.png": (0, 0), "a.png": (6, 0), "b.png": (0, -8), "c.png": (-12, 0)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows = []
    for name, shift in SHIFTS.items():
        save_image(folder / "images" / name, view(scene(), shift))
        rows += point_rows(name, shift)
    save_table(folder / "landmarks.csv", rows)
    description = {
        "name": "Shifted blobs",
        "template": "t.png",
        "spacing_mm": {"t.png": 0.5, "a.png": 0.5, "b.png": 0.5, "c.png": 1.0},
        "splits": {"train": ["t.png"], "test": ["a.png", "b.png", "c.png"]},
        "same_radiograph": [["t.png", "c.png"]],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def table(out: Path) -> list[dict[str, str]]:
    with (out / "table.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def call(data: Path, out: Path, methods: str, *more: str) -> tuple[object, ...]:
    return "benchmark", "accuracy", "--data", data, "--out", out, "--methods", methods, *more


def test_table_of_references(data, tmp_path):
    out = tmp_path / "out"
    succeed(*call(data, out, "template-copy,grey-patches"))
    rows = table(out)
    assert [(r["method"], r["scoring"]) for r in rows] == [
        (method, scoring) for method in ("template-copy", "grey-patches") for scoring in SCORINGS
    ]
    copy = {r["scoring"]: r for r in rows[:4]}
    # The copy stays where it is: errors are the shifts, 3, 4 and 12 mm.
    assert float(copy["native"]["mre_mm"]) == pytest.approx(19 / 3)
    assert float(copy["native"]["sdr_4.0"]) == pytest.approx(100 / 3)
    assert copy["native"]["n"] == "9"
    assert float(copy["native_without_duplicates"]["mre_mm"]) == pytest.approx(3.5)
    assert copy["native_without_duplicates"]["images"] == "2"
    # The same pixels are at another place: patches find them to the grid's cell.
    assert float(rows[4]["mre_mm"]) < 0.5
    assert rows[0]["encoder"] == ""

    found = read_landmarks(out / "grey-patches" / "found.csv")
    assert [landmarks.image for landmarks in found] == ["a.png", "b.png", "c.png"]
    assert found[2].geometry.spacing_mm_yx == (1.0, 1.0)
    assert found[0].provenance.method == "grey-patches"
    summary = json.loads((out / "template-copy" / "summary.json").read_text())
    assert summary["native"]["mre_mm"] == pytest.approx(19 / 3)
    assert summary["without_duplicates"]["native"]["n"] == 6
    page = (out / "table.md").read_text(encoding="utf-8")
    for words in ("Shifted blobs", "template-copy", "seed 0", "torch", "Command: `"):
        assert words in page
    assert (out / "cumulative_error.png").stat().st_size > 1000


def test_detector_and_its_encoder(data, tmp_path):
    out = tmp_path / "out"
    rows = json.loads(succeed(*call(data, out, "shipped", "--json")).stdout)
    assert rows[0]["method"] == "shipped"
    assert rows[0]["encoder"]
    assert rows[0]["mre_mm"] < 1.5
    summary = json.loads((out / "shipped" / "summary.json").read_text())
    assert summary["encoder"] == rows[0]["encoder"]
    assert summary["scores"] is not None
    # The command's numbers are those of evaluate on the same files.
    again = run(
        *("evaluate", "--predicted", out / "shipped" / "found.csv"),
        *("--truth", data / "landmarks.csv", "--json"),
    )
    same = json.loads(again.stdout)
    assert same["native"]["mre_mm"] == pytest.approx(summary["native"]["mre_mm"])
    assert same["grid384"]["sdr_percent"] == summary["grid384"]["sdr_percent"]


def test_a_fine_stage_is_trained_first(data, tmp_path):
    description = json.loads((data / "dataset.json").read_text())
    description["splits"] = {"train": ["t.png", "a.png"], "test": ["b.png", "c.png"]}
    (data / "dataset.json").write_text(json.dumps(description))
    small = {"side": 32, "jitter_px": 4.0, "width": 4, "epochs": 2, "epoch_steps": 2, "batch": 4}
    preset = tmp_path / "short.toml"
    preset.write_text(Preset().changed({f"fine.{k}": v for k, v in small.items()}).to_toml())
    out = tmp_path / "out"
    result = succeed(*call(data, out, "instant-fine", "--preset", preset))
    assert "epoch 4 of 4, loss template" in result.stderr
    assert table(out)[0]["method"] == "instant-fine"
    assert int(table(out)[0]["parameters"]) > 0


def test_a_fine_stage_follows_the_fused_model_of_the_row_beside_it(data, tmp_path):
    description = json.loads((data / "dataset.json").read_text())
    description["splits"] = {"train": ["t.png", "a.png"], "test": ["b.png", "c.png"]}
    (data / "dataset.json").write_text(json.dumps(description))
    fine = {"side": 32, "jitter_px": 4.0, "width": 4, "epochs": 1, "epoch_steps": 2, "batch": 4}
    changes = {f"fine.{name}": value for name, value in fine.items()}
    changes |= {"training.epochs": 1, "template_copies.count": 4}
    preset = tmp_path / "short.toml"
    preset.write_text(Preset.load("laptop").changed(changes).to_toml())
    out = tmp_path / "out"
    result = succeed(*call(data, out, "fused,fine", "--preset", preset))
    assert result.stderr.count("epoch 1 of 1, ") == 1
    runs = {name: RunFolder(out / "runs" / name) for name in ("fused", "fine")}
    assert runs["fused"].finished.seconds < runs["fine"].finished.seconds
    assert not runs["fused"].settings.fine
    models = {name: TrainedModel.load(run.path) for name, run in runs.items()}
    assert models["fused"].fine is None
    assert replace(models["fine"], fine=None).content_sha256 == models["fused"].content_sha256


def test_the_help_names_every_method():
    said = " ".join(run("benchmark", "accuracy", "--help").stdout.replace("│", " ").split())
    for name in METHODS:
        assert f"{name}," in said or f"{name}." in said


def test_unreadable_image_is_listed(data, tmp_path):
    (data / "images" / "b.png").write_bytes(b"")
    out = tmp_path / "out"
    result = run(*call(data, out, "template-copy"))
    assert result.exit_code == 1
    assert "1 image could not be used:" in result.stderr
    assert "b.png" in result.stderr
    assert (table(out)[0]["images"], table(out)[0]["failed_images"]) == ("2", "1")
    assert "b.png" in (out / "table.md").read_text(encoding="utf-8")


def test_wrong_use(data, tmp_path):
    out = tmp_path / "out"
    assert "'magic'" in refused(2, *call(data, out, "instant,magic"))
    # The command's name of before is still understood.
    no_data = ("benchmark", "cephalogram", "--data", tmp_path / "no", "--out", out)
    assert "dataset.json" in refused(1, *no_data)
    out.mkdir()
    (out / "old.txt").write_text("")
    assert "--overwrite" in refused(2, *call(data, out, "instant"))
    assert checked_methods(["instant, shipped", "instant"]) == ("instant", "shipped")
    with pytest.raises(UsageError, match="no method"):
        checked_methods([" , "])


# -- references -------------------------------------------------------------------


def template_of(pixels: np.ndarray, **positions: tuple[float, float]) -> Template:
    image = GrayImage.from_array(pixels, 0.5, "t.png")
    return Template.create(image, Landmarks.from_positions(positions))


def test_template_copy_follows_the_frame():
    template = template_of(view(scene(), (0, 0)), a=(0.0, 99.0), b=(59.5, 49.5))
    other = GrayImage(np.eye(240, 50), Geometry((240, 50), (1, 1)), "i.png")
    found = TemplateCopy(template)(other)
    np.testing.assert_allclose(found["b"].position_yx, (119.5, 24.5))
    np.testing.assert_allclose(found["a"].position_yx, (0.5, 49.25))
    assert found.image == "i.png"
    assert found.geometry == other.geometry


def test_references_keep_states_and_order():
    image = GrayImage.from_array(view(scene(), (0, 0)), 0.5, "t.png")
    points = (
        Landmark("skipped", None, State.SKIPPED),
        Landmark("here", (60.0, 50.0)),
        Landmark("absent", None, State.ABSENT),
    )
    template = Template.create(image, Landmarks(points))
    for reference in (TemplateCopy(template), GreyPatches(template)):
        found = reference(image)
        assert [p.state for p in found] == [p.state for p in points]
        np.testing.assert_allclose(found["here"].position_yx, (60, 50), atol=1e-6)


@pytest.mark.parametrize("corner", [(0.0, 0.0), (119.0, 99.0), (0.0, 99.0)])
def test_grey_patches_at_the_border(corner):
    template = template_of(view(scene(), (0, 0)), a=corner)
    found = GreyPatches(template)(template.image)
    np.testing.assert_allclose(found["a"].position_yx, corner, atol=1e-6)


def test_grey_patches_ignore_brightness_and_contrast():
    pixels = view(scene(), (0, 0)).astype(float)
    template = template_of(pixels, a=(50.0, 40.0))
    other = GrayImage.from_array(0.3 * view(scene(), (5, 7)) + 90, 0.5)
    found = GreyPatches(template)(other)
    np.testing.assert_allclose(found["a"].position_yx, (55, 47), atol=0.3)
    assert found["a"].score == pytest.approx(1, abs=0.05)


def test_every_method_starts_without_a_network_or_says_what_it_needs():
    template = template_of(view(scene(), (0, 0)), a=(50.0, 40.0))
    for name in set(METHODS) - {"instant", "vgg19", *TRAINED_METHODS}:
        found = METHODS[name](template, Options(device="cpu"))(template.image)
        assert found.names == ("a",)
    for name in TRAINED_METHODS:
        with pytest.raises(UsageError, match=f"the method {name} has to be trained"):
            METHODS[name](template, Options(device="cpu"))


def test_vgg19_alone_needs_its_weights(tmp_path):
    template = template_of(view(scene(), (0, 0)), a=(50.0, 40.0))
    with pytest.raises(WeightsError, match="leave the method vgg19 out"):
        METHODS["vgg19"](template, Options(device="cpu"))
    weights = saved_weights(tmp_path / "w.safetensors")
    locate = METHODS["vgg19"](template, Options(weights, device="cpu"))
    assert locate(template.image).provenance.encoder.startswith("vgg19-")
