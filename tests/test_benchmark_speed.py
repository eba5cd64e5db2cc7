"""Times as ratios within one run, and peak memory of a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cli_scene import POINTS, make_world, one_sentence, run

from napari_oneshot_lmk.benchmark import speed as speed_module
from napari_oneshot_lmk.benchmark.memory import own_peak_mb, peak_memory_mb
from napari_oneshot_lmk.benchmark.speed import WARM_UP, measure_times
from napari_oneshot_lmk.encoders.orientation import shipped_encoder
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.template import Template


class SlowEncoder:
    """The shipped encoder, slowed down so that it outweighs everything else."""

    def __init__(self, seconds: float) -> None:
        self.encoder = shipped_encoder("cpu")
        self.seconds = seconds
        self.calls = 0

    @property
    def card(self) -> object:
        return self.encoder.card

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def __call__(self, images: torch.Tensor) -> object:
        self.calls += 1
        time.sleep(self.seconds)
        return self.encoder(images)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    world = make_world(tmp_path_factory.mktemp("w") / "w")
    result = run(
        *("template", "--image", world.template_image, "--out", world.template),
        *("--landmarks", world.landmarks, "--spacing", 0.5),
    )
    assert result.exit_code == 0, result.output
    return world


def test_each_part_is_measured(world) -> None:
    encoder = SlowEncoder(0.5)
    rounds = []
    speed = measure_times(
        Template.load(world.template),
        world.images / "one.png",
        encoder,
        repeats=2,
        on_repeat=lambda done, total: rounds.append((done, total)),
    )
    assert encoder.calls == 1 + 3 * (2 + WARM_UP)  # once for the template
    assert rounds[-1] == (2 + WARM_UP, 2 + WARM_UP)
    assert speed.encoder_s > 0.5
    assert speed.detection_s > 0.5
    assert speed.everything_s > 0.5
    assert speed.detection_ratio == speed.detection_s / speed.encoder_s
    assert speed.landmarks == len(POINTS)
    assert speed.file_shape_yx == (120, 100)


def test_command_writes_both_files(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "LARGE_SHAPE_YX", (300, 240))
    out = tmp_path / "speed"
    result = run(
        *("benchmark", "speed", "--template", world.template, "--out", out),
        *("--shipped", "--repeats", 1, "--device", "cpu", "--json"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content == json.loads((out / "speed.json").read_text(encoding="utf-8"))
    assert content["detection_ratio"] > 0
    assert content["file_shape_yx"] == [300, 240]
    assert 100 < content["peak_mb"] < 4000  # PyTorch alone is more than 100
    assert content["encoder"] == shipped_encoder("cpu").card.identity
    assert content["machine"]["versions"]["torch"]
    page = (out / "speed.md").read_text(encoding="utf-8")
    for words in ("detection / encoder", "peak memory", "Command: `", "torch"):
        assert words in page


def test_one_source_is_needed(world, tmp_path: Path) -> None:
    out = tmp_path / "speed"
    for more in ([], ["--template", world.template, "--data", tmp_path]):
        result = run("benchmark", "speed", "--out", out, *more)
        assert result.exit_code == 2
        assert "one of the two" in one_sentence(result)


def test_peak_is_a_peak_of_this_process_alone() -> None:
    # A parent that is larger than its child must not count for the child.
    ballast = bytearray(600_000_000)
    code = (
        "from napari_oneshot_lmk.benchmark.memory import own_peak_mb\n"
        "before = own_peak_mb()\n"
        "block = bytearray(150_000_000)\n"
        "del block\n"
        "print(before, own_peak_mb())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(float, child.stdout.split())
    assert before < 300
    assert 140 < after - before < 170
    assert own_peak_mb() > len(ballast) / 1e6


def test_failure_of_the_child_is_told(tmp_path: Path) -> None:
    with pytest.raises(OneshotError, match="measures memory failed"):
        peak_memory_mb(tmp_path / "no", tmp_path / "no.png", encoder_weights=None, shipped=True)
