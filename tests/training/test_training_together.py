"""Several processes train one network: as one with all their images, or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
from cli_scene import POINTS
from commands import succeed
from learning_scene import SMALL, scene_template, without_weights

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.sync_batch_norm import BatchNorm, shared_statistics
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.distributed.group import check_group
from napari_oneshot_lmk.training.distributed.torchrun import (
    VARIABLES,
    TorchrunGroup,
    _is_loss,
    group_from_environment,
)
from napari_oneshot_lmk.training.events import EpochEnded, Failed, Finished, read_events
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import RunFolder

# All processes share the cores with whatever else runs.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = dict.fromkeys(VARIABLES, "0") | {"WORLD_SIZE": "2"}


def environment() -> dict[str, str]:
    """This process's, one thread each, and nothing of a torchrun around the tests."""
    kept = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


# -- batch statistics ----------------------------------------------------------


@pytest.fixture
def group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def seeded_norm() -> BatchNorm:
    norm = BatchNorm(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 0.5]))
    return norm


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ([0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0]),
        # Two maps per image, of which the last is a filler that counts nothing.
        ([0, 1, 2, 3, 4, 4], [1.0, 1.0, 0.0]),
        # Two halves are one sample, as the template, which each of two processes holds.
        ([0, 0, 1, 2, 3], [0.5, 0.5, 1.0, 1.0, 1.0]),
    ],
    ids=["all", "filler", "halves"],
)
def test_shared_statistics_are_those_of_torch(group_of_one, rows, counted):
    def normed(rows: list[int], counted: list[float], shared: bool) -> list[torch.Tensor]:
        """Output, gradients and running statistics of one pass."""
        norm, generator = seeded_norm(), torch.Generator().manual_seed(0)
        maps = 3 + 2 * torch.randn(4, 4, 5, 6, dtype=torch.float64, generator=generator)
        maps = torch.cat([maps, torch.full_like(maps[:1], 100.0)]).requires_grad_()
        weights = torch.tensor(counted)
        with shared_statistics(norm, weights) if shared else nullcontext():
            made = norm(maps[rows])
        each = (made * torch.linspace(-1, 2, made[0].numel()).view(made[0].shape)).sin()
        each = each.sum((1, 2, 3)) * weights.repeat_interleave(len(rows) // len(counted))
        each.sum().backward()
        first = torch.stack([made[rows.index(row)] for row in range(4)])
        return [first, maps.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()]

    plain = normed([0, 1, 2, 3], [1.0] * 4, shared=False)
    for one, other in zip(plain, normed(rows, counted, shared=True), strict=True):
        torch.testing.assert_close(one, other)


# -- who is there --------------------------------------------------------------


def test_without_torchrun_there_is_one_process():
    world = group_from_environment({"RANK": "1", "WORLD_SIZE": "4"})
    assert (world.rank, world.size, world.is_distributed) == (0, 1, False)
    assert world.device("cuda:3") == "cuda:3"
    assert world.gather(5) == [5]
    assert list(world.gather_in_order(3, iter("abc"))) == list("abc")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8])
def test_parts_and_turns_are_whole(count):
    worlds = [TorchrunGroup(rank, 3) for rank in range(3)]
    items = list(range(count))
    assert [i for world in worlds for i in items[world.portion(count)]] == items
    assert sorted(i for world in worlds for i in world.shard(items)) == items


def test_a_gpu_for_each_process_or_a_sentence(monkeypatch):
    world = TorchrunGroup(3, 4, local_rank=1, local_size=2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert world.device("auto") == "cuda:1"
    assert world.device("cpu") == "cpu"
    with pytest.raises(UsageError, match="process N of a computer gets GPU N"):
        world.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"2 processes on .*, but 1 GPU; give torchrun"):
        world.device("auto")


def test_damaged_environment():
    with pytest.raises(UsageError, match="environment variables are damaged"):
        group_from_environment(TORCHRUN | {"RANK": "first"})


# -- real processes that know one another ----------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if sys.platform == "win32":
        pytest.skip("the script forks")
    folder = tmp_path_factory.mktemp("together")
    succeed(sys.executable, ROOT / "tests" / "trained_together.py", folder, env=environment())
    return dict(json.loads((folder / "result.json").read_text()))


