"""One network a landmark, trained by workers: bit for bit what one process makes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import POINTS, one_sentence, run
from killed_training import model_hash
from learning_scene import SMALL, SPACING_YX, Job, small_task, train

from napari_oneshot_lmk.cluster import train as cluster_training
from napari_oneshot_lmk.cluster.client import Connection, connect
from napari_oneshot_lmk.cluster.train import ClusterStrategy
from napari_oneshot_lmk.encoders.orientation import shipped_encoder
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Event, Finished, Noted
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
def on_cluster(cluster: Connection, monkeypatch: pytest.MonkeyPatch) -> ClusterStrategy:
    @contextmanager
    def same(scheduler: object, workers: object) -> Iterator[Connection]:
        yield cluster

    monkeypatch.setattr(cluster_training, "connect", same)
    return ClusterStrategy(None, 2, device="cpu")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Template, Path]:
    folder = tmp_path_factory.mktemp("task")
    return small_task(folder, "single").template, folder / "images"


@pytest.fixture(scope="module")
def job(template: tuple[Template, Path]) -> Job:
    return Job(
        template[0],
        find_images([template[1]]),
        Path(),
        TrainingConfig(
            method="single",
            preset=Preset.load("laptop").changed(SMALL),
            spacing_mm_yx=SPACING_YX,
        ),
        encoder=shipped_encoder("cpu"),
    )


@pytest.fixture(scope="module")
def whole(job: Job, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the model that one process makes, one network after the other."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert isinstance(list(train(job.but(out=out)))[-1], Finished)
    return model_hash(out)


def test_worker_is_killed_and_the_model_is_the_same(
    job: Job, whole: str, cluster: Connection, on_cluster: ClusterStrategy, tmp_path: Path
) -> None:
    job = job.but(out=tmp_path / "run")
    pids = cluster.client.run(os.getpid)
    events: list[Event] = []
    killed = ""
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


def test_driver_vanishes_and_one_process_goes_on(
    job: Job, whole: str, on_cluster: ClusterStrategy, tmp_path: Path
) -> None:
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


def test_workers_go_on_where_one_process_was_killed(
    job: Job, whole: str, on_cluster: ClusterStrategy, tmp_path: Path
) -> None:
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
    assert any(
        isinstance(e, Noted) and "1 of 3 networks were trained before" in e.text for e in told
    )
    first = next(iter(POINTS))
    assert all(e.model != first for e in told if isinstance(e, EpochEnded))
    assert model_hash(job.out) == whole


def test_stop_keeps_what_there_is(job: Job, on_cluster: ClusterStrategy, tmp_path: Path) -> None:
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


def test_one_network_for_all_is_not_shared_out(job: Job, tmp_path: Path) -> None:
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
