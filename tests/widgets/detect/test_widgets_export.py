"""Export model, in a real window: a bundle comes out, and opens again."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle_scene import random_model

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.widgets.detect import form
from napari_oneshot_lmk.widgets.detect.export import Exported, ExportRun, Step
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.train.models import model_in

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def no_trainings(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(form, "training_folder", lambda: tmp_path / "none")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    made = random_model(tmp_path)
    made.save(tmp_path / "model")
    return made


def dock_in(viewer: Any, **parts: Any) -> DetectWidget:
    dock = DetectWidget(viewer, **parts)
    viewer.window.add_dock_widget(dock, area="right")
    return dock


def test_a_model_is_exported_and_its_bundle_detects_the_same(viewer, qtbot, model, tmp_path):
    dock = dock_in(viewer)
    viewer.add_image(model.template.image.pixels, name="image")
    assert dock.form.export.reason == "choose a trained model first"
    dock.choose_model(model_in(tmp_path / "model"))
    assert not dock.form.export.reason
    out = tmp_path / "bundle"
    with qtbot.waitSignal(dock.finished, timeout=240_000):
        dock.export_model(out)
    assert "identical, max 0.00 px" in dock.form.message.text()
    assert is_bundle(out)
    found = []
    for folder in (tmp_path / "model", out):
        dock.form.model.open(folder)
        with qtbot.waitSignal(dock.finished, timeout=120_000):
            dock.detect_here()
        [landmarks] = dock.session.found.values()
        found.append(landmarks)
    for one, other in zip(*found, strict=True):
        assert one.name == other.name
        if one.position_yx is not None:
            assert one.position_yx == pytest.approx(other.position_yx, abs=0.05)
    dock.form.model.open(tmp_path / "images")
    assert "holds no trained model" in dock.form.message.text()


def slow_steps(model: Path, out: Path, wanted: Any) -> Iterator[Step | Exported]:
    for step in range(200):
        yield Step(f"Step {step}", step, 200)
        time.sleep(0.02)
    yield Exported("There")


def test_an_export_is_cancelled(viewer, qtbot, model, tmp_path):
    dock = dock_in(viewer, export=ExportRun(slow_steps))
    dock.choose_model(model_in(tmp_path / "model"))
    with qtbot.waitSignal(dock.export.going):
        dock.export_model(tmp_path / "bundle")
    assert dock.form.cancel.isVisibleTo(dock)
    assert dock.form.export.reason
    with qtbot.waitSignal(dock.finished):
        dock.cancel()
    assert dock.form.message.text() == "Cancelled. Nothing was exported."
    assert not dock.form.export.reason
    assert not (tmp_path / "bundle").exists()


def refused(model: Path, out: Path, wanted: Any) -> Iterator[Step | Exported]:
    yield Step("Writing", 0, 1)
    raise ModelError("the bundle finds other points", file=out, remedy="report this")


def test_a_failed_export_says_why(viewer, qtbot, model, tmp_path):
    dock = dock_in(viewer, export=ExportRun(refused))
    dock.choose_model(model_in(tmp_path / "model"))
    with qtbot.waitSignal(dock.finished):
        dock.export_model(tmp_path / "bundle")
    assert "the bundle finds other points" in dock.form.message.text()
