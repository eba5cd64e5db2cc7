"""``oneshot-lmk demo``: the main job on samples, without a network."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from cli_scene import point_rows, refused, save_image, save_table, scene, succeed, view

from napari_oneshot_lmk.cli.demo import ENOUGH_IMAGES, preset_for
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.preset import Preset

SHORT = {
    "training.epochs": 1,
    "template_copies.count": 2,
    "network.width": 0.1,
    "network.adapter_channels": 2,
    "fine.epochs": 1,
    "fine.epoch_steps": 1,
    "fine.batch": 4,
    "fine.width": 4,
}
"""What the tests change in the preset of the demo's training."""
SHIFTS = {"1.png": (0, 0), "2.png": (5, -4), "3.png": (-6, 2)}


def make_samples(home: Path) -> None:
    for number, anatomy in enumerate(("skull", "hand")):
        images = home / anatomy / "images"
        images.mkdir(parents=True)
        rows = []
        for name, shift in SHIFTS.items():
            save_image(images / f"{anatomy}_{name}", view(scene(number), shift))
            rows += point_rows(f"{anatomy}_{name}", shift)
        save_table(home / anatomy / "landmarks.csv", rows)
        content = {
            "name": anatomy,
            "template": f"{anatomy}_1.png",
            "spacing_mm": 0.5,
            "splits": {"test": [f"{anatomy}_3.png"]},
        }
        (home / anatomy / "dataset.json").write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def ask_network(progress: object = None) -> None:
        raise AssertionError("the demo asked for the network")

    monkeypatch.setattr("napari_oneshot_lmk.encoders.weights.download_weights", ask_network)


def test_demo(monkeypatch, tmp_path):
    make_samples(tmp_path / "samples")
    monkeypatch.setattr(
        "napari_oneshot_lmk.samples.sample_folder", lambda anatomy: tmp_path / "samples" / anatomy
    )
    monkeypatch.setattr("napari_oneshot_lmk.cli.demo.SHORT", SHORT)
    out = tmp_path / "out" / "demo"
    result = succeed("demo", "--out", out)
    # every image but the template, whatever the splits
    expected = {f"{a}_{n}.png" for a in ("skull", "hand") for n in (2, 3)}
    found = read_landmarks(out / "found.csv")
    assert {landmarks.image for landmarks in found} == expected
    markups = {path.name for path in (out / "markups").iterdir()}
    assert markups == {f"{Path(name).stem}.mrk.json" for name in expected}
    assert (out / "overview.png").stat().st_size > 10_000
    for anatomy in ("skull", "hand"):
        summary = json.loads((out / anatomy / "summary.json").read_text())
        assert summary["native"]["n"] == 6
        assert summary["native"]["mre_mm"] < 1.5
        assert len(Template.load(out / anatomy / "template").landmarks) == 3
    encoder = found[0].provenance.encoder
    assert f"({encoder})" in result.stdout
    assert "The weights of VGG19" in result.stdout
    rows = [line for line in result.stdout.splitlines() if "│" in line]
    for title in ("instant", "trained, fused", "with a fine stage"):
        assert any(title in row for row in rows), title
    assert TrainedModel.load(out / "skull" / "training").fine is not None
    last = result.stdout.strip().splitlines()[-1]
    assert last.startswith("Open napari with the same sample: ")
    command, image, marks = shlex.split(last.partition(": ")[2])[-3:]
    assert command.endswith("napari")
    assert Path(image).exists()
    assert Path(marks).exists()

    assert "--overwrite" in refused(2, "demo", "--out", out)
    succeed("demo", "--out", out, "--overwrite", "--no-training")


def test_demo_on_more_skulls_than_the_samples(monkeypatch, tmp_path):
    make_samples(tmp_path / "samples")
    make_samples(tmp_path / "more")
    images = tmp_path / "more" / "skull" / "images"
    (images / "skull_3.png").rename(images / "skull_4.png")
    table = tmp_path / "more" / "skull" / "landmarks.csv"
    table.write_text(table.read_text().replace("skull_3.png", "skull_4.png"))
    description = tmp_path / "more" / "skull" / "dataset.json"
    description.write_text(description.read_text().replace("skull_3.png", "skull_4.png"))
    monkeypatch.setattr(
        "napari_oneshot_lmk.samples.sample_folder", lambda anatomy: tmp_path / "samples" / anatomy
    )
    out = tmp_path / "demo"
    succeed("demo", "--out", out, "--skulls", images.parent, "--no-training")
    found = {landmarks.image for landmarks in read_landmarks(out / "found.csv")}
    assert found == {"skull_2.png", "skull_4.png", "hand_2.png", "hand_3.png"}


def test_few_images_do_not_choose_an_epoch():
    few, enough, laptop = preset_for(ENOUGH_IMAGES - 1), preset_for(ENOUGH_IMAGES), "laptop"
    assert few.training.selection == "last"
    assert enough.training == Preset.load(laptop).training
    for preset in (few, enough):
        assert preset.detection.instant_share > Preset.load(laptop).detection.instant_share


def test_demo_on_the_shipped_skulls(monkeypatch, tmp_path):
    monkeypatch.setattr("napari_oneshot_lmk.cli.demo.PANELS", {"skull": 6})
    succeed("demo", "--out", tmp_path / "demo", "--no-training")
    summary = json.loads((tmp_path / "demo" / "skull" / "summary.json").read_text())
    # The shipped encoder's level on samples that grey patches fail on.
    assert summary["images"] >= 10
    assert summary["native"]["median_mm"] < 2
    assert summary["native"]["sdr_percent"]["4.0"] > 75
    assert summary["scores"]["auc_4mm"] > 0.6
