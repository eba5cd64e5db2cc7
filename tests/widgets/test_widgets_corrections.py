"""Nothing that a hand corrected is lost."""

from typing import Any

import numpy as np
import pytest
from clinic_scene import POINTS, Clinic, film, saves_to, template
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from widget_scene import PLUGIN, begin, click, drag, placed, press_key, textured, type_spacing

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.template import Template

CONTROL = Qt.KeyboardModifier.ControlModifier


# -- history and layer start from one state ----------------------------------------


@pytest.mark.parametrize("way", ["layer", "autosave", "list"])
def test_undo_after_every_way_of_starting(clinic, way):
    viewer, session = clinic.viewer, clinic.session
    image = clinic.add()
    if way == "list":
        begin(clinic.annotate)
        click(viewer, image, POINTS["a"])
    elif way == "layer":
        positions, labels = list(POINTS.values()), {"label": list(POINTS)}
        clinic.annotate.adopt(viewer.add_points(positions, features=labels, name="mine"))
    else:
        clinic.bench.go_on(Landmarks.from_positions(POINTS, "image"))
    layer = clinic.bench.layers.layer_of(session.target).layer
    for _ in range(4):
        session.undo()
        expected = list(placed(clinic).values())
        assert np.allclose(np.asarray(layer.data).reshape(-1, 2), np.reshape(expected, (-1, 2)))
    for _ in range(4):
        session.redo()
    names, then = (["a"], "b") if way == "list" else (list(POINTS), "c")
    assert list(placed(clinic)) == names
    assert list(layer.features["label"]) == names
    # And what is clicked afterwards counts.
    clinic.bench.pick(then)
    click(viewer, image, (100.0, 100.0))
    assert clinic.at(then) == pytest.approx((100.0, 100.0), abs=1.5)
    assert len(layer.data) == len(placed(clinic))


def test_a_spacing_goes_on_with_the_annotation(make_napari_viewer_proxy, npe2pm, qtbot, tmp_path):
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = film(tmp_path / "images", "image.png", 4)
    for number in range(2):
        clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
        (image,) = clinic.open(path)
        header = clinic.dock.header
        if number:
            clinic.annotate.form.offer.take.click()
            assert clinic.session.spacing.mm_yx == (0.1, 0.12)
            assert header.spacing.text() == "0.1 x 0.12"
            assert header.spacing_note.text() == ""
        else:
            type_spacing(clinic.dock, "0.1 x 0.12")
            begin(clinic.annotate)
        click(clinic.viewer, image, (50.0 + 20 * number, 50.0))
        (saved,) = read_landmarks(tmp_path / "images" / "image.png.landmarks.csv")
        assert len(saved.placed) == number + 1
        assert saved.geometry.spacing_mm_yx == (0.1, 0.12)
        clinic.viewer.close()


# -- a correction wins -------------------------------------------------------------


def test_a_correction_outlives_every_detection_until_it_is_reset(clinic, tmp_path, monkeypatch):
    form = clinic.detect.form
    clinic.fake.unsure = ("a", "b")
    image = clinic.detected()
    assert clinic.rows()["a"] == ("1.00", "unsure")
    drag(clinic.viewer, image, clinic.at("a"), (100.0, 60.0))
    moved = clinic.at("a")
    assert moved == pytest.approx((100.0, 60.0), abs=2)
    point = clinic.session.annotation.landmarks["a"]
    assert (point.source, point.score, point.unsure) == (Source.CORRECTED, None, False)
    assert clinic.rows()["a"] == ("", "corrected")
    shown = clinic.marks.features.set_index("label").loc["a"]
    assert shown["source"] == "corrected"
    assert not shown["unsure"]
    assert np.isnan(shown["score"])
    # Another detection, with other points.
    clinic.fake.shift_yx = (-5.0, 6.0)
    clinic.run(form.here)
    assert clinic.at("a") == moved
    assert clinic.at("b") == (55.0, 126.0)
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    assert "2 detected, 1 corrected" in form.message.text()
    (saved,) = read_landmarks(tmp_path / "all.csv")
    assert saved["a"].position_yx == pytest.approx(moved)
    assert saved["b"].position_yx == (55.0, 126.0)
    # Reset, and it is where the last detection found it; undo takes that back.
    clinic.bench.look_for("a")
    form.reset_point.click()
    assert clinic.at("a") == (25.0, 46.0)
    assert clinic.source("a") is Source.DETECTED
    form.undo.click()
    assert clinic.at("a") == moved
    form.redo.click()
    assert clinic.source("a") is Source.DETECTED


def test_a_point_that_was_taken_off_does_not_come_back(clinic):
    viewer = clinic.viewer
    image = clinic.detected()
    click(viewer, image, clinic.at("b"))
    press_key(viewer, Qt.Key.Key_Delete)
    assert clinic.at("b") is None
    assert clinic.rows()["b"] == ("", "taken off")
    assert len(clinic.marks.data) == 2
    clinic.run(clinic.detect.form.here)
    assert clinic.at("b") is None
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    assert clinic.source("b") is Source.DETECTED
    assert len(clinic.marks.data) == 3


