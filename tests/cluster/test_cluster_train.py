"""One network a landmark, trained by workers: bit for bit what one process makes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import POINTS, one_sentence, run
from killed_training import model_hash
from learning_scene import SMALL, SPACING_YX, Job, small_task, train

from napari_oneshot_lmk.cluster import train as cluster_training
from napari_oneshot_lmk.cluster.client import Connection, connect
from napari_oneshot_lmk.cluster.train import ClusterStrategy
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Event, Finished, Noted, read_events
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import RunFolder

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes start and are killed: that takes its time on a busy machine.
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name == "nt", reason="processes are killed otherwise there"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Connection]:
    with connect(workers=2) as connection:
        yield replace(connection, threads=1)


@pytest.fixture
def on_cluster(cluster, monkeypatch) -> ClusterStrategy:
    monkeypatch.setattr(cluster_training, "connect", lambda *_: nullcontext(cluster))
    return ClusterStrategy(None, 2, device="cpu")


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    folder = tmp_path_factory.mktemp("task")
    template = small_task(folder, "single").template
    preset = Preset.load("laptop").changed(SMALL)
    config = TrainingConfig(method="single", preset=preset, spacing_mm_yx=SPACING_YX)
    images = find_images([folder / "images"])
    return Job(template, images, Path(), config, encoder=shipped_encoder("cpu"))


@pytest.fixture(scope="module")
def whole(job, one_thread, tmp_path_factory) -> str:
    """Hash of the model that one process makes, one network after the other."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert isinstance(list(train(job.but(out=out)))[-1], Finished)
    return model_hash(out)


def test_worker_is_killed_and_the_model_is_the_same(job, whole, cluster, on_cluster, tmp_path):
    job = job.but(out=tmp_path / "run")
    pids = cluster.client.run(os.getpid)
    events, killed = [], ""
    for event in train(job, strategy=on_cluster):
        events.append(event)
        if isinstance(event, EpochEnded) and not killed:
            killed, pid = pids.popitem()
            os.kill(pid, signal.SIGKILL)
    assert killed
    assert isinstance(events[-1], Finished)
    assert model_hash(job.out) == whole
    lost = [e.text for e in events if isinstance(e, Noted) and "was lost" in e.text]
    assert len(lost) <= 1  # between two networks it had nothing in hand
    trained = {e.model for e in events if isinstance(e, EpochEnded)}
    assert trained == set(POINTS)
    assert not RunFolder(job.out).networks_path.exists()


def test_driver_vanishes_and_one_process_goes_on(job, whole, on_cluster, tmp_path):
    job = job.but(out=tmp_path / "run")
    events = train(job, strategy=on_cluster)
    for event in events:
        if isinstance(event, EpochEnded):
            break
    events.close()
    run_folder = RunFolder(job.out)
    assert run_folder.finished is None
    assert run_folder.networks_path.is_dir()
    assert isinstance(list(train(job))[-1], Finished)
    assert model_hash(job.out) == whole


def test_workers_go_on_where_one_process_was_killed(job, whole, on_cluster, tmp_path):
    job = job.but(out=tmp_path / "run")
    events = train(job)
    ended = 0
    for event in events:
        ended += isinstance(event, EpochEnded)
        if ended == SMALL["training.epochs"] + 1:
            break
    events.close()
    assert [p.name for p in RunFolder(job.out).parts_path.iterdir()] == ["000.safetensors"]
    told = list(train(job, strategy=on_cluster))
    assert Noted("1 of 3 networks were trained before.") in told
    first = next(iter(POINTS))
    assert all(e.model != first for e in told if isinstance(e, EpochEnded))
    assert model_hash(job.out) == whole


@pytest.mark.parametrize("again", ["workers", "one process"])
def test_epochs_that_workers_logged_unread_are_reported_later(
    job, whole, on_cluster, tmp_path, again
):
    job = job.but(out=tmp_path / "run")
    run_folder = RunFolder(job.out)
    events, ended = train(job, strategy=on_cluster), False
    # A network may be there before this process has read how its epochs ended.
    while not (ended and any(run_folder.parts_path.glob("*.safetensors"))):
        ended |= isinstance(next(events), EpochEnded)
    events.close()
    # As if this process had been killed before it read how any epoch ended.
    lines = run_folder.events_path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b"EpochEnded" not in line]
    assert len(kept) < len(lines)
    run_folder.events_path.write_bytes(b"".join(kept))
    list(train(job, strategy=on_cluster if again == "workers" else None))
    logged = read_events(run_folder.events_path)
    ended = [(e.model, e.epoch) for e in logged if isinstance(e, EpochEnded)]
    assert sorted(ended) == [(name, epoch) for name in sorted(POINTS) for epoch in (1, 2)]
    assert model_hash(job.out) == whole


def test_stop_keeps_what_there_is(job, on_cluster, tmp_path):
    job = job.but(out=tmp_path / "run")
    seen: list[Event] = []

    def stop() -> bool:
        return any(isinstance(event, EpochEnded) for event in seen)

    for event in train(job, stop, strategy=on_cluster):
        seen.append(event)
    end = seen[-1]
    assert isinstance(end, Finished)
    assert end.stopped
    assert not RunFolder(job.out).stop_requested


def test_one_network_for_all_is_not_shared_out(job, tmp_path):
    job.template.save(tmp_path / "template")
    folder = job.images[0].path.parent
    out = tmp_path / "run"
    result = run(
        *("train", "--template", tmp_path / "template", "--images", folder),
        *("--method", "fused", "--workers", 2, "--out", out),
    )
    assert result.exit_code == 2
    assert "--method single" in one_sentence(result)
    assert not out.exists()
