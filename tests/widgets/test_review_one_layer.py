"""One image layer and one points layer show all images of a project: never the wrong one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from clinic_scene import POINTS, Clinic, film, show, template
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from widget_scene import drag, press_key

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.widgets.layers.image_view import ImageView

KEY = Qt.Key


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot, tmp_path):
    """A window with a project of three images; points were found on the first two."""
    paths = [film(tmp_path / "images", f"image_{n}.png", seed=n) for n in range(3)]
    with Project.create(tmp_path / "study", template(), paths) as project:
        for image in project.images[:2]:
            found = Landmarks.from_positions(POINTS, image.name)
            found = found.with_geometry(project.read(image.id).geometry).with_points(
                Landmark(
                    p.name,
                    p.position_yx,
                    score=0.9,
                    source=Source.DETECTED,
                    shape_residual_mm=0.1 + 80 * (p.name == "c"),
                )
                for p in found
            )
            project.record(image.id, found, action="detect", detected=found)
        project.set_spacing((0.3, 0.2), [project.images[1].id])
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    clinic.project.open(tmp_path / "study")
    yield clinic
    clinic.project.close_project()


def layer(clinic, kind):
    (found,) = [layer for layer in clinic.viewer.layers if isinstance(layer, kind)]
    return found


def work(clinic, key):
    return Project.open(clinic.project.images.project.folder).work(key)


def test_the_same_layers_show_every_image_as_its_own_would(clinic, tmp_path):
    show(clinic, 0)
    image, points = layer(clinic, Image), layer(clinic, Points)
    image.translate, image.gamma = (5, 7), 0.7
    image.contrast_limits = (90, 100)
    views = [ImageView(image)]
    for number in (1, 2, 0, 1):
        key = show(clinic, number)
        assert (layer(clinic, Image), layer(clinic, Points)) == (image, points)
        pixels = Project.open(tmp_path / "study").read(key).pixels
        assert np.array_equal(image.data, pixels)
        assert tuple(image.contrast_limits) == (pixels.min(), pixels.max())
        assert image.name == clinic.session.target.image_name == f"image_{number}.png"
        assert clinic.dock.header.chooser.currentText() == image.name
        assert tuple(image.scale) == ((0.3, 0.2) if number == 1 else (1, 1))
        assert tuple(image.translate) == (0, 0)
        assert image.gamma == 0.7
        assert str(image.units[0]) == ("millimeter" if number == 1 else "pixel")
        assert np.array_equal(points.data_to_world((3, 4)), image.data_to_world((3, 4)))
        assert len(points.data) == (0 if number == 2 else len(POINTS))
        assert (f"image_{number}.png" in points.name) or number == 2
        assert clinic.session.spacing.mm_yx == ((0.3, 0.2) if number == 1 else None)
        views.append(ImageView(image))
    assert len({view.key for view in views}) == 3
    assert [view.is_shown_in(clinic.viewer) for view in views] == [False, True, False, False, True]


def test_a_detection_that_comes_late_is_kept_by_its_own_image(clinic):
    first = show(clinic, 0)
    clinic.fake.gate = threading.Semaphore(0)
    clinic.fake.shift_yx = (11.0, 13.0)
    with clinic.qtbot.waitSignal(clinic.detect.finished, timeout=20_000):
        clinic.detect.form.here.click()
        second = show(clinic, 1)
        clinic.fake.gate.release(10)
    y, x = POINTS["a"]
    assert clinic.at("a") == (y, x)
    assert work(clinic, second).landmarks["a"].position_yx == (y, x)
    assert work(clinic, first).landmarks["a"].position_yx == (y + 11, x + 13)
    show(clinic, 0)
    assert clinic.at("a") == (y + 11, x + 13)
    assert len(layer(clinic, Points).data) == len(POINTS)


def test_points_that_one_correction_moves_are_those_of_its_image(clinic):
    clinic.review.form.move_others.setChecked(True)
    show(clinic, 0)
    clinic.fake.gate = threading.Semaphore(0)
    clinic.bench.look_for("a")
    press_key(clinic.viewer, KEY.Key_Right)
    clinic.qtbot.waitUntil(lambda: clinic.review.settle.running, timeout=5_000)
    second = show(clinic, 1)
    clinic.fake.gate.release(10)
    clinic.qtbot.waitUntil(lambda: not clinic.review.settle.waiting, timeout=10_000)
    clinic.qtbot.wait(20)
    assert {name: clinic.at(name) for name in POINTS} == POINTS
    assert [edit.action for edit in work(clinic, second).edits] == ["detect"]


def test_undo_and_a_drag_are_those_of_the_image_that_is_shown(clinic):
    first = show(clinic, 0)
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)
    moved = clinic.at("b")
    second = show(clinic, 1)
    y, x = clinic.at("b")
    press_key(clinic.viewer, KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert clinic.at("b") == (y, x)
    drag(clinic.viewer, layer(clinic, Points), (y, x), (y + 15, x))
    assert clinic.at("b")[0] > y + 10
    assert work(clinic, first).landmarks["b"].position_yx == moved
    show(clinic, 0)
    assert clinic.at("b") == moved
    press_key(clinic.viewer, KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert clinic.at("b") == POINTS["b"]
    assert work(clinic, second).landmarks["b"].position_yx[0] > y + 10


def test_points_stay_on_an_image_that_is_turned(clinic):
    show(clinic, 0)
    image, points = layer(clinic, Image), layer(clinic, Points)
    image.rotate = 30
    image.scale = (2, 2)
    assert np.allclose(points.data_to_world((3, 4)), image.data_to_world((3, 4)))
    show(clinic, 1)
    assert np.allclose(image.rotate, np.eye(2))
    assert np.allclose(points.data_to_world((3, 4)), image.data_to_world((3, 4)))


def test_keys_work_whatever_is_selected_and_end_with_the_dock(clinic):
    show(clinic, 0)
    clinic.viewer.layers.selection.active = layer(clinic, Image)
    press_key(clinic.viewer, KEY.Key_U)
    # Not unsure, but far from where the others expect it.
    assert clinic.session.annotation.current == "c"
    clinic.viewer.layers.selection.active = layer(clinic, Image)
    press_key(clinic.viewer, KEY.Key_Right)
    assert clinic.at("c") == (POINTS["c"][0], POINTS["c"][1] + 1)
    # napari has this key for its image layers, too.
    clinic.viewer.layers.selection.active = layer(clinic, Image)
    press_key(clinic.viewer, KEY.Key_X)
    assert clinic.at("c") is None
    shown = []
    for _ in range(3):
        clinic.viewer.layers.selection = set()
        press_key(clinic.viewer, KEY.Key_PageDown)
        shown.append(clinic.session.target.image_name)
    assert sorted(shown) == [f"image_{number}.png" for number in range(3)]
    own = dict(clinic.viewer.keymap)
    # napari steps through a stack with the arrows.
    stack = clinic.viewer.add_labels(np.zeros((2, 8, 8), dtype=int))
    assert len(clinic.viewer.keymap) == len(own) - 8
    clinic.viewer.layers.remove(stack)
    assert set(clinic.viewer.keymap) == set(own)
    clinic.project.close_project()
    clinic.viewer.window.remove_dock_widget("all")
    clinic.dock.deleteLater()
    clinic.qtbot.waitUntil(lambda: not clinic.viewer.keymap, timeout=5_000)
