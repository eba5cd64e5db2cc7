"""Trainings in processes of their own: followed, stopped, killed and gone on with."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import succeed
from learning_scene import SMALL, scene_template, without_weights

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.training import events
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.subprocess import TrainingProcess

HERE = Path(__file__).parent.parent
PATIENCE_S = 60.0
QUICK = """
import plain_loop
plain_loop.install(pause_s=0.05)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images, template and preset; children of this process have the quick loop."""
    scene_template(tmp_path).save(tmp_path / "template")
    preset = Preset.load("laptop").changed({"training.epochs": 20})
    (tmp_path / "preset.toml").write_text(preset.to_toml())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(QUICK)
    paths = [str(tmp_path / "site"), str(HERE), str(HERE.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    for name, value in without_weights(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        *("--template", str(folder / "template"), "--images", str(folder / "images")),
        *("--preset", str(folder / "preset.toml"), "--device", "cpu"),
        *("--out", str(folder / "run"), *more),
    ]


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., TrainingProcess]]:
    begun: list[TrainingProcess] = []

    def started(*more: str) -> TrainingProcess:
        begun.append(TrainingProcess.start(arguments(folder, *more), folder / "run"))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        wait(lambda process=process: not process.alive)


def wait(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE_S, "nothing happened"
        time.sleep(0.02)
    return time.monotonic() - began


def never(event: events.Event) -> bool:
    return False


def followed(process: TrainingProcess, enough: Callable[..., bool] = never) -> list[Any]:
    """Poll until an event, or the end."""
    seen: list[Any] = []

    def ended() -> bool:
        alive, new = process.alive, process.poll()
        seen.extend(new)
        return any(map(enough, new)) or not (alive or new)

    wait(ended)
    return seen


def stepped(event: events.Event) -> bool:
    return isinstance(event, events.Stepped) and event.epoch == 3


def finished(event: events.Event) -> bool:
    return isinstance(event, events.Finished)


def test_followed_stopped_and_found_again(folder, start):
    assert TrainingProcess.find(folder / "run") is None
    process = start()
    assert (process.alive, process.exit_code) == (True, None)
    assert any(map(stepped, followed(process, stepped)))

    # A window that opens now finds it, and hears the whole story.
    found = TrainingProcess.find(folder / "run")
    assert found.alive
    assert any(map(stepped, followed(found, stepped)))
    found.stop()
    began = time.monotonic()
    end = followed(found, finished)[-1]
    assert isinstance(end, events.Finished)
    assert end.stopped
    assert time.monotonic() - began < 2
    wait(lambda: not process.alive)
    assert not found.alive
    assert (process.exit_code, found.exit_code) == (0, None)
    assert (folder / "run" / "model").is_dir()
    assert TrainingProcess.find(folder / "run").poll()  # still there to be read


def test_killed_and_gone_on_with(folder, start):
    process = start()
    followed(process, stepped)
    found = TrainingProcess.find(folder / "run")
    found.kill()
    assert wait(lambda: not process.alive) < 2
    seen = followed(found)
    assert not any(isinstance(event, events.Finished | events.Failed) for event in seen)
    assert not found.alive

    process = start()
    process.stop()  # before it has begun: its own wish, not the killed one's
    seen = followed(process)
    assert process.exit_code == 1
    assert isinstance(seen[-1], events.Failed)
    assert "trained before is kept" in seen[-1].sentence

    process = start()
    seen = followed(process, finished)
    # The end of the attempt before is not the end of this one.
    assert [event for event in seen if isinstance(event, events.Failed)] == []
    assert isinstance(seen[-1], events.Finished)
    wait(lambda: not process.alive)
    assert process.exit_code == 0
    epochs = [event.epoch for event in seen if isinstance(event, events.EpochEnded)]
    assert epochs == list(range(1, 21))


@pytest.mark.usefixtures("quick_children")
def test_wrong_use_is_in_the_report(folder, start):
    process = start("--method", "alone")
    assert followed(process) == []
    assert process.exit_code == 2
    for said in ("there is no method 'alone'", "torch", "exit code 2"):
        assert said in process.report()
    assert TrainingProcess.find(folder / "run") is None


@pytest.mark.usefixtures("quick_children")
def test_failure_is_told_before_the_end(folder, start):
    for path in (folder / "images").iterdir():
        path.write_bytes(b"")
    process = start()
    (end,) = [e for e in followed(process) if isinstance(e, events.Failed)]
    assert "no image to train on" in end.sentence
    assert process.exit_code == 2
    process.kill()  # nothing there any more: nothing happens


def test_place_that_cannot_be(folder):
    with pytest.raises(OutputError, match="cannot be started"):
        TrainingProcess.start([], folder / "preset.toml" / "run")


def test_a_damaged_run_is_no_training(tmp_path):
    for content in ("{", '{"schema_version": 1}'):
        RunFolder(tmp_path).run_path.write_text(content)
        assert TrainingProcess.find(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_random_points_it_ends_as_if_it_had_not(folder):
    changes = {**SMALL, "training.epochs": 3, "template_copies.count": 2}
    (folder / "preset.toml").write_text(Preset.load("laptop").changed(changes).to_toml())
    # The loop itself, not the quick one.
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    said = succeed(sys.executable, HERE / "killed_training.py", folder, 6, env=environment)
    lines = [line.split() for line in said.splitlines()]
    killed_after = [line[2] for line in lines if line[0] == "killed"]
    assert len(killed_after) >= 6
    # Not all of them before there was anything to lose.
    assert {"Stepped", "EpochEnded"} & set(killed_after)
    assert {line[2] for line in lines if line[0] == "run"} == {lines[0][1]}
    for run in folder.glob("run*"):
        told = events.read_events(run / "events.jsonl")
        assert [e.epoch for e in told if isinstance(e, events.EpochEnded)] == [1, 2, 3]
