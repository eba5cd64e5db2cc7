"""Faults that random actions have found, each in a few steps."""

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from widget_scene import PLUGIN, FakeDetectors, begin, placed, press_key, textured, type_spacing

from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.layers import points, style

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any, plugin: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1100, 800)
    return viewer


@pytest.fixture
def dock(viewer: Any) -> OneshotDock:
    dock = OneshotDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    dock.steps["Detect"].run._make = FakeDetectors()
    return dock


@pytest.fixture
def image(viewer: Any) -> Any:
    return viewer.add_image(textured(), name="image")


def start(dock: OneshotDock, *positions: tuple[float, ...]) -> Any:
    """Place a, b, c; return their layer."""
    return begin(dock.steps["Annotate"], "a,b,c", *positions)


def marks(dock: OneshotDock) -> Any:
    return dock.steps["Detect"].bench.placing.layer


def record(layer: Any) -> Landmarks:
    """The landmarks that a points layer holds."""
    return points.from_layer(layer.data, {"features": layer.features, "metadata": layer.metadata})


def found(path: Path, image: str) -> Path:
    point = Landmark("a", (40.0, 30.0), score=0.5, source=Source.DETECTED)
    write_landmarks(path, [Landmarks((point,), image)])
    return path


def test_a_layer_without_points_is_a_set_without_positions():
    empty = Landmarks((Landmark("a", None, "skipped"),), "image")
    look = style.landmark_style(empty, points.placed_yx(empty))
    attributes = {"features": look["features"], "metadata": look["metadata"]}
    assert points.from_layer(look["data"], attributes).points == empty.points


def test_pasted_points_become_landmarks(viewer, dock, image):
    layer = start(dock, (20, 30))
    layer.selected_data = {0}
    press_key(viewer, Qt.Key.Key_C, CONTROL)
    press_key(viewer, Qt.Key.Key_V, CONTROL)
    assert placed(dock) == {"a": (20, 30), "b": (20, 30)}
    assert list(layer.features["label"]) == ["a", "b"]


def test_after_an_image_is_selected_a_drag_does_not_pan(viewer, dock):
    one = viewer.add_image(textured(), name="one")
    start(dock, (20, 30), (40, 50), (60, 70)).mode = "select"
    viewer.add_image(textured(seed=2), name="two")
    viewer.layers.selection.active = one
    QApplication.processEvents()
    assert viewer.layers.selection.active == marks(dock)
    assert not marks(dock).mouse_pan
    assert not viewer.scene.camera.mouse_pan


def test_results_of_a_second_layer_of_a_name(viewer, dock, image, tmp_path):
    second = viewer.add_image(textured(seed=2), name="image", scale=(0.5, 0.5))
    assert second.name == "image [1]"
    viewer.open(found(tmp_path / "found.csv", second.name), plugin=PLUGIN)
    assert dock.session.target.layer == second
    # In its pixels, whatever its scale.
    assert placed(dock) == {"a": (40, 30)}


def test_results_do_not_go_to_one_of_two_images_of_a_name(viewer, dock, tmp_path):
    for number, folder in enumerate(("one", "two"), start=1):
        (tmp_path / folder).mkdir()
        pixels = (100 + 20 * textured(seed=number)).astype(np.uint8)
        imageio.imwrite(tmp_path / folder / "img.png", pixels)
        viewer.open(tmp_path / folder / "img.png", plugin="napari")
    (tmp_path / "results").mkdir()
    viewer.open(found(tmp_path / "results" / "found.csv", "img.png"), plugin=PLUGIN)
    for layer in dock.header._choice.images:
        viewer.layers.selection.active = layer
        assert placed(dock) == {}
    # Beside one of them, it is that one's.
    viewer.open(found(tmp_path / "one" / "found.csv", "img.png"), plugin=PLUGIN)
    assert Path(dock.session.target.layer.source.path).parent.name == "one"
    assert placed(dock) == {"a": (40, 30)}


def test_results_for_a_list_that_was_begun_are_shown_once(viewer, dock, image, tmp_path):
    own = start(dock)
    viewer.add_image(textured(seed=2), name="other")
    (layer,) = viewer.open(found(tmp_path / "found.csv", "image"), plugin=PLUGIN)
    QApplication.processEvents()
    assert dock.session.target.layer == image
    assert placed(dock) == {"a": (40, 30)}
    assert marks(dock) == own
    assert not layer.visible


