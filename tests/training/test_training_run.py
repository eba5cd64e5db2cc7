"""A run's folder: who may take it up, what it remembers, what a kill leaves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import (
    EventLog,
    Failed,
    Finished,
    Noted,
    Previewed,
    read_events,
    read_some,
)
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import ProcessInfo, RunFolder
from napari_oneshot_lmk.training.run_lifecycle import open_run

END = Finished(model="", epoch=3, stopped=False, seconds=12.5)


@cache
def template() -> Template:
    pixels = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    image = GrayImage(pixels, Geometry((40, 30)), "t.png")
    return Template.create(image, Landmarks.from_positions({"apex": (10, 12), "tip": (25, 8.5)}))


def settings(**changes: object) -> TrainingConfig:
    plain = TrainingConfig(preset=Preset().changed({"training.epochs": 3}))
    return plain.resolved(template(), lambda: False).model_copy(update=changes)


def taken(path: Path, overwrite: bool = False, **changes: object) -> Any:
    return open_run(path, settings(**changes), template(), overwrite=overwrite)


def taken_up(path: Path, overwrite: bool = False, **changes: object) -> RunFolder:
    with taken(path, overwrite, **changes) as run:
        return run


def finish(path: Path, content: str = "first") -> None:
    with taken(path) as run:
        with run.new_model() as folder:
            folder.mkdir()
            (folder / "model.json").write_text(content)
        run.finish(END)


# -- what it remembers ------------------------------------------------------------


def test_new_run(tmp_path):
    with taken(tmp_path / "a" / "run") as run:
        record = run.record()
        assert record["versions"].keys() >= {"napari-oneshot-lmk", "torch", "python"}
        assert record["process"]["pid"] == os.getpid()
        assert run.worker.alive
        assert run.settings == settings()
        assert run.finished is None
        assert Template.load(run.template_path).content_sha256 == template().content_sha256
    assert RunFolder.open(run.path).settings == settings()


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_unfinished_run_of_the_same_settings_goes_on(tmp_path, overwrite):
    changed = Preset.load("laptop").changed({"training.learning_rate": 1 / 3})
    run = taken_up(tmp_path, overwrite, preset=changed, spacing_mm_yx=(0.1, 1 / 3))
    (run.checkpoint_path / "00000001").mkdir(parents=True)
    run = taken_up(tmp_path, overwrite, preset=changed, spacing_mm_yx=(0.1, 1 / 3))
    assert (run.checkpoint_path / "00000001").is_dir()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 4}, "seed is 4, was 0 before"),
        ({"method": "joint"}, "method is joint, was fused before"),
        ({"landmarks": ("tip",)}, "landmarks is tip, was apex, tip before"),
        ({"template_stage": False}, "template stage is off, was on before"),
        ({"template_sha256": "0"}, "the template is another one"),
        ({"spacing_mm_yx": (0.5, 0.1)}, "spacing is 0.5 x 0.1 mm, was as in the files"),
        ({"preset": Preset()}, "training.epochs is 300, was 3 before"),
    ],
)
def test_other_settings_are_named(tmp_path, changes, says):
    run = taken_up(tmp_path)
    (run.checkpoint_path / "00000001").mkdir(parents=True)
    with pytest.raises(UsageError, match=f"{says}.*--overwrite"):
        taken_up(tmp_path, **changes)
    assert run.checkpoint_path.exists()
    taken_up(tmp_path, overwrite=True, **changes)
    assert run.settings == settings(**changes)
    assert not run.checkpoint_path.exists()


# -- the model ---------------------------------------------------------------------


def test_finished_until_begun_anew(tmp_path):
    finish(tmp_path)
    run = taken_up(tmp_path)
    assert run.finished == replace(END, model=str(run.model_path))
    (run.model_path / "network-007.safetensors").touch()
    assert taken_up(tmp_path, overwrite=True).finished is None
    # The previous model stays until the new one has succeeded, and then nothing of it.
    assert (run.model_path / "model.json").read_text() == "first"
    finish(tmp_path, "second")
    assert (run.model_path / "model.json").read_text() == "second"
    assert [path.name for path in run.model_path.iterdir()] == ["model.json"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("killed", ["before", "between", "after"])
def test_kill_during_the_exchange_of_models(tmp_path, killed):
    finish(tmp_path)
    run = taken_up(tmp_path, overwrite=True)
    new, old = run.path / ".model-new", run.path / ".model-old"
    new.mkdir()
    (new / "model.json").write_text("second")
    if killed != "before":
        run.model_path.rename(old)
    if killed == "after":
        new.rename(run.model_path)
    taken_up(tmp_path)
    expected = "second" if killed == "after" else "first"
    assert (run.model_path / "model.json").read_text() == expected
    assert not new.exists()
    assert not old.exists()


def test_failed_model_leaves_the_earlier_one(tmp_path):
    finish(tmp_path)
    with taken(tmp_path, overwrite=True) as run:
        with pytest.raises(ZeroDivisionError), run.new_model() as folder:
            folder.mkdir(int(1 / 0))
        assert (run.model_path / "model.json").read_text() == "first"


# -- strange places ----------------------------------------------------------------


def test_folder_of_somebody_else(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"something else.*photo\.jpg"):
        taken_up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(UsageError, match="not the folder of a training"):
        RunFolder.open(tmp_path)


def test_file_in_the_way(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(OutputError, match="is a file"):
        taken_up(tmp_path / "run")


def test_killed_before_it_was_a_run(tmp_path):
    (tmp_path / "run.lock").touch()
    template().save(tmp_path / "template")
    (tmp_path / "preset.toml").write_text("half")
    assert taken_up(tmp_path).settings == settings()


def test_what_a_window_leaves_before_is_no_hindrance(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.set_preview_images([tmp_path / "ä b.png"])
    run.output_path.touch()
    run.request_stop()
    with taken(run.path):
        assert run.preview_images == [tmp_path / "ä b.png"]
        assert run.stop_requested
    assert not run.stop_requested


def test_damaged_and_newer_records(tmp_path):
    run = taken_up(tmp_path)
    content = run.record()
    for text, says, read in (
        (json.dumps({**content, "schema_version": 99}), "newer version", RunFolder.open),
        (json.dumps({**content, "settings": {}}), "damaged", taken_up),
        ("{", r"no readable run\.json", RunFolder.open),
    ):
        run.run_path.write_text(text)
        with pytest.raises(UsageError, match=says):
            read(tmp_path)


def test_leftovers_of_a_kill_are_removed(tmp_path):
    run = taken_up(tmp_path)
    (run.path / ".0123456789abcdef.json").touch()
    (run.checkpoint_path / ".fedcba9876543210").mkdir(parents=True)
    (run.path / ".mine").touch()
    taken_up(tmp_path)
    hidden = [p.name for p in run.path.rglob("*") if p.name.startswith(".")]
    assert hidden == [".mine"]


def test_old_wish_to_stop_is_not_for_a_new_process(tmp_path):
    run = taken_up(tmp_path)
    run.request_stop()
    past = time.time() - 1e6
    os.utime(run.stop_path, (past, past))
    with taken(tmp_path):
        assert not run.stop_requested


# -- one process at a time -----------------------------------------------------------

HOLDING = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training_run import taken
with taken(Path({run!r})):
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    code = HOLDING.format(tests=str(Path(__file__).parent), run=str(tmp_path / "run"))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "holding\n"
    yield child
    child.kill()
    child.communicate()


def test_one_process_at_a_time(tmp_path, holder):
    worker = RunFolder.open(tmp_path / "run").worker
    assert (worker.pid, worker.alive) == (holder.pid, True)
    with pytest.raises(UsageError, match=f"another process.*{holder.pid}"):
        taken_up(tmp_path / "run", overwrite=True)
    # Where the file system knows no locks, the number of the process says it.
    (tmp_path / "run" / "run.lock").unlink()
    with pytest.raises(UsageError, match=f"another process.*{holder.pid}"):
        taken_up(tmp_path / "run")
    holder.kill()
    holder.wait()
    assert not worker.alive
    assert taken_up(tmp_path / "run").worker == ProcessInfo.of(os.getpid(), 0)


def test_ended_child_that_nobody_waited_for_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = ProcessInfo.of(child.pid, 0)
    assert worker.alive
    # Another process that got the same number later.
    assert not replace(worker, started=worker.started - 60).alive
    assert not replace(worker, host="elsewhere").alive
    child.kill()
    patience = time.monotonic() + 10
    while worker.alive:
        assert time.monotonic() < patience
        time.sleep(0.05)
    child.communicate()


# -- the log ---------------------------------------------------------------------------


def test_log_survives_half_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    events = [Noted("eins — zwei"), Previewed("a.png", {"apex": (1.5, 2.0)}), Failed("end")]
    assert read_events(path) == []
    with closing(EventLog(path)) as log:
        for event in events[:2]:
            log.append(event)
    whole = path.read_bytes()
    path.write_bytes(whole + '{"event": "Noted", "text": "hä'.encode()[:-1])
    assert read_events(path) == events[:2]
    with closing(EventLog(path)) as log:
        log.append(events[2])
    assert path.read_bytes().startswith(whole)
    assert read_events(path) == events
    for line in whole.splitlines():
        assert "T" in json.loads(line)["time"]


def test_log_is_read_in_pieces(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for index in range(2500):
        log.append(Noted(f"{index} {'x' * 50}"))
    log.append(Noted("y" * 200_000))
    path_lines = path.read_text().splitlines()
    with path.open("a") as file:
        file.write('{"event": "of a later version"}\n[1]\nnonsense\n')
    log.append(Noted("last"))
    found, offset = [], 0
    for _ in range(20):
        some, offset = read_some(path, offset, limit=500)
        assert len(some) <= 500
        found += [event.text for _, event in some]
    assert len(found) == len(path_lines) + 1
    assert found[2499].startswith("2499")
    assert found[-1] == "last"
    with path.open("a") as file:
        file.write('{"event": "Noted", "te')
    assert read_some(path, offset, limit=500) == ([], offset)
    log.close()


def test_a_full_disk_is_said(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no such device here")
    with closing(EventLog(Path("/dev/full"))) as log, pytest.raises(OutputError, match="free some"):
        log.append(Noted("a"))


def test_folder_of_the_log_is_gone(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        EventLog(tmp_path / "missing" / "events.jsonl")
