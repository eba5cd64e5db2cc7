"""The dock "Train model" with real trainings, in processes of their own."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning_scene import without_weights
from qtpy.QtWidgets import QApplication
from training_scene import event_loop_watched

from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.subprocess import TrainingProcess
from napari_oneshot_lmk.widgets.detect import form
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.train import close_question
from napari_oneshot_lmk.widgets.train import widget as train_module
from napari_oneshot_lmk.widgets.train.request import Phase
from napari_oneshot_lmk.widgets.train.run import TrainingRun

NAMES = ("sella", "nasion", "gonion")
IMAGES = ("skull_02.png", "skull_03.png", "skull_05.png")
SMALL = {
    "network.width": 0.1,
    "network.adapter_channels": 4,
    "network.embedding_channels": 16,
    "template_copies.count": 2,
    "training.batch": 1,
}
FULL = """
import torch

def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

torch.Tensor.backward = full
"""
PATIENCE_MS = 120_000


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trainings are kept; children use the shipped encoder and one thread."""
    folder = tmp_path / "trainings"
    for module in (train_module, form):
        monkeypatch.setattr(module, "training_folder", lambda: folder)
    for name, value in without_weights(tmp_path).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def dock(make_napari_viewer_proxy: Any, base: Path) -> Iterator[OneshotDock]:
    """The dock on the tab "Train", with an image open and a template of the sample."""
    samples = sample_folder("skull")
    image = read_image(samples / "images" / "skull_01.png")
    known = Dataset.load(samples).truth["skull_01.png"]
    positions = {name: known[name].position_yx for name in NAMES}
    landmarks = Landmarks.from_positions(positions, "skull_01.png")
    viewer = make_napari_viewer_proxy(show=True)
    folder = base.parent / "images"
    folder.mkdir()
    for name in IMAGES:
        shutil.copy(samples / "images" / name, folder)
    viewer.add_image(read_image(folder / IMAGES[0]).pixels, name=IMAGES[0])
    made = OneshotDock(viewer)
    viewer.window.add_dock_widget(made, area="right")
    made.tabs.setCurrentWidget(made.steps["Train"])
    made.session.load_template(Template.create(image, landmarks, "skull"))
    yield made
    made.steps["Train"].run.discard_now()


def prepared(qtbot: Any, dock: OneshotDock, base: Path, epochs: int) -> Any:
    """Choose images and a small preset of so many epochs."""
    train = dock.steps["Train"]
    preset = Preset.load("laptop").changed({**SMALL, "training.epochs": epochs})
    (base.parent / "small.toml").write_text(preset.to_toml())
    train.form.more.choose_file(base.parent / "small.toml")
    with qtbot.waitSignal(train.checked, timeout=PATIENCE_MS):
        train.choose_folder(base.parent / "images")
    assert train.form.train.isEnabled(), train.form.why.text()
    return train


def until(qtbot: Any, true: Callable[[], object], train: Any) -> None:
    def check() -> None:
        assert true(), (train.run.phase, train.run.progress.failed, train.run.report)

    qtbot.waitUntil(check, timeout=PATIENCE_MS)


def test_train_kill_continue_stop_and_detect(dock, qtbot, base):
    train, run = prepared(qtbot, dock, base, 1000), dock.steps["Train"].run
    preview = f"preview – {IMAGES[0]}"
    layers = train._viewer.layers
    # The first points of a window load libraries, whoever asked for them: a user has
    # annotated the template before.
    train._viewer.add_points([[5.0, 5.0]])
    dock.header.chooser.activated.emit(0)
    qtbot.wait(1000)
    with event_loop_watched() as worked_s:
        train.form.train.click()
        until(qtbot, lambda: preview in layers, train)
    # Half a second is what a user takes for an answer; the aim is 100 ms.
    assert max(worked_s) < 0.5
    assert len(layers[preview].data) == len(NAMES)
    assert run.progress.seconds_left is not None
    assert "Points on the images moved" in train.view.shift.text()
    reached = run.progress.epoch.epoch

    os.kill(train.run._process._worker.pid, signal.SIGKILL)
    until(qtbot, lambda: run.phase is Phase.FAILED, train)
    assert "ended from outside" in train.view.message.text()
    train.view.resume.click()
    until(qtbot, lambda: run.phase is Phase.RUNNING, train)
    until(qtbot, lambda: run.progress.epoch and run.progress.epoch.epoch > reached, train)

    began = time.monotonic()
    train.view.stop.click()
    until(qtbot, lambda: run.phase is Phase.DONE, train)
    assert time.monotonic() - began < 2.0
    assert "Stopped after" in train.view.message.text()
    train.view.use_model.click()
    detect = dock.steps["Detect"]
    assert dock.tabs.currentWidget() is detect
    with qtbot.waitSignal(detect.finished, timeout=PATIENCE_MS):
        detect.form.here.click()
    assert f"found – {IMAGES[0]}" in layers, detect.form.message.text()
    found = dock.session.found[dock.session.target.key]
    assert found.provenance.method == "fused"
    assert np.isfinite(found.positions_yx).all()
    assert preview not in layers


def test_a_whole_training_leaves_a_model_and_says_how_long_it_took(dock, qtbot, base):
    train = prepared(qtbot, dock, base, 2)
    train.form.train.click()
    until(qtbot, lambda: train.run.phase is Phase.DONE, train)
    assert train.run.request.has_model
    assert train.view.message.text().startswith("Trained in ")


def test_cancel_ends_a_real_training_and_leaves_nothing(dock, qtbot, base, monkeypatch):
    train = prepared(qtbot, dock, base, 1000)
    train.form.train.click()
    until(qtbot, lambda: train.run.progress.step is not None, train)
    # Another window finds the same training by what lies on the disk.
    second = TrainingRun(TrainingProcess)
    assert second.find([base])
    assert second.request == train.run.request
    qtbot.waitUntil(lambda: second.progress.step is not None, timeout=PATIENCE_MS)
    began = time.monotonic()
    monkeypatch.setattr(close_question, "ask_whether_to_discard", lambda window, run: True)
    train.view.cancel.click()
    until(qtbot, lambda: train.run.phase is Phase.NONE, train)
    assert time.monotonic() - began < 2.0
    assert list(base.iterdir()) == []
    qtbot.waitUntil(lambda: second.phase is Phase.FAILED, timeout=10_000)


def test_running_out_of_memory_is_told_with_what_to_do(dock, qtbot, base, monkeypatch):
    (base.parent / "site").mkdir()
    (base.parent / "site" / "sitecustomize.py").write_text(FULL)
    monkeypatch.setenv("PYTHONPATH", str(base.parent / "site"))
    train = prepared(qtbot, dock, base, 2)
    train.form.train.click()
    qtbot.waitUntil(lambda: train.run.phase is Phase.FAILED, timeout=PATIENCE_MS)
    for said in ("not enough memory", "close other programs"):
        assert said in train.view.message.text()
    assert not train.view.report.isHidden()
    train.view.report.click()
    assert "torch" in QApplication.clipboard().text()
