"""Annotating with the mouse and the keys, in a real window."""

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from widget_scene import LEFT, begin, canvas, click, drag, placed, press_key, spot, textured

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.widgets.annotate.widget import AnnotateWidget

SPOTS = {"a": (30.0, 40.0), "b": (60.0, 120.0), "c": (150.0, 90.0), "d": (200.0, 30.0)}
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1100, 800)
    return viewer


@pytest.fixture
def image(viewer: Any) -> Any:
    return viewer.add_image(
        textured(), name="image", scale=(0.5, 0.5), units="mm", translate=(7, -3)
    )


@pytest.fixture
def dock(viewer: Any, image: Any, qtbot: Any) -> AnnotateWidget:
    """A shown window with an image and a list of four landmarks, ready to click."""
    dock = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    begin(dock, "a: first\nb\nc\nd")
    qtbot.wait(200)
    return dock


@pytest.fixture
def marks(dock: AnnotateWidget) -> Any:
    """The layer of the landmarks."""
    return dock.bench.placing.layer


def current(dock: AnnotateWidget) -> str:
    return dock.session.annotation.current


def pixel(viewer: Any) -> float:
    """Width of a pixel of the screen, in those of the image."""
    return float(1 / (viewer.scene.camera.zoom * 0.5))


def test_a_click_places_the_highlighted_landmark_and_moves_on(dock, viewer, image, marks):
    assert dock.form.prompt.text() == "Click a"
    assert dock.form.description.text() == "first"
    for number, (name, spot_yx) in enumerate(SPOTS.items()):
        assert current(dock) == name
        click(viewer, image, spot_yx)
        found = placed(dock)
        assert list(found) == list(SPOTS)[: number + 1]
    for name, spot_yx in SPOTS.items():
        assert found[name] == pytest.approx(spot_yx, abs=pixel(viewer))
    assert viewer.layers.selection.active == marks
    assert list(marks.features["label"]) == list(SPOTS)
    assert marks.features["label"].dtype == "category"
    assert np.array_equal(marks.scale, image.scale)
    assert np.array_equal(marks.translate, image.translate)
    assert marks.units == image.units
    assert current(dock) == ""
    # Another click has nothing left to place, and says so.
    click(viewer, image, (100.0, 100.0))
    assert placed(dock) == found
    assert len(marks.data) == 4
    assert "Every landmark is decided" in dock.form.message.text()


def test_a_point_is_dragged_and_the_image_is_not(dock, viewer, image):
    click(viewer, image, SPOTS["a"])
    centre = viewer.scene.camera.center
    drag(viewer, image, SPOTS["a"], (90.0, 60.0))
    assert placed(dock) == {"a": pytest.approx((90.0, 60.0), abs=2 * pixel(viewer))}
    assert viewer.scene.camera.center == centre
    # Beside a point, the same movement pans and places nothing.
    drag(viewer, image, (200.0, 150.0), (150.0, 120.0))
    assert list(placed(dock)) == ["a"]
    assert viewer.scene.camera.center != centre


def test_what_is_not_a_click_places_nothing(dock, viewer, image, marks):
    click(viewer, image, SPOTS["a"], Qt.MouseButton.RightButton)
    assert placed(dock) == {}
    # A point that is dragged and brought back is no click, either.
    click(viewer, image, SPOTS["a"])
    drag(viewer, image, SPOTS["a"], (90.0, 60.0), SPOTS["a"])
    assert list(placed(dock)) == ["a"]
    assert len(marks.data) == 1
    # A double click is one click.
    widget, at = canvas(viewer), spot(viewer, image, SPOTS["b"])
    click(viewer, image, SPOTS["b"])
    QTest.mouseDClick(widget, LEFT, pos=at)
    assert list(placed(dock)) == ["a", "b"]
    # And what a program adds is placed, whatever the mouse did before.
    drag(viewer, image, (200.0, 150.0), (150.0, 120.0))
    marks.add((100.0, 100.0))
    assert list(placed(dock)) == ["a", "b", "c"]


def test_keys_move_skip_and_mark_absent(dock, viewer, image):
    for key, then in (("N", "b"), ("B", "a"), ("K", "b"), ("X", "c")):
        press_key(viewer, getattr(Qt.Key, f"Key_{key}"))
        assert current(dock) == then
    click(viewer, image, SPOTS["c"])
    states = [p.state for p in dock.session.annotation.landmarks]
    assert states == [State.SKIPPED, State.ABSENT, State.PLACED, State.SKIPPED]
    words = [row.cells[0] for row in dock.form.table.rows]
    assert words == ["skipped", "absent", "placed", "–"]
    assert dock.form.progress.format() == "2 of 4"


