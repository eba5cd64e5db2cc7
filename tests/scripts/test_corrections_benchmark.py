"""The developers' benchmark of corrections: the same points as the detector's, faster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.corrections import ALONE, Plan
from benchmarks.feature_files import FeatureFiles
from benchmarks.template_choices import TemplateChoices
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.samples import sample_folder


def test_a_choice_of_templates_finds_what_the_detector_finds(tmp_path):
    folder = sample_folder("skull")
    truth = Dataset.load(folder).truth
    own, one, two, image = (f"skull_0{n}.png" for n in (1, 2, 3, 5))
    read = {name: read_image(folder / "images" / name) for name in (own, one, two, image)}
    templates = [Template.create(read[name], truth[name]) for name in (own, one, two)]
    encoder = FeatureFiles(OrientationEncoder(torch.device("cpu")), tmp_path)
    detector = Detector(templates[0], encoder, further=templates[1:])
    with torch.inference_mode():
        pyramid = encoder(prepare_image(read[image], detector.device))
        tried = TemplateChoices(detector, pyramid, [0, 1])
        for chosen in ([], [1], [0, 1]):
            few = detector.with_further([templates[1 + i] for i in chosen])
            assert np.allclose(tried.instant(chosen), few.points(pyramid)[:, :2], atol=1e-3)
    assert len(list(tmp_path.rglob("*.pt"))) == 4


def test_images_are_left_out_of_their_own_detection():
    names = tuple("abcd")
    plan = Plan(names, ("x", "y"), (("b", "c"), ("d", "a")), (1, 2), parts=2)
    assert plan.choices("c") == {ALONE: (), (0, 2): (1,)}
    assert plan.choices("x") == {ALONE: (), (0, 1): (1,), (0, 2): (1, 2)}
    assert plan.choices("y") == {ALONE: (), (1, 1): (3,), (1, 2): (3, 0)}


def test_images_are_corrected_in_the_order_that_is_proposed():
    dataset = Dataset.load(sample_folder("skull"))

    class Detects:
        """Finds what is there, two thirds of it unsure on one image."""

        template = dataset.template()

        def set_image(self, image):
            self.name = image.name

        def detect(self):
            points = [
                replace(p, source=Source.DETECTED, unsure=self.name == "skull_05.png" and n > 6)
                for n, p in enumerate(dataset.truth[self.name].placed)
            ]
            return Landmarks(tuple(points), self.name)

    names = ("skull_02.png", "skull_05.png", "skull_06.png", "skull_07.png")
    plan = Plan(names, ("x", "y"), (names,), (1, 3), parts=2).proposed(Detects(), dataset)
    [order] = plan.draws
    assert order[0] == "skull_05.png"
    assert len(set(order)) == 3
    assert plan.corrected == tuple(sorted(order))
    assert plan.parts == 1


@pytest.mark.usefixtures("one_thread")
def test_the_command_goes_on_where_it_was(tmp_path, monkeypatch):
    for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    data = tmp_path / "data"
    data.mkdir()
    home = sample_folder("skull")
    (data / "landmarks.csv").write_bytes((home / "landmarks.csv").read_bytes())
    (data / "images").symlink_to(home / "images")
    description = json.loads((home / "dataset.json").read_text())
    description["spacing_mm"] = 0.5
    description["splits"] = {
        "train": [f"skull_0{n}.png" for n in (1, 2, 3, 5)],
        "test": ["skull_06.png", "skull_07.png", "skull_09.png"],
    }
    (data / "dataset.json").write_text(json.dumps(description))
    arguments = ["corrections", "--data", data, "--counts", "1,3", "--draws", 2]
    arguments += ["--cache", tmp_path / "cache", "--device", "cpu", "--out"]

    def measure(out: str) -> dict[str, list[list[str]]]:
        result = CliRunner().invoke(app, [str(each) for each in (*arguments, tmp_path / out)])
        assert result.exit_code == 0, result.output
        content = json.loads((tmp_path / out / "corrections.json").read_text())
        return {k: v for k, v in content.items() if k.startswith("instant")}

    first = measure("one")
    [rows] = first.values()
    assert [row[:2] for row in rows[:3]] == [
        ["0", ""],
        ["1", "offsets"],
        ["1", "further templates"],
    ]
    assert len(rows) == 1 + 3 + 4
    assert rows[-1][:2] == ["3", "recommended"]
    files = {path: path.stat().st_mtime_ns for path in Path(tmp_path / "cache").rglob("*.np?")}
    assert measure("two") == first
    assert all(path.stat().st_mtime_ns == when for path, when in files.items())
