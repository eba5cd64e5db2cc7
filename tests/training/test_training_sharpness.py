"""The sharpness of a trained model's maps is that with which they spread as instant ones do."""

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from bundle_scene import random_model
from learning_scene import small_task

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.training import sharpness
from napari_oneshot_lmk.training.events import Preparing
from napari_oneshot_lmk.training.sharpness import measure_sharpness


def with_sharpness(model, task, stopped=False, events=None):
    instant = Detector(task.template, task.encoder)
    measuring = measure_sharpness(model, task, instant, stopped=stopped)
    while True:
        try:
            event = next(measuring)
        except StopIteration as end:
            return end.value
        assert not torch.is_inference_mode_enabled()
        if events is not None:
            events.append(event)


class Sharper(TrainedDetector):
    """Sees what instant detection sees, three times as sharp."""

    def _maps(self, pyramid, decided=None):
        maps, alike, _ = super(TrainedDetector, self)._maps(pyramid)
        return 3 * maps, 3 * alike, None


def task_and_model(folder):
    (folder / "other").mkdir()
    task = small_task(folder)
    return task, replace(random_model(folder / "other"), template=task.template)


def test_maps_that_are_three_times_as_sharp_get_a_third(tmp_path, monkeypatch):
    task, model = task_and_model(tmp_path)
    monkeypatch.setattr(sharpness, "TrainedDetector", Sharper)
    # The shape is no part of what is made sharper: look where it weighs little.
    found = with_sharpness(model, task).card.sharpness
    instant = Detector(task.template, task.encoder).sharpness
    assert found == pytest.approx(instant / 3, rel=0.35)


def test_landmarks_that_are_left_to_instant_detection_do_not_count(tmp_path, monkeypatch):
    task, model = task_and_model(tmp_path)
    _, *left = model.landmarks

    class PartlySharper(TrainedDetector):
        def _maps(self, pyramid, decided=None):
            maps, alike, _ = super(TrainedDetector, self)._maps(pyramid)
            factors = torch.ones(len(maps), 1, 1)
            factors[self.trained_rows] = 3
            return factors * maps, factors * alike, None

    monkeypatch.setattr(sharpness, "TrainedDetector", PartlySharper)
    instant = Detector(task.template, task.encoder).sharpness
    card = model.card.model_copy(update={"instant": tuple(left)})
    assert with_sharpness(replace(model, card=card), task).card.sharpness == pytest.approx(
        instant / 3, rel=0.35
    )
    # Nothing is measured of a model whose networks are not used.
    card = model.card.model_copy(update={"instant": model.landmarks})
    events = []
    assert with_sharpness(replace(model, card=card), task, events=events).card.sharpness is None
    assert not events


def test_a_model_keeps_its_sharpness_and_detects_with_it(tmp_path):
    task, model = task_and_model(tmp_path)
    events = []
    measured = with_sharpness(model, task, events=events)
    assert measured.card.sharpness > 0
    count = len(task.images)
    assert events == [Preparing("certainty", done, count) for done in range(1, count + 1)]
    detector = TrainedDetector(measured, measured.template, task.encoder)
    assert detector.sharpness == measured.card.sharpness
    assert torch.isfinite(torch.tensor(detector.sharpness))


def test_who_has_stopped_waits_for_few_images(tmp_path, monkeypatch):
    task, model = task_and_model(tmp_path)
    monkeypatch.setattr(sharpness, "IMAGES_IF_STOPPED", 1)
    seen = Mock(wraps=task.encoder, card=task.encoder.card, device=task.encoder.device)
    counted = replace(task, encoder=seen)
    counts = []
    for stopped in (False, True):
        seen.reset_mock()
        assert with_sharpness(model, counted, stopped=stopped).card.sharpness > 0
        counts.append(seen.call_count)
    # Both encode the template twice, for the model and for instant detection.
    assert counts[0] - counts[1] == len(task.images) - 1


def test_without_an_image_that_can_be_read_nothing_is_said(tmp_path):
    task, model = task_and_model(tmp_path)
    for image in task.images.usable:
        image.path.unlink()
    assert with_sharpness(model, task).card.sharpness is None
