"""The dock "Detect landmarks" in a real window, with a detector that is known."""

import json
import threading
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog
from widget_scene import FakeDetectors, textured

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.layers.image_view import ImageView
from napari_oneshot_lmk.widgets.layers.points import METADATA

POINTS = {"a": (30.0, 40.0), "b": (60.0, 120.0), "c": (150.5, 90.25)}
SPACED = {"scale": (0.5, 0.5), "units": "mm"}


def template() -> Template:
    image = GrayImage.from_array(textured(), 0.5, "template.png")
    landmarks = Landmarks.from_positions(POINTS, "template.png")
    gone = Landmark("gone", None, State.ABSENT)
    return Template.create(image, landmarks.with_landmark(gone), "the template")


@pytest.fixture
def fake() -> FakeDetectors:
    return FakeDetectors()


@pytest.fixture
def bare(viewer: Any, fake: FakeDetectors) -> DetectWidget:
    """The dock without a template and without an image."""
    dock = DetectWidget(viewer, make_detector=fake)
    viewer.window.add_dock_widget(dock, area="right")
    return dock


@pytest.fixture
def dock(bare: DetectWidget) -> DetectWidget:
    bare.session.load_template(template())
    return bare


@pytest.fixture
def image(viewer: Any) -> Any:
    return viewer.add_image(textured(seed=2), name="image", **SPACED)


def run(qtbot: Any, button: Any, dock: DetectWidget) -> None:
    with qtbot.waitSignal(dock.finished, timeout=20_000):
        button.click()


def test_buttons_say_why_they_cannot_be_pressed(bare, viewer):
    form = bare.form
    assert not form.here.isEnabled()
    assert form.here.toolTip() == form.why.text() == "Set a template first."
    bare.session.load_template(template())
    assert form.here.toolTip() == "No image is open."
    assert form.everywhere.toolTip() == "No other image is open."
    assert form.save.toolTip() == "Nothing has been detected yet."
    viewer.add_image(textured(seed=2))
    assert form.here.isEnabled()
    assert form.everywhere.isEnabled()
    assert "the template" in form.template.text()
    assert "3 landmarks" in form.template.text()


def test_the_dock_says_that_an_image_lies_otherwise(dock, image, fake, qtbot):
    fake.orientation = "mirrored"
    run(qtbot, dock.form.here, dock)
    assert "The image lies mirrored, compared with the template" in dock.form.of_image.text()


def test_the_result_lies_on_the_image_coloured_by_score(viewer, dock, fake, qtbot):
    fake.unsure = ("b",)
    image = viewer.add_image(textured(seed=2), name="image", rotate=20, **SPACED)
    form = dock.form
    assert form.encoder.text() == "loads with the first detection"
    run(qtbot, form.here, dock)
    layer = viewer.layers["found – image"]
    assert np.allclose(layer.data, np.array(list(POINTS.values())) + fake.shift_yx)
    assert np.allclose(layer.rotate, image.rotate)
    assert np.array_equal(layer.scale, image.scale)
    assert layer.units == image.units
    assert list(layer.features["label"]) == list(POINTS)
    assert layer.features["label"].dtype == "category"
    assert layer.features["score"].tolist() == pytest.approx([1.0, 0.95, 0.9])
    # Rings coloured by score; the unsure one has a form of its own.
    assert [str(symbol) for symbol in layer.symbol] == ["ring", "diamond", "ring"]
    assert not np.allclose(layer.face_color[0], layer.face_color[2])
    # The absent one is listed, not drawn.
    rows = {row.name: row.cells for row in form.table.rows}
    assert rows == {
        **{"a": ("1.00", "detected"), "b": ("0.95", "unsure")},
        **{"c": ("0.90", "detected"), "gone": ("", "absent")},
    }
    assert "1 unsure" in form.message.text()
    assert form.encoder.text() == "Fake encoder on CPU"
    assert form.note.text() == "for tests"
    # Work was done elsewhere, on pixels with the layer's spacing.
    assert threading.get_ident() not in fake.threads
    assert fake.images[0].geometry.spacing_mm_yx == (0.5, 0.5)
    assert dock.session.busy == ""


def test_a_second_click_replaces_a_result_but_not_a_corrected_one(viewer, dock, image, qtbot):
    run(qtbot, dock.form.here, dock)
    run(qtbot, dock.form.here, dock)
    assert [la.name for la in viewer.layers] == ["image", "found – image"]
    corrected = viewer.layers["found – image"]
    data = np.array(corrected.data)
    data[0] += 10
    corrected.data = data
    run(qtbot, dock.form.here, dock)
    # One set of landmarks, in which the corrections have stayed.
    assert len(viewer.layers) == 2
    assert np.array_equal(corrected.data, data)


