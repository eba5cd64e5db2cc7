"""The docks find the weights that a model was trained on, or say what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_vgg19 import saved_weights
from weights_scene import Trained, copied, isolate, trained

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.encoders import weights
from napari_oneshot_lmk.encoders.weights_file import read_weights
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.widgets.detect import export, run
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.settings import Preferences

pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture(scope="module")
def made(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("made")
        isolate(patch, folder)
        yield trained(folder)


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    """What the settings say; of another model's weights, at first."""
    isolate(monkeypatch, tmp_path)
    kept: dict[str, object] = {
        "device": "cpu",
        "encoder_weights": saved_weights(tmp_path / "others.safetensors", seed=9),
    }
    monkeypatch.setattr(run, "preferences", lambda: Preferences(**kept))
    return kept


@pytest.fixture
def dock(viewer: Any, made: Trained) -> DetectWidget:
    dock = DetectWidget(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    viewer.add_image(read_image(made.world.images / "one.png").pixels, name="one.png")
    return dock


def detected(qtbot: Any, dock: DetectWidget, button: str = "here") -> str:
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        getattr(dock.form, button).click()
    return str(dock.form.message.text())


def test_the_remembered_weights_detect_whatever_the_settings_name(wanted, dock, qtbot, made):
    dock.form.model.open(made.run)
    detected(qtbot, dock)
    (found,) = dock.session.found.values()
    assert len(found.placed) == 3
    assert dock.form.encoder.text().startswith("VGG19 (my weights.safetensors)")
    # Detection without a model goes by the settings again, and back.
    dock.choose_model(None)
    detected(qtbot, dock)
    assert "others.safetensors" in dock.form.encoder.text()
    dock.form.model.open(made.run)
    detected(qtbot, dock)
    (again,) = dock.session.found.values()
    assert np.array_equal(again.positions_yx, found.positions_yx)


def test_a_model_whose_weights_are_gone_says_so_in_the_dock(wanted, dock, qtbot, made, tmp_path):
    aside = made.weights.rename(made.weights.with_name("aside"))
    dock.form.model.open(copied(made, tmp_path / "elsewhere"))
    said = detected(qtbot, dock)
    assert f"neither at {made.weights}, where they lay, nor in" in said
    assert "Traceback" not in said
    # The settings may name them wherever they are now.
    wanted["encoder_weights"] = aside
    detected(qtbot, dock)
    aside.rename(made.weights)
    (found,) = dock.session.found.values()
    assert len(found.placed) == 3


def test_a_failed_download_is_tried_again(dock, qtbot, made, monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(run, "preferences", lambda: Preferences(device="cpu"))
    form = dock.form
    dock.load_template(made.run / "template")
    assert form.retry.isHidden()
    detected(qtbot, dock)
    assert "is used alone" in form.note.text()
    assert not form.retry.isHidden()
    # The network is back.
    again = read_weights(saved_weights(tmp_path / "downloaded.safetensors", seed=9))
    monkeypatch.setattr(weights, "download_weights", lambda progress: again)
    detected(qtbot, dock, "retry")
    assert form.encoder.text().startswith("VGG19 (ImageNet)")
    assert form.note.text() == ""
    assert form.retry.isHidden()


@pytest.mark.usefixtures("quick_children")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_the_dock_exports_with_the_remembered_weights(made, wanted, tmp_path):
    out = tmp_path / "bundle"
    steps = list(export.export_steps(made.run, out, Preferences(**wanted)))  # type: ignore[arg-type]
    assert isinstance(steps[-1], export.Exported)
    assert is_bundle(out)