def test_undo_and_redo_by_key(dock, viewer, image, marks):
    click(viewer, image, SPOTS["a"])
    click(viewer, image, SPOTS["b"])
    both = placed(dock)
    drag(viewer, image, SPOTS["b"], (100.0, 100.0))
    moved = placed(dock)
    assert moved != both
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    assert placed(dock) == both
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    assert list(placed(dock)) == ["a"]
    assert current(dock) == "b"
    press_key(viewer, Qt.Key.Key_Z, CONTROL | SHIFT)
    press_key(viewer, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert placed(dock) == moved
    assert np.allclose(marks.data, [moved["a"], moved["b"]])


def test_delete_takes_a_point_off_and_makes_it_the_next(dock, viewer, marks):
    marks.add(SPOTS["a"])
    marks.add(SPOTS["b"])
    for row, left, then in ((0, ["b"], "a"), (0, [], "b")):
        marks.selected_data = {row}
        press_key(viewer, Qt.Key.Key_Delete)
        assert list(placed(dock)) == left
        assert current(dock) == then


def test_a_row_is_clicked_to_jump_and_to_place_again(dock, viewer, image, qtbot):
    click(viewer, image, SPOTS["a"])
    click(viewer, image, SPOTS["b"])
    first = placed(dock)["a"]
    table = dock.form.table
    at = table.visualItemRect(table.item(0, 1)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=at)
    assert current(dock) == "a"
    assert dock.form.prompt.text() == "Click to move a"
    assert viewer.scene.camera.center[-2:] == pytest.approx(image.data_to_world(first))
    click(viewer, image, (80.0, 80.0))
    assert placed(dock)["a"] == pytest.approx((80.0, 80.0), abs=2)
    assert list(placed(dock)) == ["a", "b"]
    assert current(dock) == "c"


def test_a_click_beside_the_image_places_nothing(dock, marks):
    marks.add((-20.0, 5.0))
    assert placed(dock) == {}
    assert len(marks.data) == 0
    assert "outside" in dock.form.message.text()


def test_every_edit_is_on_disk_at_once(dock, viewer, image):
    click(viewer, image, SPOTS["a"])
    press_key(viewer, Qt.Key.Key_X)
    path = dock.bench.autosave.sidecar.path
    (saved,) = read_landmarks(path)
    assert saved == dock.session.landmarks()
    assert saved["b"].state is State.ABSENT
    assert saved.geometry.spacing_mm_yx == (0.5, 0.5)
    assert dock.form.saved.text().startswith("saved ")
    assert str(path) in dock.form.saved.toolTip()


def test_another_active_layer_pauses_the_placing(dock, viewer, image):
    viewer.layers.selection.active = image
    assert dock.form.prompt.text().startswith("Paused")
    assert dock.form.start.isVisible()
    click(viewer, image, SPOTS["a"])
    assert placed(dock) == {}
    dock.form.start.click()
    click(viewer, image, SPOTS["a"])
    assert list(placed(dock)) == ["a"]


def test_a_removed_layer_takes_its_landmarks_off_until_an_undo(dock, viewer, image, marks):
    click(viewer, image, SPOTS["a"])
    before = placed(dock)
    sidecar = dock.bench.autosave.sidecar.path
    viewer.layers.remove(marks)
    assert placed(dock) == {}
    assert dock.form.table.rows == ()
    assert "taken off with their layer" in dock.form.message.text()
    assert [p.name for p in read_landmarks(sidecar)[0].placed] == ["a"]
    dock.form.buttons["undo"].click()
    assert placed(dock) == before
    assert np.allclose(viewer.layers.selection.active.data, [before["a"]])
    dock.form.start.click()
    click(viewer, image, SPOTS["b"])
    assert list(placed(dock)) == ["a", "b"]


def test_a_layer_stays_with_its_image(dock, viewer, image, marks):
    click(viewer, image, SPOTS["a"])
    other = viewer.add_image(textured(seed=5), name="other")
    assert dock.session.target.layer == other
    # What a program or a paste adds to the layer is about its own image.
    marks.add(SPOTS["b"])
    assert dock.session.target.layer == image
    assert placed(dock) == {**placed(dock), "b": SPOTS["b"]}
    viewer.layers.selection.active = image
    viewer.layers.selection.active = other
    assert dock.session.target.layer == other
    viewer.layers.selection.active = marks
    assert dock.session.target.layer == image
    # Without its image it is a points layer like any other.
    viewer.layers.remove(image)
    marks.add(SPOTS["c"])
    assert len(marks.data) == 3


def test_a_slice_has_its_own_landmarks(dock, viewer, qtbot):
    viewer.layers.clear()
    pixels = np.stack([textured((200, 150), seed=s) for s in range(4)])
    stack = viewer.add_image(pixels, name="stack", scale=(3, 0.5, 0.5), units="mm")
    viewer.dims.set_current_step(0, 2)
    begin(dock)
    qtbot.wait(100)
    click(viewer, stack, (20.0, 30.0))
    marks = viewer.layers["landmarks – stack [2]"]
    assert marks.data.shape == (1, 3)
    assert marks.data[0, 0] == 2
    first = placed(dock)
    # On the next slice that layer takes nothing; the dock says what to do.
    viewer.dims.set_current_step(0, 1)
    assert placed(dock) == {}
    click(viewer, stack, (60.0, 60.0))
    assert marks.data.shape == (1, 3)
    assert dock.form.prompt.text() == "Choose a list of landmarks."
    begin(dock)
    click(viewer, stack, (60.0, 60.0))
    assert viewer.layers["landmarks – stack [1]"].data[0, 0] == 1
    viewer.dims.set_current_step(0, 2)
    assert placed(dock) == first
    template = dock.session.use_as_template()
    assert np.array_equal(template.image.pixels, pixels[2])
    assert template.image.geometry.spacing_mm_yx == (0.5, 0.5)
