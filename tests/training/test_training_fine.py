"""The fine stage: learns where the coarse points are wrong, is resumed, is part of a model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_scene import POINTS, SHIFTS
from learning_scene import Job, small_task, train

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.errors import ModelError, UsageError
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.training import fine as fine_training
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Failed, Finished, Stepped
from napari_oneshot_lmk.training.fine import NAME, TrainedStage, train_fine
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.task import TrainingTask

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "fine__pixel": 0.02,
    "fine__side": 32,
    "fine__width": 8,
    "fine__batch": 12,
    "fine__jitter_px": 4,
    "fine__learning_rate": 1e-2,
    "fine__epochs": 12,
    "fine__epoch_steps": 3,
    "fine__renewals": 1,
    "fine__coarse_sd_px": 0.0,
    "fine__looks": 2,
}


def result_of(training: Generator[Any, None, TrainedStage | None]) -> tuple[list[Any], Any]:
    events = []
    while True:
        try:
            events.append(next(training))
        except StopIteration as end:
            return events, end.value


class Misplaced(Detector):
    """Finds every landmark a few pixels beside its place, elsewhere on each image."""

    def match(self, pyramid: Any, decided: Any = None) -> torch.Tensor:
        found = super().match(pyramid, decided)
        seed = int(found[:, :2].abs().sum() * 1000)
        found[:, :2] += torch.from_numpy(np.random.default_rng(seed).normal(0, 6, (len(found), 2)))
        return found


def errors_px(task: TrainingTask, detector: Detector) -> np.ndarray:
    found = []
    for image in task.images.usable:
        detector.set_image(task.images.read(image))
        points = detector.detect()
        for name, yx in POINTS.items():
            off = np.subtract(points[name].position_yx, np.add(yx, SHIFTS[image.name]))
            found.append(np.hypot(*off))
    return np.array(found)


def test_it_finds_points_that_the_coarse_stage_misses(tmp_path):
    task = small_task(tmp_path, **SMALL, fine__share=1.0, fine__template_share=0.7)
    detector = Misplaced(task.template, task.encoder, upright=True)
    before = errors_px(task, detector)
    events, trained = result_of(train_fine(detector, task.images, task.preset, seed=1))
    ended = [event for event in events if isinstance(event, EpochEnded)]
    assert [event.epoch for event in ended] == list(range(1, 25))
    assert {event.model for event in ended} == {NAME}
    # Labels are found anew after the first round alone.
    assert [event.epoch for event in ended if event.shift] == [12]
    detector.fine = trained.stage
    after = errors_px(task, detector)
    assert after.mean() < 0.5 * before.mean()


def test_a_training_that_was_killed_goes_on_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    task = small_task(tmp_path, **{**SMALL, "fine__epoch_steps": 2, "fine__epochs": 1})
    detector = Detector(task.template, task.encoder)

    def begin(folder: Path) -> Generator[Any, None, TrainedStage | None]:
        return train_fine(detector, task.images, task.preset, 3, folder)

    _, whole = result_of(begin(tmp_path / "whole"))
    for stop_after in (1, 2, 3):
        training = begin(tmp_path / "killed")
        steps = count(1)
        for event in training:
            if isinstance(event, Stepped) and next(steps) == stop_after:
                break
        training.close()
    _, resumed = result_of(begin(tmp_path / "killed"))
    for name, value in whole.stage.state_dict().items():
        assert torch.equal(value, resumed.stage.state_dict()[name]), name


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    folder = tmp_path_factory.mktemp("fine")
    task = small_task(folder, **{**SMALL, "fine__epochs": 2}, training__epochs=1)
    files = find_images([folder / "images"])
    return Job(task.template, files, folder / "run", task.config, task.encoder)


def test_a_run_that_has_finished_gets_its_fine_stage(job):
    *_, coarse = train(job)
    before = TrainedModel.load(job.out)
    assert before.fine is None
    with_fine = job.but(fine=True)
    stopping = iter(range(100))
    *_, stopped = train(with_fine, should_stop=lambda: next(stopping) > 6)
    assert (stopped.stopped, TrainedModel.load(job.out).fine) == (True, None)
    *_, end = train(with_fine)
    assert isinstance(end, Finished)
    assert (end.stopped, end.epoch) == (False, coarse.epoch)
    model = TrainedModel.load(job.out)
    assert model.fine is not None
    assert model.content_sha256 != before.content_sha256
    assert replace(model, fine=None).content_sha256 == before.content_sha256
    assert not RunFolder(job.out).fine_path.exists()
    # The same command does nothing; without the fine stage it is another training.
    assert list(train(with_fine)) == [end]
    with pytest.raises(UsageError, match="fine is off, was on before"):
        list(train(job))


def test_a_fine_stage_follows_detection_without_training(job, tmp_path):
    alone = job.but(method="instant", fine=True, landmarks=("apex", "tip"), out=tmp_path / "run")
    *_, stopped = train(alone, should_stop=lambda: True)
    assert isinstance(stopped, Failed)
    *_, end = train(alone)
    assert isinstance(end, Finished)
    model = TrainedModel.load(alone.out)
    assert (model.parts, model.landmarks) == ((), ("apex", "tip"))
    detector = TrainedDetector.from_model(model, encoder=job.encoder)
    instant = Detector(job.template, job.encoder)
    points = {}
    for each in (detector, instant):
        each.set_image(job.template.image)
        points[each] = np.array([p.position_yx for p in each.detect().placed])
    moved = np.abs(points[detector] - points[instant]).max(1) > 1e-6
    assert moved.tolist() == [True, False, True]
    with pytest.raises(UsageError, match="trains nothing without a fine stage"):
        TrainingConfig(method="instant")


def test_a_damaged_fine_stage_is_refused(job, tmp_path):
    *_, _ = train(job.but(fine=True))
    model = TrainedModel.load(job.out)
    model.save(tmp_path / "model")
    (tmp_path / "model" / "fine.safetensors").unlink()
    with pytest.raises(ModelError, match=r"fine.safetensors is missing"):
        TrainedModel.load(tmp_path / "model")
