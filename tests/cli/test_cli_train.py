"""``oneshot-lmk train`` and ``detect --model`` through the real command line."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType

import numpy as np
import plain_loop
import pytest
import torch
from cli_scene import (
    POINTS,
    SHIFTS,
    SPACING_MM,
    Ended,
    World,
    make_world,
    preset_text,
    python,
    refused,
    run,
    save_image,
    scene,
    succeed,
    view,
)
from rich.console import Console
from weights_scene import isolate

from napari_oneshot_lmk.cli import console
from napari_oneshot_lmk.cli import train as command
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.training.events import (
    Failed,
    Finished,
    Noted,
    Preparing,
    Previewed,
    Stepped,
    read_events,
)
from napari_oneshot_lmk.training.run_folder import RunFolder


def with_template(folder: Path) -> World:
    made = make_world(folder, template=True)
    (made.folder / "preset.toml").write_text(preset_text())
    return made


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def quick_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, plain_loop.LOOP, ModuleType(plain_loop.LOOP))
    plain_loop.install()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return with_template(tmp_path / "w")


def call(world: World, *more: object) -> list[object]:
    return [
        "train",
        *("--template", world.template, "--images", world.images, "--device", "cpu"),
        *("--preset", world.folder / "preset.toml", "--out", world.folder / "run"),
        *more,
    ]


def test_trained(world):
    result = succeed(*call(world, "--spacing", SPACING_MM))
    first, second = result.stdout.splitlines()
    place = world.folder / "run"
    assert first.startswith(f"{place / 'model'}: 3 landmarks, epoch 3 kept")
    assert f"oneshot-lmk detect --model {place}" in second
    assert "Epoch 3 of 3: loss template" in result.stderr
    assert "no network" not in result.stdout
    settings = RunFolder.open(place).settings
    assert settings.spacing_mm_yx == (SPACING_MM, SPACING_MM)
    assert settings.preset.network.width == 0.05


def test_again_is_told_and_begun_anew_when_asked(world):
    run(*call(world))
    assert "has finished already; --overwrite" in succeed(*call(world)).stdout
    assert "seed is 3, was 0 before" in refused(2, *call(world, "--seed", 3))
    anew = succeed(*call(world, "--seed", 3, "--overwrite"))
    assert "has finished already" not in anew.stdout


def test_options_reach_the_run(world):
    succeed(
        *call(world, "--method", "single", "--landmark", "tip", "--landmark", "apex"),
        *("--no-template-stage", "--adapter-channels", 0, "--seed", 5),
        *("--initial-labels", "instant", "--preview", world.images / "one.png"),
    )
    settings = RunFolder.open(world.folder / "run").settings
    assert (settings.method, settings.landmarks) == ("single", ("apex", "tip"))
    assert (settings.template_stage, settings.seed) == (False, 5)
    assert settings.preset.network.adapter_channels == 0
    assert settings.preset.labels.initial == "instant"
    events = read_events(world.folder / "run" / "events.jsonl")
    seen = [event.image for event in events if isinstance(event, Previewed)]
    assert seen == [str(world.images / "one.png")] * 3


def test_json_goes_alone_to_stdout(world):
    (world.images / "broken.png").write_bytes(b"")
    content = json.loads(run(*call(world, "--json")).stdout)
    assert (content["finished"]["epoch"], content["failed"]) == (3, None)
    assert [epoch["epoch"] for epoch in content["epochs"]] == [1, 2, 3]
    assert content["landmarks"] == list(POINTS)
    assert any("broken.png" in note for note in content["notes"])


def test_warnings_are_told(world):
    save_image(world.images / "copy.png", view(scene(), (0, 0)))
    assert "copy.png shows the template" in succeed(*call(world)).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "alone"], "there is no method 'alone'"),
        (["--landmark", "elbow"], "does not place elbow"),
        (["--preset", "huge"], "huge: is neither a preset nor"),
        (["--initial-labels", "perfect"], "labels.initial"),
        (["--adapter-channels", "-1"], "network.adapter_channels"),
        (["--spacing", "0"], "spacing 0 x 0 mm"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_use(world, arguments, says):
    assert says in refused(2, *call(world, *arguments))
    assert not (world.folder / "run" / "model").exists()


def test_images_that_are_not_there(world):
    assert "no such file" in refused(1, *call(world, "--images", "nowhere.png"))


def test_folder_of_something_else(world):
    said = refused(2, *call(world, "--out", world.images))
    assert "something else than a training" in said


def test_changed_image(world, monkeypatch):
    module = sys.modules[plain_loop.LOOP]

    def breaking(*given: object) -> Iterator[object]:
        yield from ()
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "fit", breaking)
        result = run(*call(world))
    assert result.exit_code == 1
    save_image(world.images / "two.png", view(scene(seed=4), (0, 0)))
    result = run(*call(world))
    assert result.exit_code == 1
    assert "changed since the training began: two.png" in result.stderr


def test_preset_goes_by_the_device(monkeypatch):
    from napari_oneshot_lmk.encoders import device

    for kind in ("cuda", "cpu"):
        monkeypatch.setattr(device, "resolve_device", lambda name, kind=kind: torch.device(kind))
        assert command._is_gpu("auto") is (kind == "cuda")


@pytest.mark.parametrize(
    ("event", "shows"),
    [
        (Preparing("files", 2, 4), r"Reading images 2/4 .* 50 %"),
        (Stepped("", 2, 4, 1, 2, 1.23456), r"Epoch 2 of 4, loss 1\.235 .* 38 %"),
        (Stepped("tip", 1, 2, 2, 2, 1.0, 3700.0), r"tip, epoch 1 .* 75 % .*1:01:40 left"),
        (Noted("[a] note"), r"\[a\] note\n"),
    ],
)
def test_bar_on_a_terminal(monkeypatch, event, shows):
    screen = StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(console, "messages", terminal)
    models = ("apex", "tip") if isinstance(event, Stepped) and event.model else ("",)
    with console.training_bar(models) as (show, fetch):
        fetch(10, 20)
        show(event)
    last = screen.getvalue().rsplit("\r", 1)[-1]
    assert re.search(shows, screen.getvalue() if isinstance(event, Noted) else last)


# -- Ctrl-C -----------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys
# A shell that runs the tests in the background makes its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
import plain_loop
from napari_oneshot_lmk.training import train
times = int(sys.argv.pop(1))
plain_loop.install(0.01)
whole = train.train
def interrupting(*given, **options):
    for event in whole(*given, **options):
        yield event
        if type(event).__name__ == "Stepped" and event.epoch == 2 and event.step == 2:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
train.train = interrupting
from napari_oneshot_lmk.cli.app import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c(world):
    def interrupted(times: int) -> Ended:
        tests = str(Path(__file__).parents[1])
        command = ("-c", INTERRUPTED, times, *call(world))
        return python(*command, PYTHONPATH=tests, OMP_NUM_THREADS="1")

    log = world.folder / "run" / "events.jsonl"
    twice = interrupted(2)
    assert twice.returncode == 130, twice.stderr
    assert "Traceback" not in twice.stderr
    assert "the same command goes on" in twice.stderr
    assert not (world.folder / "run" / "model").exists()
    assert not any(isinstance(e, Finished | Failed) for e in read_events(log))

    once = interrupted(1)
    assert once.returncode == 130, once.stderr
    assert "Stopping, the best model is kept" in once.stderr
    assert "stopped early, epoch 1 kept" in once.stdout
    events = read_events(log)
    assert isinstance(events[-1], Finished)
    steps = [(e.epoch, e.step) for e in events if isinstance(e, Stepped)]
    # The epoch that was quit at once was begun again, and ended after its step.
    assert steps[-4:] == [(2, 1), (2, 2), (2, 1), (2, 2)]


def test_control_c_before_there_is_anything(world, monkeypatch):
    def early(*given: object, **options: object) -> Iterator[object]:
        signal.raise_signal(signal.SIGINT)
        yield from ()

    monkeypatch.setattr("napari_oneshot_lmk.training.train.train", early)
    before = signal.getsignal(signal.SIGINT)
    result = run(*call(world))
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert signal.getsignal(signal.SIGINT) is before


# -- detect --model -------------------------------------------------------------------


def detect(world: World, *more: object) -> list[object]:
    return ["detect", "--out", world.folder / "found.csv", world.images / "one.png", *more]


def is_found(world: World) -> Landmarks:
    """The landmarks in the table, which lie where the image shows them."""
    (found,) = read_landmarks(world.folder / "found.csv")
    assert found.names == tuple(POINTS)
    off = found.positions_yx - np.add(list(POINTS.values()), SHIFTS["one.png"])
    assert np.hypot(*off.T).max() < 4
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run of the loop itself."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("trained")
        isolate(patch, folder)
        world = with_template(folder / "w")
        result = succeed(*call(world, "--spacing", SPACING_MM))
        assert "3 landmarks, epoch" in result.stdout
    return world


def test_detect_with_a_model(trained):
    assert (trained.folder / "run" / "model" / "network-000.safetensors").exists()
    result = succeed(*detect(trained, "--model", trained.folder / "run", "--overwrite"))
    assert "3 landmarks on 1 image" in result.stdout
    assert "fused model" in result.stdout
    assert is_found(trained).provenance.method == "fused"


def test_detect_with_a_model_and_a_new_annotation(trained):
    other = trained.folder / "other"
    succeed(
        *("template", "--image", trained.images / "two.png", "--landmarks", trained.truth),
        *("--out", other, "--name", "of another"),
    )
    model = trained.folder / "run" / "model"
    given = ("--model", model, "--template", other, "--json", "--overwrite")
    assert json.loads(succeed(*detect(trained, *given)).stdout)["method"] == "fused"
    assert is_found(trained).provenance.template == "of another"


def test_detect_without_either(world):
    assert "--template or --model" in refused(2, *detect(world))


def test_detect_with_what_is_no_model(world):
    assert "holds no trained model" in refused(1, *detect(world, "--model", world.images))
    run_folder = world.folder / "run"
    run_folder.mkdir()
    (run_folder / "run.json").write_text("{}")
    assert "has not finished" in refused(1, *detect(world, "--model", run_folder))
