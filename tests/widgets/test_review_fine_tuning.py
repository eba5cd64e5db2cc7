"""A project in the dock: a model is fine-tuned on its corrected images, and taken back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from clinic_scene import detect, project_clinic, show
from qtpy.QtCore import Qt
from widget_scene import press_key

from napari_oneshot_lmk.review.fine_tune import TuningStep
from napari_oneshot_lmk.review.learnt import Way
from napari_oneshot_lmk.widgets.train.models import KnownModel

SHIFT = Qt.KeyboardModifier.ShiftModifier
KEY = Qt.Key


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot, tmp_path):
    """A window with a project of four images on which nothing was detected."""
    clinic = project_clinic(make_napari_viewer_proxy(show=True), qtbot, tmp_path, images=4)
    yield clinic
    clinic.project.close_project()


class Tuning:
    """Fine-tuning that trains nothing."""

    def __init__(self, project, detector, config, should_stop):
        self.project, self.should_stop = project, should_stop

    def try_folds(self, trial):
        for done in range(1, 1000):
            yield TuningStep(1, 2, done, 1000, 100.0)
            time.sleep(0.02)
            if self.should_stop():
                break
        gains = dict.fromkeys(Way, trial.gains[Way.TEMPLATES])
        yield replace(trial, gains=gains, trainings=2, tuned_images=2, recommended=Way.TUNED)

    def train(self):
        yield TuningStep(1, 1, 5, 10, 5.0)
        run = self.project.folder / "fine-tuning" / "abc" / "model"
        run.mkdir(parents=True)
        (run / "model.json").write_text("{}")
        return "abc"


class Failing(Tuning):
    """Fine-tuning that comes to an error on its way."""

    def try_folds(self, trial):
        yield TuningStep(1, 2, 1, 1000, 100.0)
        raise RuntimeError("out of luck")


def accept_two(clinic):
    """Detect, and accept two images: the project can learn from them."""
    detect(clinic)
    for number in (1, 3):
        show(clinic, number)
        press_key(clinic.viewer, KEY.Key_Return, SHIFT)


def measure(clinic):
    """Measure what the accepted images gain for the others."""
    with clinic.qtbot.waitSignal(clinic.project.learn.run.ended, timeout=120_000):
        clinic.project.actions_["learn"].trigger()
        # Nothing that has been before counts as a training.
        assert clinic.project.learn.run.running
        assert not clinic.project.learn.run.tuning
    clinic.qtbot.wait(20)


def give_model(clinic):
    """Let the project have a model that can be fine-tuned; return its folder."""
    fake = lambda *given, model=None, **more: clinic.fake(*given, **more)  # noqa: E731
    clinic.project.detecting._make = clinic.project.learn.run._make = fake
    project = clinic.project.images.project
    own = project.folder / "model"
    own.mkdir()
    (own / "model.json").write_text("{}")
    project._index.update(model="model")
    clinic.session.model = KnownModel("model", own)
    clinic.qtbot.wait(20)
    return own


def test_a_fine_tuned_model_is_tried_applied_and_taken_back(clinic, monkeypatch):
    monkeypatch.setattr("napari_oneshot_lmk.review.fine_tune.ProjectTuning", Tuning)
    accept_two(clinic)
    learn, project = clinic.project.learn, clinic.project.images.project
    measure(clinic)
    assert not learn.tune.isEnabled()
    assert "without a trained model" in learn.tune.toolTip()
    assert not learn.ways["fine tuning"].isVisible()
    own = give_model(clinic)
    learn.tune.click()
    clinic.qtbot.waitUntil(learn.stop.isVisible, timeout=20_000)
    assert clinic.project.cancel.isVisible()
    clinic.qtbot.waitUntil(lambda: "About 2 min left" in clinic.review.form.message.text())
    with clinic.qtbot.waitSignal(learn.run.ended, timeout=20_000):
        learn.stop.click()
    clinic.qtbot.wait(20)
    assert "few-shot" in clinic.review.form.message.text()
    assert not learn.stop.isVisible()
    assert learn.ways["fine tuning"].isChecked()
    assert "recommended" in learn.ways["fine tuning"].text()
    assert "Few-shot figures, of 2 images: left out in 2 parts" in learn.advice.text()
    assert project.model == own
    with clinic.qtbot.waitSignal(clinic.project.detecting.ended, timeout=120_000):
        learn.apply.click()
    clinic.qtbot.wait(20)
    assert project.model == clinic.session.model.path == own.parent / "fine-tuning/abc/model"
    assert clinic.session.model.title == "model, fine-tuned"
    assert "fine-tuned" in learn.state.text()
    learn.forget.click()
    clinic.qtbot.wait(20)
    assert project.model == clinic.session.model.path == own


def test_what_runs_after_a_fine_tuning_that_failed_is_none(clinic, monkeypatch):
    monkeypatch.setattr("napari_oneshot_lmk.review.fine_tune.ProjectTuning", Failing)
    accept_two(clinic)
    give_model(clinic)
    measure(clinic)
    learn = clinic.project.learn
    with clinic.qtbot.waitSignal(learn.run.ended, timeout=20_000):
        learn.tune.click()
    assert "out of luck" in clinic.review.form.message.text()
    assert not learn.stop.isVisible()
    measure(clinic)
    assert learn.tune.isEnabled()


def test_what_was_learnt_cannot_be_kept_and_it_says_so(clinic, tmp_path):
    accept_two(clinic)
    measure(clinic)
    clinic.project.learn.ways["further templates"].setChecked(True)
    (tmp_path / "study").rename(tmp_path / "away")
    clinic.project.learn.apply.click()
    assert "is not there any more" in clinic.review.form.message.text()
    assert clinic.project.learning.learnt is None
    assert not clinic.project.detecting.running
    (tmp_path / "away").rename(tmp_path / "study")
