"""Landmarks that a training has made worse are left to detection without training."""

from functools import partial

import numpy as np
import pytest
import torch
from bundle_scene import random_model
from learning_scene import SMALL_GRID_YX, Kept, small_task

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.training.checkpoint import KeptNetwork, RunCheckpoints
from napari_oneshot_lmk.training.events import Noted
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.trainer import fit

pytestmark = pytest.mark.usefixtures("one_thread")
on_small_grid = partial(small_task, grid_yx=SMALL_GRID_YX)


def said(events):
    return [e.text for e in events if isinstance(e, Noted) and "left to detection" in e.text]


@pytest.mark.parametrize("method", ["fused", "single"])
def test_the_model_leaves_them_and_the_run_says_so(tmp_path, monkeypatch, method):
    monkeypatch.setattr(PseudoLabels, "made_worse", lambda self, *_: np.array([True, False, True]))
    task, kept = on_small_grid(tmp_path, method, training__epochs=2), Kept()
    first, second, third = task.placed
    [note] = said(fit(task, kept))
    assert f"{first}, {third} worse" in note
    assert kept.model.card.instant == (first, third)
    assert kept.model.landmarks == (first, second, third)


def test_a_training_that_is_resumed_at_its_end_still_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(PseudoLabels, "made_worse", lambda self, *_: np.array([False, True, False]))
    task, kept = on_small_grid(tmp_path, training__epochs=1), Kept()
    events = fit(task, kept)
    next(event for event in events if type(event).__name__ == "EpochEnded")
    events.close()
    assert kept.model is None
    monkeypatch.undo()
    assert len(said(fit(task, kept))) == 1
    assert kept.model.card.instant == (task.placed[1],)


def test_a_preset_may_do_without(tmp_path, monkeypatch):
    monkeypatch.setattr(PseudoLabels, "made_worse", lambda self, *_: np.ones(3, dtype=bool))
    task, kept = on_small_grid(tmp_path, training__epochs=1, training__keep_instant=False), Kept()
    assert not said(fit(task, kept))
    assert kept.model.card.instant == ()


def test_what_is_left_is_seen_as_without_training(tmp_path):
    model = random_model(tmp_path)
    left = model.landmarks[1]
    card = model.card.model_copy(update={"instant": (left,), "sharpness": 0.3})
    TrainedModel(card, model.parts, model.template).save(tmp_path / "model")
    model = TrainedModel.load(tmp_path / "model")
    trained = TrainedDetector.from_model(model)
    instant = Detector(model.template, trained.encoder)
    row = [point.name for point in model.template.landmarks.placed].index(left)
    pyramid = trained.encoder(prepare_image(model.template.image))
    with torch.inference_mode():
        mixed, alone = trained.log_maps(pyramid), instant.log_maps(pyramid)
    same = [bool(torch.equal(a, b)) for a, b in zip(mixed, alone, strict=True)]
    assert [i for i, equal in enumerate(same) if equal] == [row]
    factors = trained._sharpness_of_each
    assert factors[row] == pytest.approx(instant.sharpness)
    assert factors[row - 1] == pytest.approx(0.3)


def test_a_model_of_which_nothing_is_left_detects_as_without_training(tmp_path):
    model = random_model(tmp_path)
    card = model.card.model_copy(update={"instant": model.landmarks})
    trained = TrainedDetector.from_model(TrainedModel(card, model.parts, model.template))
    instant = Detector(model.template, trained.encoder)
    for detector in (trained, instant):
        detector.set_image(model.template.image)
    found, alone = trained.detect(), instant.detect()
    assert [p.position_yx for p in found] == [p.position_yx for p in alone]


def test_a_finished_network_remembers_it(tmp_path):
    run = RunFolder(tmp_path)
    run.part_path(0).parent.mkdir(parents=True, exist_ok=True)
    sink = RunCheckpoints(run)
    state = {"weight": torch.arange(3.0)}
    sink.save_part(0, KeptNetwork(state, 4, ("tip of the \u03b1",)))
    network = sink.load_part(0)
    assert (network.epoch, network.made_worse) == (4, ("tip of the \u03b1",))
    assert torch.equal(network.state["weight"], state["weight"])