def test_all_images_but_the_template_and_one_that_cannot_be_worked_on(viewer, dock, fake, qtbot):
    first = viewer.add_image(textured(seed=2), name="one")
    viewer.add_image(np.zeros((50, 60)), name="blank")
    viewer.add_image(textured(seed=3), name="two")
    dock.session.template_key = ImageView(first).key
    dock._refresh()
    assert dock.form.everywhere.text() == "Detect on all images (2)"
    run(qtbot, dock.form.everywhere, dock)
    found = [la.name for la in viewer.layers if la.name.startswith("found")]
    assert found == ["found – two"]
    for said in ("1 image done, 1 not", "blank", "same value"):
        assert said in dock.form.message.text()
    assert [image.name for image in fake.images] == ["two"]


def test_the_shown_slice_of_a_stack(viewer, dock, fake, qtbot):
    stack = np.stack([textured(seed=s) for s in range(4)])
    image = viewer.add_image(stack, name="stack", scale=(2, 0.5, 0.5), units="mm")
    viewer.dims.set_current_step(0, 2)
    assert dock.form.here.text() == "Detect on this slice (3 of 4)"
    run(qtbot, dock.form.here, dock)
    assert np.array_equal(fake.images[0].pixels, stack[2])
    assert fake.images[0].geometry.spacing_mm_yx == (0.5, 0.5)
    layer = viewer.layers["found – stack [2]"]
    assert layer.ndim == 3
    assert np.allclose(layer.data[:, 0], 2)
    assert np.array_equal(layer.scale, image.scale)
    # Another slice has no result yet.
    viewer.dims.set_current_step(0, 1)
    assert dock.form.table.rows == ()
    viewer.dims.set_current_step(0, 2)
    assert len(dock.form.table.rows) == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA error: unknown"), "RuntimeError: CUDA error: unknown"),
        (MemoryError(), "not enough memory"),
        (ValueError("what"), "ValueError: what"),
    ],
)
def test_a_failure_is_told_and_the_dock_goes_on(viewer, dock, image, fake, qtbot, error, said):
    fake.error = error
    run(qtbot, dock.form.here, dock)
    assert said in dock.form.message.text()
    assert not dock.form.report.isHidden()
    dock.form.report.click()
    report = QApplication.clipboard().text()
    assert "Traceback" in report
    assert "napari 0." in report
    assert dock.session.busy == ""
    fake.error = None
    run(qtbot, dock.form.here, dock)
    assert "found – image" in viewer.layers
    assert dock.form.report.isHidden()


def test_an_expected_error_is_one_sentence(dock, image, fake, qtbot):
    fake.error = ImageError("too dark", remedy="look")
    run(qtbot, dock.form.here, dock)
    assert dock.form.message.text() == "image: too dark; look."
    assert dock.form.report.isHidden()


def test_cancel_keeps_what_was_found(viewer, dock, fake, qtbot):
    fake.gate = threading.Semaphore(1)
    form = dock.form
    for number in range(5):
        viewer.add_image(textured((40, 50), seed=number), name=f"image {number}")
    with qtbot.waitSignal(dock.finished, timeout=20_000):
        form.everywhere.click()
        assert form.here.toolTip().startswith("Wait until this has ended")
        qtbot.waitUntil(lambda: bool(dock.session.found), timeout=10_000)
        form.cancel.click()
        assert form.cancel.text() == "Cancelling…"
        assert not form.cancel.isEnabled()
        fake.gate.release(5)
    assert 1 <= len(dock.session.found) <= 2
    assert len(fake.images) <= 2
    assert "Cancelled" in form.message.text()
    assert form.here.isEnabled()
    assert form.progress.isHidden()


def test_an_image_closed_meanwhile_does_no_harm(viewer, dock, image, fake, qtbot):
    fake.gate = threading.Semaphore(0)
    with qtbot.waitSignal(dock.finished, timeout=20_000):
        dock.form.here.click()
        viewer.layers.clear()
        fake.gate.release()
    assert len(viewer.layers) == 0


def test_found_landmarks_are_saved_as_shown(viewer, dock, image, qtbot, tmp_path, monkeypatch):
    run(qtbot, dock.form.here, dock)
    layer = viewer.layers["found – image"]
    data = np.array(layer.data)
    data[0] = (11.0, 12.0)
    layer.data = data
    answer = (str(tmp_path / "found"), "Table (*.csv)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: answer)
    dock.form.save.click()
    (saved,) = read_landmarks(tmp_path / "found.csv")
    assert saved.image == "image"
    assert saved["a"].position_yx == (11.0, 12.0)
    assert saved["gone"].state is State.ABSENT
    assert saved.provenance.method == "instant"
    assert saved.geometry.spacing_mm_yx == (0.5, 0.5)
    assert str(tmp_path / "found.csv") in dock.form.message.text()
    # The layer's metadata are plain types: other programs keep them as JSON.
    assert json.loads(json.dumps(layer.metadata[METADATA]))["image"] == "image"


def test_a_broken_template_is_refused_in_words(bare, tmp_path):
    (tmp_path / "empty").mkdir()
    bare.load_template(tmp_path / "empty")
    assert "empty" in bare.form.message.text()
    assert bare.session.template is None
    template().save(tmp_path / "good")
    bare.load_template(tmp_path / "good")
    assert bare.session.template.content_sha256 == template().content_sha256
    assert bare.form.message.text() == ""
