"""Trained models in the tab "Detect": listed, opened, used in the worker's thread, exported."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bundle_scene import random_model
from training_scene import FakeChildren, template
from widget_scene import FakeDetectors, textured

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import Finished, event_to_json
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.widgets.detect import form
from napari_oneshot_lmk.widgets.detect.export import Exported, ExportRun, Step
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.settings import Preferences
from napari_oneshot_lmk.widgets.train import widget
from napari_oneshot_lmk.widgets.train.models import KnownModel, known_models, model_in
from napari_oneshot_lmk.widgets.train.request import Phase, write_request
from napari_oneshot_lmk.widgets.train.run import TrainingRun
from napari_oneshot_lmk.widgets.train.widget import TrainWidget

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


@dataclass
class ModelDetectors(FakeDetectors):
    """Remembers with which models detectors were wanted."""

    models: list[Path | None] = field(default_factory=list)

    def __call__(
        self, template: Any, preferences: Any, progress: Any, model: Path | None = None
    ) -> Any:
        self.models.append(model)
        return super().__call__(template, preferences, progress)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: Any) -> Path:
    folder = tmp_path / "trainings"
    monkeypatch.setattr(form, "training_folder", lambda: folder)
    return folder


def trained(base: Path, made: bool = True) -> KnownModel:
    """A training's folder, as one that has succeeded leaves it."""
    request = write_request(base, template(), [base], TrainingConfig(), Preferences(), False)
    if made:
        request.model_folder.mkdir(parents=True)
        (request.model_folder / "model.json").write_text("{}")
        template().save(request.model_folder / "template")
    return KnownModel(request.title, request.model_folder)


def texts(chooser: Any) -> list[str]:
    return [chooser.itemText(i) for i in range(chooser.count())]


def test_only_trainings_that_have_succeeded_are_offered(qtbot, base):
    trained(base, made=False)
    chooser = form.ModelChooser()
    qtbot.addWidget(chooser)
    assert texts(chooser) == ["Instant, without training", "Open a model…"]
    trained(base)
    chooser.show_model(None)
    assert len(texts(chooser)) == 3
    assert texts(chooser)[1].startswith("skull: 3 landmarks, fused (")
    assert chooser.currentIndex() == 0


def docked(viewer: Any, **parts: Any) -> DetectWidget:
    dock = DetectWidget(viewer, **parts)
    viewer.window.add_dock_widget(dock, area="right")
    return dock


def detecting(viewer: Any) -> tuple[DetectWidget, ModelDetectors]:
    fake = ModelDetectors()
    return docked(viewer, make_detector=fake), fake


def detected(qtbot: Any, dock: DetectWidget) -> None:
    with qtbot.waitSignal(dock.finished, timeout=20_000):
        dock.form.here.click()


def test_the_chosen_model_detects_and_brings_its_template(viewer, qtbot, base):
    model = trained(base)
    dock, fake = detecting(viewer)
    viewer.add_image(textured(seed=2), name="image")
    chooser = dock.form.model
    chooser.setCurrentIndex(1)
    chooser.activated.emit(1)
    assert dock.session.template.name == "skull"
    for index, path in ((1, model.path), (0, None)):
        chooser.activated.emit(index)
        assert chooser.currentIndex() == index
        detected(qtbot, dock)
        assert fake.models[-1] == path
    assert "found – image" in viewer.layers


def test_a_model_from_elsewhere_is_opened_or_refused(viewer, qtbot, base, tmp_path):
    dock, _ = detecting(viewer)
    chooser = dock.form.model
    chooser.open(tmp_path)
    assert "holds no trained model" in dock.form.message.text()
    assert dock.session.model is None
    run = RunFolder(tmp_path / "my run")
    run.model_path.mkdir(parents=True)
    (run.model_path / "model.json").write_text("{}")
    template().save(run.model_path / "template")
    chooser.open(run.path)
    assert dock.session.model == KnownModel("my run", run.model_path)
    assert chooser.currentText() == "my run"


@pytest.mark.parametrize("detect_first", [True, False])
def test_the_model_of_an_earlier_window_is_used(viewer, qtbot, base, monkeypatch, detect_first):
    model = trained(base)
    log = RunFolder(model.path.parent).events_path
    end = Finished(str(model.path), 3, False, 60.0)
    log.write_text(json.dumps(event_to_json(end)) + "\n")
    monkeypatch.setattr(widget, "training_folder", lambda: base)
    # A new window: nothing but what lies on the disk is known.
    viewer.add_image(textured(seed=2), name="image")
    opened = detecting(viewer) if detect_first else None
    training = TrainWidget(viewer, run=TrainingRun(FakeChildren()))
    viewer.window.add_dock_widget(training, area="right")
    qtbot.waitUntil(lambda: training.run.phase is Phase.DONE, timeout=10_000)
    training.view.use_model.click()
    detect, fake = opened or detecting(viewer)
    assert detect.session.template.name == "skull"
    assert detect.form.here.reason == ""
    detected(qtbot, detect)
    assert fake.models == [model.path]
    assert "found – image" in viewer.layers


def test_wanting_a_model_turns_the_dock_to_detection(viewer, base):
    dock = OneshotDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    dock.session.model = known_models(trained(base).path.parents[2])[0]
    assert dock.tabs.currentWidget() is dock.steps["Detect"]
    assert dock.steps["Detect"].form.model.currentIndex() == 1


# -- export: a bundle comes out, and opens again --------------------


@pytest.fixture
def model(tmp_path: Path) -> Any:
    made = random_model(tmp_path)
    made.save(tmp_path / "model")
    return made


def test_a_model_is_exported_and_its_bundle_detects_the_same(viewer, qtbot, base, model, tmp_path):
    dock = docked(viewer)
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


def test_an_export_is_cancelled(viewer, qtbot, base, model, tmp_path):
    dock = docked(viewer, export=ExportRun(slow_steps))
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


def test_a_failed_export_says_why(viewer, qtbot, base, model, tmp_path):
    dock = docked(viewer, export=ExportRun(refused))
    dock.choose_model(model_in(tmp_path / "model"))
    with qtbot.waitSignal(dock.finished):
        dock.export_model(tmp_path / "bundle")
    assert "the bundle finds other points" in dock.form.message.text()
