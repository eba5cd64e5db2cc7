"""Annotating with the mouse and the keys, in a real window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from widget_scene import canvas, click, drag, press_key, spot, textured

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list
from napari_oneshot_lmk.widgets.annotate.widget import AnnotateWidget

SPOTS = {"a": (30.0, 40.0), "b": (60.0, 120.0), "c": (150.0, 90.0), "d": (200.0, 30.0)}


@pytest.fixture
def dock(make_napari_viewer_proxy: Any, qtbot: Any) -> AnnotateWidget:
    """A shown window with an image and a list of four landmarks, ready to click."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1100, 800)
    viewer.add_image(textured(), name="film", scale=(0.5, 0.5), units="mm", translate=(7, -3))
    dock = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    dock.follow_list(parse_landmark_list("a: first\nb\nc\nd"))
    dock.place()
    qtbot.wait(200)
    return dock


def positions(dock: AnnotateWidget) -> dict[str, tuple[float, float]]:
    return {p.name: p.position_yx for p in dock.session.annotation.landmarks.placed}


def test_a_click_places_the_highlighted_landmark_and_moves_on(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    assert dock.form.prompt.text() == "Click a"
    assert dock.form.description.text() == "first"
    for number, (name, spot_yx) in enumerate(SPOTS.items()):
        assert dock.session.annotation.current == name
        click(viewer, film, spot_yx)
        placed = positions(dock)
        assert list(placed) == list(SPOTS)[: number + 1]
    pixel = 1 / (viewer.scene.camera.zoom * 0.5)
    for name, spot_yx in SPOTS.items():
        assert placed[name] == pytest.approx(spot_yx, abs=pixel)
    layer = viewer.layers.selection.active
    assert list(layer.features["label"]) == list(SPOTS)
    assert layer.features["label"].dtype == "category"
    assert np.array_equal(layer.scale, film.scale)
    assert np.array_equal(layer.translate, film.translate)
    assert layer.units == film.units
    assert dock.session.annotation.current == ""
    # Another click has nothing left to place, and says so.
    click(viewer, film, (100.0, 100.0))
    assert positions(dock) == placed
    assert len(layer.data) == 4
    assert "Every landmark is decided" in dock.form.message.text()


def test_a_point_is_dragged_and_the_image_is_not(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    centre = viewer.scene.camera.center
    drag(viewer, film, SPOTS["a"], (90.0, 60.0))
    pixel = 1 / (viewer.scene.camera.zoom * 0.5)
    assert positions(dock)["a"] == pytest.approx((90.0, 60.0), abs=2 * pixel)
    assert list(positions(dock)) == ["a"]
    assert viewer.scene.camera.center == centre
    # Beside a point, the same movement pans and places nothing.
    drag(viewer, film, (200.0, 150.0), (150.0, 120.0))
    assert list(positions(dock)) == ["a"]
    assert viewer.scene.camera.center != centre


def test_what_is_not_a_click_places_nothing(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"], Qt.MouseButton.RightButton)
    assert positions(dock) == {}
    # A point that is dragged and brought back is no click, either.
    click(viewer, film, SPOTS["a"])
    drag(viewer, film, SPOTS["a"], (90.0, 60.0), SPOTS["a"])
    assert list(positions(dock)) == ["a"]
    layer = viewer.layers.selection.active
    assert len(layer.data) == 1
    # A double click is one click.
    widget, at = canvas(viewer), spot(viewer, film, SPOTS["b"])
    click(viewer, film, SPOTS["b"])
    QTest.mouseDClick(widget, Qt.MouseButton.LeftButton, pos=at)
    assert list(positions(dock)) == ["a", "b"]
    # And what a program adds is placed, whatever the mouse did before.
    drag(viewer, film, (200.0, 150.0), (150.0, 120.0))
    layer.add((100.0, 100.0))
    assert list(positions(dock)) == ["a", "b", "c"]


def test_keys_move_skip_and_mark_absent(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    press_key(viewer, Qt.Key.Key_N)
    assert dock.session.annotation.current == "b"
    press_key(viewer, Qt.Key.Key_B)
    assert dock.session.annotation.current == "a"
    press_key(viewer, Qt.Key.Key_K)
    assert dock.session.annotation.current == "b"
    press_key(viewer, Qt.Key.Key_X)
    assert dock.session.annotation.current == "c"
    click(viewer, film, SPOTS["c"])
    landmarks = dock.session.annotation.landmarks
    states = [p.state for p in landmarks]
    assert states == [State.SKIPPED, State.ABSENT, State.PLACED, State.SKIPPED]
    words = [row.cells[0] for row in dock.form.table.rows]
    assert words == ["skipped", "absent", "placed", "–"]
    assert dock.form.progress.format() == "2 of 4"


def test_undo_and_redo_by_key(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    control = Qt.KeyboardModifier.ControlModifier
    shift = Qt.KeyboardModifier.ShiftModifier
    click(viewer, film, SPOTS["a"])
    click(viewer, film, SPOTS["b"])
    both = positions(dock)
    drag(viewer, film, SPOTS["b"], (100.0, 100.0))
    moved = positions(dock)
    assert moved != both
    press_key(viewer, Qt.Key.Key_Z, control)
    assert positions(dock) == both
    press_key(viewer, Qt.Key.Key_Z, control)
    assert list(positions(dock)) == ["a"]
    assert dock.session.annotation.current == "b"
    press_key(viewer, Qt.Key.Key_Z, control | shift)
    press_key(viewer, Qt.Key.Key_Z, control | shift)
    assert positions(dock) == moved
    layer = viewer.layers.selection.active
    assert np.allclose(layer.data, [moved["a"], moved["b"]])


def test_delete_takes_a_point_off_and_makes_it_the_next(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    click(viewer, film, SPOTS["b"])
    layer = viewer.layers.selection.active
    layer.selected_data = {0}
    press_key(viewer, Qt.Key.Key_Delete)
    assert list(positions(dock)) == ["b"]
    assert dock.session.annotation.current == "a"


def test_a_row_is_clicked_to_jump_and_to_place_again(dock, qtbot):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    click(viewer, film, SPOTS["b"])
    first = positions(dock)["a"]
    table = dock.form.table
    at = table.visualItemRect(table.item(0, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert dock.session.annotation.current == "a"
    assert dock.form.prompt.text() == "Click to move a"
    world = film.data_to_world(first)
    assert viewer.scene.camera.center[-2:] == pytest.approx(world)
    click(viewer, film, (80.0, 80.0))
    assert positions(dock)["a"] == pytest.approx((80.0, 80.0), abs=2)
    assert list(positions(dock)) == ["a", "b"]
    assert dock.session.annotation.current == "c"


def test_a_click_beside_the_image_places_nothing(dock):
    viewer = dock._viewer
    layer = viewer.layers.selection.active
    layer.add((-20.0, 5.0))
    assert positions(dock) == {}
    assert len(layer.data) == 0
    assert "outside" in dock.form.message.text()


def test_every_edit_is_on_disk_at_once(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    press_key(viewer, Qt.Key.Key_X)
    path = dock.bench.autosave.sidecar.path
    (saved,) = read_landmarks(path)
    assert saved == dock.session.landmarks()
    assert saved["b"].state is State.ABSENT
    assert saved.geometry.spacing_mm_yx == (0.5, 0.5)
    assert dock.form.saved.text().startswith("saved ")
    assert str(path) in dock.form.saved.toolTip()


def test_another_active_layer_pauses_the_placing(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    viewer.layers.selection.active = film
    assert dock.form.prompt.text().startswith("Paused")
    assert dock.form.start.isVisible()
    click(viewer, film, SPOTS["a"])
    assert positions(dock) == {}
    dock.form.start.click()
    click(viewer, film, SPOTS["a"])
    assert list(positions(dock)) == ["a"]


def test_a_removed_layer_takes_its_landmarks_off_and_undo_brings_them_back(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    before = positions(dock)
    sidecar = dock.bench.autosave.sidecar.path
    viewer.layers.remove(viewer.layers.selection.active)
    assert positions(dock) == {}
    assert dock.form.table.rows == ()
    assert "taken off with their layer" in dock.form.message.text()
    assert [p.name for p in read_landmarks(sidecar)[0].placed] == ["a"]
    dock.form.buttons["undo"].click()
    assert positions(dock) == before
    assert np.allclose(viewer.layers.selection.active.data, [before["a"]])
    dock.form.start.click()
    click(viewer, film, SPOTS["b"])
    assert list(positions(dock)) == ["a", "b"]


def test_a_layer_stays_with_its_image(dock):
    viewer = dock._viewer
    film = viewer.layers["film"]
    click(viewer, film, SPOTS["a"])
    marks = viewer.layers.selection.active
    other = viewer.add_image(textured(seed=5), name="other")
    assert dock.session.target.layer == other
    # What a program or a paste adds to the layer is about its own image.
    marks.add(SPOTS["b"])
    assert dock.session.target.layer == film
    assert positions(dock) == {**positions(dock), "b": SPOTS["b"]}
    viewer.layers.selection.active = film
    viewer.layers.selection.active = other
    assert dock.session.target.layer == other
    viewer.layers.selection.active = marks
    assert dock.session.target.layer == film
    # Without its image it is a points layer like any other.
    viewer.layers.remove(film)
    marks.add(SPOTS["c"])
    assert len(marks.data) == 3


def test_a_slice_has_its_own_landmarks(dock, qtbot):
    viewer = dock._viewer
    viewer.layers.clear()
    pixels = np.stack([textured((200, 150), seed=s) for s in range(4)])
    stack = viewer.add_image(pixels, name="stack", scale=(3, 0.5, 0.5), units="mm")
    viewer.dims.set_current_step(0, 2)
    dock.follow_list(parse_landmark_list("a,b,c"))
    dock.place()
    qtbot.wait(100)
    click(viewer, stack, (20.0, 30.0))
    marks = viewer.layers["landmarks – stack [2]"]
    assert marks.data.shape == (1, 3)
    assert marks.data[0, 0] == 2
    first = positions(dock)
    # On the next slice that layer takes nothing; the dock says what to do.
    viewer.dims.set_current_step(0, 1)
    assert positions(dock) == {}
    click(viewer, stack, (60.0, 60.0))
    assert marks.data.shape == (1, 3)
    assert dock.form.prompt.text() == "Choose a list of landmarks."
    dock.follow_list(parse_landmark_list("a,b,c"))
    dock.place()
    click(viewer, stack, (60.0, 60.0))
    assert viewer.layers["landmarks – stack [1]"].data[0, 0] == 1
    viewer.dims.set_current_step(0, 2)
    assert positions(dock) == first
    template = dock.session.use_as_template()
    assert np.array_equal(template.image.pixels, pixels[2])
    assert template.image.geometry.spacing_mm_yx == (0.5, 0.5)