def test_corrections_are_on_disk_at_once_and_detections_are_not(clinic, tmp_path):
    session, folder = clinic.session, tmp_path / "images"
    session.load_template(template())
    clinic.open(*(film(folder, f"{n}.png", n) for n in range(3)))
    clinic.run(clinic.detect.form.everywhere)
    assert not list(folder.glob("*.csv"))
    drag(clinic.viewer, session.target.layer, clinic.at("c"), (120.0, 100.0))
    (sidecar,) = folder.glob("*.csv")
    assert sidecar.name == "2.png.landmarks.csv"
    (saved,) = read_landmarks(sidecar)
    assert saved["c"].position_yx == clinic.at("c")
    assert {la.image for la in session.unsaved()} == {"0.png", "1.png"}


# -- the table follows -------------------------------------------------------------


def test_the_table_follows_deleted_points_and_layers(clinic):
    form = clinic.detect.form
    clinic.detected()
    layer = clinic.marks
    layer.selected_data = {0}
    layer.remove_selected()
    assert clinic.rows()["a"] == ("", "taken off")
    clinic.viewer.layers.remove(layer)
    assert clinic.rows() == {}
    assert not form.save.isEnabled()
    assert "taken off with their layer" in form.message.text()
    clinic.qtbot.wait(20)
    form.undo.click()
    assert clinic.rows()["b"][1] == "detected"
    assert len(clinic.marks.data) == 2
    assert form.save.isEnabled()


def remove_all(clinic: Any) -> None:
    clinic.viewer.layers.select_all()
    clinic.viewer.layers.remove_selected()
    clinic.qtbot.wait(20)


def test_results_of_a_removed_image_are_kept_and_come_back(clinic, tmp_path, monkeypatch):
    layers, form = clinic.viewer.layers, clinic.detect.form
    clinic.session.load_template(template())
    path = film(tmp_path / "images", "one.png", 5)
    (one,) = clinic.open(path)
    clinic.run(form.here)
    clinic.add(6, "two")
    clinic.run(form.here)
    layers.remove(one)
    clinic.qtbot.wait(20)
    assert not layers["found – one.png"].visible
    assert "1 image that you removed" in form.removed.text()
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    assert {la.image for la in read_landmarks(tmp_path / "all.csv")} == {"one.png", "two"}
    assert "1 image removed meanwhile" in form.message.text()
    clinic.open(path)
    assert len(clinic.rows()) == 3
    assert clinic.marks == layers["found – one.png"]
    assert clinic.marks.visible
    assert len(clinic.marks.data) == 3
    assert form.removed.text() == ""
    # All at once, points and images: nothing is lost either.
    remove_all(clinic)
    assert len(clinic.session.removed.results()) == 2
    form.removed.linkActivated.emit("drop")
    assert clinic.session.removed.results() == []
    assert not form.save.isEnabled()


def test_results_of_a_file_are_worked_on(clinic, tmp_path, monkeypatch):
    form, table = clinic.detect.form, tmp_path / "images" / "found.csv"
    clinic.session.load_template(template())
    paths = [film(table.parent, f"{n}.png", n) for n in range(2)]
    clinic.open(*paths)
    clinic.run(form.everywhere)
    saves_to(monkeypatch, table)
    form.save.click()
    remove_all(clinic)
    clinic.session.removed.drop()
    clinic.open(*paths)
    clinic.viewer.open(table, plugin=PLUGIN)
    assert len(clinic.rows()) == 3
    assert form.save.isEnabled()
    assert form.save.text() == "Save all (2)…"
    assert clinic.session.unsaved() == []
    assert len([la for la in clinic.viewer.layers if la.name.startswith("found")]) == 2
    clinic.qtbot.wait(60)
    drag(clinic.viewer, clinic.session.target.layer, clinic.at("a"), (100.0, 100.0))
    assert clinic.source("a") is Source.CORRECTED
    form.save.click()
    saved = {la.image: la for la in read_landmarks(table)}
    assert saved["1.png"]["a"].position_yx == clinic.at("a")
    assert saved["0.png"]["a"].position_yx == (33.0, 38.0)


def test_what_is_undecided_on_the_template_is_not_called_absent(clinic):
    states = (Landmark("d", None, State.SKIPPED), Landmark("e", None, State.ABSENT))
    marks = Landmarks((*Landmarks.from_positions(POINTS).points, *states), "t.png")
    image = GrayImage.from_array(textured(), 0.5, "t.png")
    clinic.session.load_template(Template.create(image, marks, "t"))
    clinic.add()
    clinic.run(clinic.detect.form.here)
    assert clinic.rows()["d"] == ("", "–")
    assert clinic.rows()["e"] == ("", "absent")


def test_napari_s_own_add_mode_makes_no_second_landmark(clinic):
    image = clinic.detected()
    clinic.marks.mode = "add"
    click(clinic.viewer, image, (200.0, 20.0))
    assert list(clinic.marks.features["label"]) == ["a", "b", "c"]
    assert "Every landmark is decided" in clinic.detect.form.message.text()


def test_one_image_s_markups_are_saved_from_several_results(clinic, tmp_path, monkeypatch):
    form = clinic.detect.form
    clinic.session.load_template(template())
    for number in range(2):
        clinic.add(number, f"{number}.png", scale=(0.1, 0.1), units="mm")
    clinic.run(form.everywhere)
    saves_to(monkeypatch, tmp_path / "one.mrk.json")
    form.save_this.click()
    (saved,) = read_landmarks(tmp_path / "one.mrk.json")
    assert len(saved.placed) == 3
    saves_to(monkeypatch, tmp_path / "each.mrk.json")
    form.save.click()
    files = sorted(p.name for p in (tmp_path / "each").iterdir())
    assert files == ["0.mrk.json", "1.mrk.json"]
    assert str(tmp_path / "each") in form.message.text()