@pytest.mark.parametrize("name", ["template", "patches", "own norms", "joint", "student"])
def test_two_learn_as_one_with_twice_the_batch(played, name):
    (one,), (leader, other) = played[name]["1"], played[name]["2"]
    assert len(one["steps"]) == len(leader["steps"]) >= 2
    assert leader["steps"] == pytest.approx(one["steps"], rel=1e-4)
    for alone, together in zip(one["epochs"], leader["epochs"], strict=True):
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert together["agreement"] == pytest.approx(alone["agreement"], rel=1e-3)
    # All hold the same network and saw the same losses.
    assert leader["model"] == other["model"]
    assert leader["steps"] == other["steps"]


def test_a_killed_process_ends_the_run_and_it_goes_on(played):
    killed = played["lost"]["killed"]
    assert killed["code"] == 1
    assert killed["seconds"] < 30
    assert "has ended, was killed or does not answer; give the same" in killed["says"]
    assert killed["model"] == played["lost"]["whole"]


def test_a_silent_process_ends_the_run_and_one_alone_goes_on(played):
    held = played["lost"]["held"]
    assert held["code"] == 1
    assert held["seconds"] < 60
    assert "does not answer" in held["says"]
    assert held["alone"] == [0]
    assert held["model"]
    (note,) = [note for note in held["notes"] if note.startswith("Begun with")]
    assert "a step of 2 images (2 x 1), goes on with 1 (1 x 1); epoch 2" in note


def test_why_another_process_failed_is_in_the_log(played):
    failing = played["failing"]
    assert failing["codes"] == [1, 1]
    assert "another process could not go on (process 1 on " in failing["says"]
    assert "not enough memory for a step; use a preset with" in failing["says"]


def test_asked_to_stop_all_end_with_the_best_model(played):
    assert played["stopped"]["codes"] == [0, 0]
    assert played["stopped"]["end"]["stopped"]
    assert Path(played["stopped"]["end"]["model"]).is_absolute()


def test_processes_with_other_settings_are_refused(played):
    leader, other = played["differing"]["says"]
    assert leader.startswith("UsageError: process 1 was started with other settings")
    assert "seed is 1, was 0;" in leader
    assert other.startswith("LostProcessError")
    assert not played["differing"]["begun"]


# -- torchrun itself -----------------------------------------------------------


def torchrun(folder: Path) -> subprocess.Popen[str]:
    """Start the real thing; one thread, no weights, no network."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "napari_oneshot_lmk", "train", "--device", "cpu"]
    files = {"template": "template", "images": "images", "preset": "preset.toml", "out": "run"}
    options = [text for name, file in files.items() for text in (f"--{name}", str(folder / file))]
    whole = [sys.executable, *launcher, *command, *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(whole, text=True, env=environment() | without_weights(folder), **pipes)


def ended_epochs(run: Path) -> list[int]:
    path = RunFolder(run).events_path
    events = read_events(path) if path.exists() else []
    return [event.epoch for event in events if isinstance(event, EpochEnded)]


@pytest.mark.skipif(sys.platform == "win32", reason="torch has no torchrun store there")
def test_torchrun_killed_and_gone_on_with(tmp_path):
    scene_template(tmp_path).save(tmp_path / "template")
    preset = Preset.load("laptop").changed({**SMALL, "training.batch": 1})
    (tmp_path / "preset.toml").write_text(preset.to_toml())
    run = tmp_path / "run"
    launcher = torchrun(tmp_path)
    begun = time.monotonic()
    while not ended_epochs(run):
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() - begun < 300
        time.sleep(0.02)
    children = psutil.Process(launcher.pid).children()
    (second,) = [child for child in children if child.environ().get("RANK") == "1"]
    os.kill(second.pid, signal.SIGKILL)
    out, err = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert out == ""
    assert err.count("another process of this training has ended, was killed") == 1, err
    assert isinstance(read_events(run / "events.jsonl")[-1], Failed)
    # The same command again.
    launcher = torchrun(tmp_path)
    out, err = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, err
    # Only the main process reports.
    assert out.count("3 landmarks, epoch") == 1
    assert err.count("2 processes train together: a step has 2 x 1 images") == 1
    assert isinstance(read_events(run / "events.jsonl")[-1], Finished)
    assert ended_epochs(run) == [1, 2]
    assert TrainedModel.load(run).landmarks == tuple(POINTS)


def test_single_is_refused_under_torchrun():
    world = group_from_environment(TORCHRUN)
    settings = TrainingConfig(method="single", preset=Preset())
    with pytest.raises(UsageError, match="train one network together, but the method"):
        check_group(world, settings)


def test_a_timeout_of_gloo_is_a_lost_process():
    assert _is_loss(RuntimeError("Application timeout caused pair closure"))
    assert _is_loss(dist.DistBackendError("NCCL error"))
    assert not _is_loss(RuntimeError("shapes do not fit"))