def test_taken_off_landmarks_stay_off(viewer, dock, image, tmp_path):
    start(dock)
    viewer.open(found(tmp_path / "found.csv", "image"), plugin=PLUGIN)
    QApplication.processEvents()
    viewer.layers.remove(marks(dock))
    assert placed(dock) == {}
    viewer.add_image(textured(seed=2), name="other")
    viewer.layers.selection.active = image
    assert placed(dock) == {}


def test_another_name_is_the_same_image(viewer, dock, image):
    start(dock, (20, 30))
    path = dock.steps["Annotate"].bench.autosave.sidecar.path
    image.name = "patient 7"
    viewer.layers.remove(image)
    QApplication.processEvents()
    viewer.add_image(textured(), name="image again")
    assert placed(dock) == {"a": (20, 30)}
    # It goes on in the same file, also when a person's word is taken back.
    marks(dock).add((50, 60))
    (saved,) = read_landmarks(path)
    assert [p.name for p in saved.placed] == ["a", "b"]
    assert len(list(path.parent.glob("*.csv"))) == 1


def test_image_and_points_removed_in_one_go_keep_their_history(viewer, dock, image):
    layer = start(dock, (20, 30), (40, 50))
    dock.session.undo()
    viewer.layers.selection.clear()
    viewer.layers.selection.update({image, layer})
    viewer.layers.remove_selected()
    QApplication.processEvents()
    viewer.add_image(textured(), name="image")
    assert list(placed(dock)) == ["a"]
    dock.session.redo()
    assert list(placed(dock)) == ["a", "b"]


def test_a_typed_spacing_reaches_the_files_of_all_slices(viewer, dock):
    pixels = np.stack([textured(seed=n) for n in range(2)])
    viewer.add_image(pixels, name="stack")
    paths = []
    for number in range(2):
        viewer.dims.set_current_step(0, number)
        start(dock, (number, 20, 30))
        paths.append(dock.steps["Annotate"].bench.autosave.sidecar.path)
    type_spacing(dock, "0.1")
    for path in paths:
        assert read_landmarks(path)[0].geometry.spacing_mm_yx == (0.1, 0.1)


def test_landmarks_of_another_image_do_not_bring_its_spacing(viewer, dock):
    viewer.add_image(textured(), name="one")
    dock.session.set_spacing(0.1)
    theirs = start(dock, (20, 30))
    viewer.add_image(textured(seed=2), name="two")
    dock.steps["Annotate"].adopt(theirs)
    assert placed(dock) == {"a": (20, 30)}
    assert dock.session.spacing.mm_yx is None


def test_a_hidden_layer_follows_an_undo(dock, image):
    layer = start(dock, (20, 30), (40, 50))
    layer.visible = False
    for _ in range(3):
        dock.session.undo()
    assert len(layer.data) == 0
    assert record(layer).points == ()


def test_an_undo_that_changes_nothing_is_told_in_both_tabs(dock, image):
    start(dock)
    dock.steps["Annotate"].follow_list(parse_landmark_list("a\nb\nc"))
    dock.steps["Detect"].form.undo.click()
    assert dock.steps["Annotate"].form.buttons["redo"].isEnabled()


def test_a_slice_is_turned_to_with_its_landmarks(viewer, dock):
    stack = viewer.add_image(np.stack([textured()] * 2), name="stack")
    theirs = start(dock, (0, 20, 30))
    viewer.add_image(textured(seed=2), name="image")
    viewer.layers.selection.active = theirs
    assert dock.session.target.layer == stack


def test_images_that_were_moved_can_be_removed(viewer, dock, qtbot):
    # napari alone ends the process here, where software draws.
    viewer.add_image(textured(), name="one")
    two = viewer.add_image(textured(seed=2), name="two")
    QApplication.processEvents()
    viewer.layers.move(1, 0)
    qtbot.wait(50)
    viewer.layers.remove(two)
    qtbot.wait(50)
    viewer.add_image(textured((100, 120), seed=3), name="three")
    qtbot.wait(100)
    assert len(viewer.layers) == 2
