"""The developers' benchmarks on little data: speed of a detection, and very many images."""

import json
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from cli_scene import POINTS, make_world, run
from commands import succeed
from typer.testing import CliRunner, Result

from benchmarks import speed as speed_module
from benchmarks.__main__ import app
from benchmarks.killed_runs import images_once
from benchmarks.speed import WARM_UP, measure_times
from napari_oneshot_lmk.encoders.shipped import shipped_card, shipped_encoder
from napari_oneshot_lmk.landmarks.template import Template

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes start and are killed, which is slow on a busy machine.
    pytest.mark.timeout(900),
]


def measure(*arguments: object) -> Result:
    """Run ``python scripts/benchmarks`` in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def slow_encoder(seconds: float) -> Mock:
    """Return the shipped encoder, slowed down so that it takes most of the time."""
    encoder = shipped_encoder("cpu")

    def encode(images: torch.Tensor) -> object:
        time.sleep(seconds)
        return encoder(images)

    return Mock(side_effect=encode, card=encoder.card, device=encoder.device)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    world = make_world(tmp_path_factory.mktemp("w") / "w")
    result = run(
        *("template", "--image", world.template_image, "--out", world.template),
        *("--landmarks", world.landmarks, "--spacing", 0.5),
    )
    assert result.exit_code == 0, result.output
    return world


def test_each_part_is_measured(world):
    encoder = slow_encoder(0.5)
    rounds = []
    speed = measure_times(
        Template.load(world.template),
        world.images / "one.png",
        encoder,
        repeats=2,
        on_repeat=lambda done, total: rounds.append((done, total)),
    )
    assert encoder.call_count == 1 + 3 * (2 + WARM_UP)  # once for the template
    assert rounds[-1] == (2 + WARM_UP, 2 + WARM_UP)
    assert speed.encoder_s > 0.5
    assert speed.detection_s > 0.5
    assert speed.everything_s > 0.5
    assert speed.detection_ratio == speed.detection_s / speed.encoder_s
    assert speed.landmarks == len(POINTS)
    assert speed.file_shape_yx == (120, 100)


def test_command_writes_both_files(world, tmp_path, monkeypatch):
    monkeypatch.setattr(speed_module, "LARGE_SHAPE_YX", (300, 240))
    out = tmp_path / "speed"
    result = measure(
        *("speed", "--template", world.template, "--out", out),
        *("--shipped", "--repeats", 1, "--device", "cpu", "--json"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content == json.loads((out / "speed.json").read_text(encoding="utf-8"))
    assert content["detection_ratio"] > 0
    assert content["file_shape_yx"] == [300, 240]
    assert 100 < content["peak_mb"] < 4000  # PyTorch alone is more than 100
    assert content["encoder"] == shipped_card().identity
    assert content["machine"]["versions"]["torch"]
    page = (out / "speed.md").read_text(encoding="utf-8")
    for words in ("detection / encoder", "peak memory", "Command: `", "torch"):
        assert words in page


def test_an_image_counts_with_each_landmark_exactly_once(tmp_path):
    table = tmp_path / "found.csv"
    rows = ["image,landmark", "a,x", "a,y", "b,x", "c,x", "c,y", "c,y"]
    table.write_text("\n".join(rows) + "\n")
    assert images_once(table) == 1


def test_whole_benchmark_small(tmp_path):
    result = measure(
        *("many", "--images", 10, "--few", 2, "--kills", 1),
        *("--rounds", 1, "--workers", "0", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "many.json").read_text())
    assert content["many"]["images_once"] == content["many"]["images"] == 10
    assert content["many"]["processes"] == 2
    assert content["few"]["images_once"] == 2
    assert 100 < content["few"]["peak_mb"] < 5000
    assert content["costs"]["moved_px"] < 1e-3
    assert set(content["costs"]["by_landmarks"]) == {"1", "10", "19", "38"}
    page = (tmp_path / "out" / "many.md").read_text()
    assert "| images that stand in the table exactly once | 10 of 10 |" in page
    assert "Command: `" in page


@pytest.mark.parametrize(("folder", "word"), [("benchmarks", "speed"), ("phantoms", "--anatomy")])
def test_the_folder_runs_by_its_name(folder, word):
    path = Path(__file__).resolve().parents[2] / "scripts" / folder
    assert word in succeed(sys.executable, path, "--help")
