"""Nothing that a hand corrected is lost, and nothing is done to the wrong film."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from clinic_scene import PLUGIN, POINTS, Clinic, film, saves_to, template
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from widget_scene import click, drag, press_key, textured

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets.annotate import close_question
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.layers.points import METADATA

CONTROL = Qt.KeyboardModifier.ControlModifier


# -- history and layer start from one state ----------------------------------------


@pytest.mark.parametrize("way", ["layer", "autosave", "list"])
def test_undo_after_every_way_of_starting(clinic, way):
    viewer, session = clinic.viewer, clinic.session
    image = viewer.add_image(textured(seed=3), name="film")
    if way == "list":
        clinic.annotate.follow_list(parse_landmark_list("a,b,c"))
        clinic.annotate.place()
        click(viewer, image, POINTS["a"])
    elif way == "layer":
        marks = viewer.add_points(
            list(POINTS.values()), features={"label": list(POINTS)}, name="mine"
        )
        clinic.annotate.adopt(marks)
    else:
        made = Landmarks.from_positions(POINTS, "film")
        clinic.bench.go_on(made)
    layer = clinic.bench.layers.layer_of(session.target).layer
    for _ in range(4):
        session.undo()
        expected = [p.position_yx for p in session.annotation.landmarks.placed]
        assert np.allclose(np.asarray(layer.data).reshape(-1, 2), np.reshape(expected, (-1, 2)))
    for _ in range(4):
        session.redo()
    placed = [p.name for p in session.annotation.landmarks.placed]
    assert placed == (["a"] if way == "list" else list(POINTS))
    assert list(layer.features["label"]) == placed
    # And what is clicked afterwards counts.
    clinic.bench.pick("b" if way == "list" else "c")
    click(viewer, image, (100.0, 100.0))
    name = "b" if way == "list" else "c"
    assert clinic.at(name) == pytest.approx((100.0, 100.0), abs=1.5)
    assert len(layer.data) == len(session.annotation.landmarks.placed)


def test_a_spacing_goes_on_with_the_annotation(make_napari_viewer_proxy, npe2pm, qtbot, tmp_path):
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = film(tmp_path / "films", "film.png", 4)
    for number in range(2):
        clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
        (image,) = clinic.viewer.open(path, plugin="napari")
        header, form = clinic.dock.header, clinic.annotate.form
        if number:
            form.offer.take.click()
            assert clinic.session.spacing.mm_yx == (0.1, 0.12)
            assert header.spacing.text() == "0.1 x 0.12"
            assert header.spacing_note.text() == ""
        else:
            header.spacing.setText("0.1 x 0.12")
            header.spacing.editingFinished.emit()
            clinic.annotate.follow_list(parse_landmark_list("a,b,c"))
            clinic.annotate.place()
        click(clinic.viewer, image, (50.0 + 20 * number, 50.0))
        (saved,) = read_landmarks(tmp_path / "films" / "film.png.landmarks.csv")
        assert len(saved.placed) == number + 1
        assert saved.geometry.spacing_mm_yx == (0.1, 0.12)
        clinic.viewer.close()


def test_a_wrong_spacing_is_forgotten_after_a_right_one(clinic):
    clinic.viewer.add_image(textured(seed=3), name="film", scale=(0.2, 0.2))
    header = clinic.dock.header
    for right in ("0.2", "0.3"):
        header.spacing.setText("abc")
        header.spacing.editingFinished.emit()
        assert header.spacing_note.text().startswith("not a spacing")
        header.spacing.setText(right)
        header.spacing.editingFinished.emit()
        assert not header.spacing_note.text().startswith("not a spacing")


# -- the right film ----------------------------------------------------------------


def shown_images(viewer: Any) -> list[str]:
    return [la.name for la in viewer.layers if la._type_string == "image" and la.visible]


@pytest.mark.parametrize("way", ["combo", "list", "marks", "eye"])
def test_the_film_in_the_dock_is_the_one_on_the_canvas(clinic, way):
    viewer, session = clinic.viewer, clinic.session
    session.load_template(template())
    films = [viewer.add_image(textured(seed=s), name=f"film {s}") for s in range(4, 7)]
    clinic.run(clinic.detect.form.everywhere)
    for chosen in (films[0], films[2], films[1], films[0]):
        if way == "combo":
            clinic.dock.header.chooser.activated.emit(films.index(chosen))
        elif way == "list":
            viewer.layers.selection.active = chosen
        elif way == "marks":
            viewer.layers.selection.active = viewer.layers[f"found – {chosen.name}"]
        else:
            chosen.visible = True
        assert session.target.layer == chosen
        assert clinic.dock.header.chooser.currentText() == chosen.name
        assert shown_images(viewer) == [chosen.name]
        assert viewer.layers.selection.active.name == f"found – {chosen.name}"
        marks = [la for la in viewer.layers if la.name.startswith("found")]
        assert [la.name for la in marks if la.visible] == [f"found – {chosen.name}"]
        assert session.blocking_reason == ""
        # What is dragged now is this film's.
        clinic.qtbot.wait(60)
        before = clinic.at("a")
        drag(viewer, chosen, before, (before[0] + 20, before[1] + 30))
        assert clinic.at("a") != before
        assert clinic.source("a") is Source.CORRECTED
    sets = [session.annotation_of(session.target_of((f.unique_id, ()))) for f in films]
    assert [s.landmarks["a"].source for s in sets] == [Source.CORRECTED] * 3


def test_no_click_is_taken_where_another_film_is_shown(clinic):
    viewer, session = clinic.viewer, clinic.session
    below = viewer.add_image(textured(seed=4), name="005")
    above = viewer.add_image(textured(seed=5), name="020")
    clinic.dock.header.chooser.activated.emit(0)
    clinic.annotate.follow_list(parse_landmark_list("a,b,c"))
    clinic.annotate.place()
    assert clinic.dock.header.only_this.isChecked()
    clinic.dock.header.only_this.setChecked(False)
    above.visible = True
    viewer.layers.move(viewer.layers.index(above), len(viewer.layers))
    said = clinic.annotate.form.prompt.text()
    assert "“020” lies over “005”" in said
    assert said == clinic.dock.header.blocking_reason.text() == session.blocking_reason
    click(viewer, below, (50.0, 60.0))
    assert session.annotation.landmarks.placed == ()
    assert not len(clinic.bench.placing.layer.data)
    # Half transparent, both are seen: what is meant can be seen in the dock.
    above.opacity = 0.5
    assert session.blocking_reason == ""
    above.opacity = 1.0
    below.visible = False
    above.visible = False
    assert "“005” is hidden" in session.blocking_reason
    click(viewer, below, (50.0, 60.0))
    assert session.annotation.landmarks.placed == ()
    below.visible = True
    click(viewer, below, (50.0, 60.0))
    assert [p.name for p in session.annotation.landmarks.placed] == ["a"]


def test_a_layer_of_another_film_is_not_taken(clinic):
    viewer, session = clinic.viewer, clinic.session
    session.load_template(template())
    one = viewer.add_image(textured(seed=4), name="one")
    clinic.run(clinic.detect.form.here)
    marks = viewer.layers["found – one"]
    before = np.array(marks.data)
    two = viewer.add_image(textured(seed=5), name="two")
    clinic.annotate.adopt(marks)
    assert marks.name == "found – one"
    assert clinic.bench.layers.target_of(marks).layer == one
    mine = clinic.bench.layers.layer_of(session.target).layer
    assert mine is not marks
    assert session.target.layer == two
    click(viewer, two, (20.0, 20.0))
    clinic.bench.pick("a")
    click(viewer, two, (20.0, 20.0))
    assert np.array_equal(marks.data, before)
    assert clinic.at("a") == pytest.approx((20.0, 20.0), abs=1.5)


# -- a correction wins -------------------------------------------------------------


def test_a_correction_outlives_every_detection_until_it_is_reset(clinic, tmp_path, monkeypatch):
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.fake.unsure = ("a", "b")
    clinic.session.load_template(template())
    image = viewer.add_image(textured(seed=4), name="film")
    clinic.run(form.here)
    assert clinic.rows()["a"] == ("1.00", "unsure")
    first = clinic.at("a")
    drag(viewer, image, first, (100.0, 60.0))
    moved = clinic.at("a")
    assert moved == pytest.approx((100.0, 60.0), abs=2)
    point = clinic.session.annotation.landmarks["a"]
    assert (point.source, point.score, point.unsure) == (Source.CORRECTED, None, False)
    assert clinic.rows()["a"] == ("", "corrected")
    layer = clinic.bench.placing.layer
    row = list(layer.features["label"]).index("a")
    assert layer.features["source"].iloc[row] == "corrected"
    assert not layer.features["unsure"].iloc[row]
    assert np.isnan(layer.features["score"].iloc[row])
    # Another detection, with other points.
    clinic.fake.shift_yx = (-5.0, 6.0)
    clinic.run(form.here)
    assert clinic.at("a") == moved
    assert clinic.at("b") == (55.0, 126.0)
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    text = form.message.text()
    assert "2 detected, 1 corrected" in text
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
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.session.load_template(template())
    image = viewer.add_image(textured(seed=4), name="film")
    clinic.run(form.here)
    click(viewer, image, clinic.at("b"))
    press_key(viewer, Qt.Key.Key_Delete)
    assert clinic.at("b") is None
    assert clinic.rows()["b"] == ("", "taken off")
    assert len(clinic.bench.placing.layer.data) == 2
    clinic.run(form.here)
    assert clinic.at("b") is None
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    assert clinic.source("b") is Source.DETECTED
    assert len(clinic.bench.placing.layer.data) == 3


def test_corrections_are_on_disk_at_once_and_detections_are_not(clinic, tmp_path):
    viewer, session = clinic.viewer, clinic.session
    session.load_template(template())
    paths = [film(tmp_path / "films", f"{n}.png", n) for n in range(3)]
    for path in paths:
        viewer.open(path, plugin="napari")
    clinic.run(clinic.detect.form.everywhere)
    assert not list((tmp_path / "films").glob("*.csv"))
    image = session.target.layer
    drag(viewer, image, clinic.at("c"), (120.0, 100.0))
    (sidecar,) = (tmp_path / "films").glob("*.csv")
    assert sidecar.name == "2.png.landmarks.csv"
    (saved,) = read_landmarks(sidecar)
    assert saved["c"].position_yx == clinic.at("c")
    assert {la.image for la in session.unsaved()} == {"0.png", "1.png"}


# -- the table follows -------------------------------------------------------------


def test_the_table_follows_deleted_points_and_layers(clinic):
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.session.load_template(template())
    viewer.add_image(textured(seed=4), name="film")
    clinic.run(form.here)
    layer = clinic.bench.placing.layer
    layer.selected_data = {0}
    layer.remove_selected()
    assert clinic.rows()["a"] == ("", "taken off")
    viewer.layers.remove(layer)
    assert clinic.rows() == {}
    assert not form.save.isEnabled()
    assert "taken off with their layer" in form.message.text()
    clinic.qtbot.wait(20)
    form.undo.click()
    assert clinic.rows()["b"][1] == "detected"
    assert len(clinic.bench.placing.layer.data) == 2
    assert form.save.isEnabled()


def test_results_of_a_removed_image_are_kept_and_come_back(clinic, tmp_path, monkeypatch):
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.session.load_template(template())
    path = film(tmp_path / "films", "one.png", 5)
    (one,) = viewer.open(path, plugin="napari")
    clinic.run(form.here)
    viewer.add_image(textured(seed=6), name="two")
    clinic.run(form.here)
    viewer.layers.remove(one)
    clinic.qtbot.wait(20)
    assert not viewer.layers["found – one.png"].visible
    assert "1 image that you removed" in form.removed.text()
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    assert {la.image for la in read_landmarks(tmp_path / "all.csv")} == {"one.png", "two"}
    assert "1 image removed meanwhile" in form.message.text()
    viewer.open(path, plugin="napari")
    assert len(clinic.rows()) == 3
    assert clinic.bench.placing.layer == viewer.layers["found – one.png"]
    assert viewer.layers["found – one.png"].visible
    assert len(clinic.bench.placing.layer.data) == 3
    assert form.removed.text() == ""
    # All at once, points and images: nothing is lost either.
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    clinic.qtbot.wait(20)
    assert len(clinic.session.removed.results()) == 2
    form.removed.linkActivated.emit("drop")
    assert clinic.session.removed.results() == []
    assert not form.save.isEnabled()


def test_results_of_a_file_are_worked_on(clinic, tmp_path, monkeypatch):
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.session.load_template(template())
    paths = [film(tmp_path / "films", f"{n}.png", n) for n in range(2)]
    for path in paths:
        viewer.open(path, plugin="napari")
    clinic.run(form.everywhere)
    table = tmp_path / "films" / "found.csv"
    saves_to(monkeypatch, table)
    form.save.click()
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    clinic.qtbot.wait(20)
    clinic.session.removed.drop()
    for path in paths:
        viewer.open(path, plugin="napari")
    viewer.open(table, plugin=PLUGIN)
    assert len(clinic.rows()) == 3
    assert form.save.isEnabled()
    assert form.save.text() == "Save all (2)…"
    assert clinic.session.unsaved() == []
    assert len([la for la in viewer.layers if la.name.startswith("found")]) == 2
    clinic.qtbot.wait(60)
    drag(viewer, clinic.session.target.layer, clinic.at("a"), (100.0, 100.0))
    assert clinic.source("a") is Source.CORRECTED
    form.save.click()
    saved = {la.image: la for la in read_landmarks(table)}
    assert saved["1.png"]["a"].position_yx == clinic.at("a")
    assert saved["0.png"]["a"].position_yx == (33.0, 38.0)


def test_what_is_undecided_on_the_template_is_not_called_absent(clinic):
    open_one = Landmark("d", None, State.SKIPPED)
    gone = Landmark("e", None, State.ABSENT)
    marks = Landmarks.from_positions(POINTS, "t.png")
    image = GrayImage.from_array(textured(), 0.5, "t.png")
    marks = marks.with_landmark(open_one).with_landmark(gone)
    clinic.session.load_template(Template.create(image, marks, "t"))
    clinic.viewer.add_image(textured(seed=4), name="film")
    clinic.run(clinic.detect.form.here)
    assert clinic.rows()["d"] == ("", "–")
    assert clinic.rows()["e"] == ("", "absent")


def test_napari_s_own_add_mode_makes_no_second_landmark(clinic):
    viewer = clinic.viewer
    clinic.session.load_template(template())
    image = viewer.add_image(textured(seed=4), name="film")
    clinic.run(clinic.detect.form.here)
    layer = clinic.bench.placing.layer
    layer.mode = "add"
    click(viewer, image, (200.0, 20.0))
    assert list(layer.features["label"]) == ["a", "b", "c"]
    assert "Every landmark is decided" in clinic.detect.form.message.text()


def test_all_images_are_all_but_the_template(clinic, tmp_path):
    viewer, form = clinic.viewer, clinic.detect.form
    pixels = textured(seed=9)
    viewer.add_image(pixels, name="template")
    viewer.add_image(textured(seed=4), name="film")
    template(pixels).save(tmp_path / "t.template")
    clinic.detect.load_template(tmp_path / "t.template")
    assert form.everywhere.text() == "Detect on all images (1)"


def test_one_film_s_markups_are_saved_from_several_results(clinic, tmp_path, monkeypatch):
    viewer, form = clinic.viewer, clinic.detect.form
    clinic.session.load_template(template())
    for number in range(2):
        viewer.add_image(textured(seed=number), name=f"{number}.png", scale=(0.1, 0.1), units="mm")
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


def test_prompts_say_what_holds_clicks_up(clinic):
    viewer, prompt = clinic.viewer, clinic.annotate.form.prompt
    image = viewer.add_image(textured(seed=4), name="film")
    clinic.annotate.follow_list(parse_landmark_list("a,b,c"))
    assert prompt.text() == "Ready for 3 landmarks."
    clinic.annotate.place()
    assert prompt.text() == "Click a"
    layer = clinic.bench.placing.layer
    viewer.layers.selection.active = image
    assert prompt.text() == "Paused: another layer is selected."
    viewer.layers.selection.clear()
    assert prompt.text() == "Paused: no layer is selected."
    viewer.layers.selection = {image, layer}
    assert prompt.text() == "Paused: several layers are selected."
    clinic.annotate.form.start.click()
    layer.visible = False
    assert prompt.text() == "Paused: the layer of the landmarks is hidden."
    clinic.annotate.form.start.click()
    press_key(viewer, Qt.Key.Key_K)
    click(viewer, image, POINTS["b"])
    click(viewer, image, POINTS["c"])
    assert prompt.text() == "1 landmark skipped; all others are decided."
    click(viewer, image, (200.0, 20.0))
    assert "Every landmark is decided" not in clinic.annotate.form.message.text()
    clinic.bench.pick("a")
    click(viewer, image, POINTS["a"])
    assert prompt.text() == "All landmarks are decided."
    # After a detection nothing is left to place, and no other layer is in the way.
    clinic.session.load_template(template())
    other = viewer.add_image(textured(seed=5), name="other")
    clinic.run(clinic.detect.form.here)
    assert clinic.session.target.layer == other
    assert prompt.text() == "All landmarks are decided."


def test_the_window_asks_before_results_are_lost(clinic, tmp_path, monkeypatch):
    viewer = clinic.viewer
    clinic.session.load_template(template())
    for number in range(2):
        viewer.add_image(textured(seed=number), name=f"film {number}")
    clinic.run(clinic.detect.form.everywhere)
    question = close_question.UnsavedQuestion(clinic.dock.window(), clinic.session)
    asked = []

    def answers(answer: close_question.Answer) -> None:
        def ask(window: Any, names: list[str]) -> close_question.Answer:
            asked.append(names)
            return answer

        monkeypatch.setattr(close_question, "ask_what_becomes_of", ask)

    answers(close_question.Answer.STAY)
    assert not question.may_close(clinic.dock)
    answers(close_question.Answer.CLOSE)
    assert question.may_close(clinic.dock)
    answers(close_question.Answer.SAVE)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    assert not question.may_close(clinic.dock)
    saves_to(monkeypatch, tmp_path / "all.csv")
    assert question.may_close(clinic.dock)
    assert asked == [["film 0", "film 1"]] * 4
    with (tmp_path / "all.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6


def test_images_of_one_name_are_both_saved_when_the_window_closes(clinic, monkeypatch):
    clinic.session.load_template(template())
    clinic.viewer.add_image(textured(seed=1), name="img.png")
    clinic.run(clinic.detect.form.here)
    [here] = clinic.session.unsaved()
    other = Landmarks.from_positions({"a": (1.0, 2.0)}, "img.png")
    monkeypatch.setattr(clinic.session, "unsaved", lambda author="": [here, other])
    question = close_question.UnsavedQuestion(clinic.dock.window(), clinic.session)
    save, given = close_question.Answer.SAVE, []
    monkeypatch.setattr(close_question, "ask_what_becomes_of", lambda *_: save)
    monkeypatch.setattr(
        close_question, "ask_save_landmarks", lambda _, images: given.append(images) or "saved"
    )
    assert question.may_close(clinic.dock)
    assert given == [[here, other]]


def test_metadata_stay_plain(clinic):
    import json

    clinic.session.load_template(template())
    clinic.viewer.add_image(textured(seed=4), name="film")
    clinic.run(clinic.detect.form.here)
    layer = clinic.bench.placing.layer
    assert json.loads(json.dumps(layer.metadata[METADATA]))["image"] == "film"


def test_two_docks_show_the_same(make_napari_viewer_proxy, qtbot):
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    second = DetectWidget(clinic.viewer, make_detector=clinic.fake)
    clinic.viewer.window.add_dock_widget(second, area="left")
    clinic.session.load_template(template())
    clinic.viewer.add_image(textured(seed=4), name="film")
    clinic.run(clinic.detect.form.here)
    assert second.form.table.rows == clinic.detect.form.table.rows
    second.header.only_this.setChecked(False)
    assert not clinic.dock.header.only_this.isChecked()


def test_a_second_window_is_told_and_overwrites_nothing(
    make_napari_viewer_proxy, npe2pm, qtbot, tmp_path
):
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = film(tmp_path / "films", "film.png", 4)
    sidecar = path.with_name("film.png.landmarks.csv")
    first, second = (Clinic(make_napari_viewer_proxy(show=True), qtbot) for _ in "12")
    first.viewer.open(path, plugin="napari")
    first.annotate.follow_list(parse_landmark_list("a,b,c"))
    first.bench.place()
    first.bench.placing.layer.add((10.0, 10.0))
    written = sidecar.read_bytes()
    second.viewer.open(path, plugin="napari")
    assert "another window of this napari" in second.annotate.form.message.text()
    second.annotate.follow_list(parse_landmark_list("a,b,c"))
    second.bench.place()
    second.bench.placing.layer.add((20.0, 20.0))
    assert "another window of this napari" in second.annotate.form.message.text()
    assert sidecar.read_bytes() == written
    assert [la.image for la in second.session.unsaved()] == ["film.png"]
    # The first closes; what it wrote is kept beside what the second now writes.
    first.bench.autosave.locks.release_all()
    second.bench.placing.layer.add((30.0, 20.0))
    assert len(read_landmarks(sidecar)[0].placed) == 2
    kept = path.with_name("film.png.previous.csv")
    assert kept.read_bytes() == written


def test_the_dock_says_what_the_file_states_and_the_layer_does_not(clinic, tmp_path):
    from PIL import Image as Pillow

    pixels = (255 * np.clip(textured(seed=4) + 0.5, 0, 1)).astype(np.uint8)
    turned = tmp_path / "phone.jpg"
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(pixels).save(turned, exif=exif)
    clinic.viewer.open(turned, plugin="napari")
    header = clinic.dock.header
    clinic.qtbot.waitUntil(lambda: "turned by 90" in header.of_file.text())
    assert clinic.session.target.shape_yx == pixels.shape
    import tifffile

    stated = tmp_path / "film.tif"
    tifffile.imwrite(stated, pixels, imagej=True, resolution=(10.0, 10.0), metadata={"unit": "mm"})
    clinic.viewer.open(stated, plugin="napari")
    clinic.qtbot.waitUntil(lambda: "The file states 0.1 x 0.1" in header.of_file.text())
    assert clinic.session.spacing.mm_yx is None
    header.of_file.linkActivated.emit("use")
    assert clinic.session.spacing.mm_yx == pytest.approx((0.1, 0.1))
    assert header.of_file.text() == ""
    assert header.spacing_note.text() == "ImageJ resolution"
