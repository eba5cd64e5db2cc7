"""Nothing is done to the wrong image, and nothing is lost when a window closes."""

from typing import Any

import numpy as np
import pytest
import tifffile
from clinic_scene import POINTS, Clinic, film, template
from npe2 import PluginManifest
from PIL import Image as Pillow
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from widget_scene import begin, click, drag, placed, press_key, textured

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list
from napari_oneshot_lmk.widgets.annotate.close_question import Answer, UnsavedQuestion
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.layers.image_view import ImageView

QUESTION = "napari_oneshot_lmk.widgets.annotate.close_question"


def shown(viewer: Any, kind: str) -> list[str]:
    return [la.name for la in viewer.layers if la._type_string == kind and la.visible]


@pytest.mark.parametrize("way", ["combo", "list", "marks", "eye"])
def test_the_image_in_the_dock_is_the_one_on_the_canvas(clinic, way):
    viewer, session, chooser = clinic.viewer, clinic.session, clinic.dock.header.chooser
    session.load_template(template())
    images = [clinic.add(seed, f"image {seed}") for seed in range(4, 7)]
    clinic.run(clinic.detect.form.everywhere)
    for chosen in (images[0], images[2], images[1], images[0]):
        found = f"found – {chosen.name}"
        if way == "combo":
            chooser.activated.emit(images.index(chosen))
        elif way == "list":
            viewer.layers.selection.active = chosen
        elif way == "marks":
            viewer.layers.selection.active = viewer.layers[found]
        else:
            chosen.visible = True
        assert session.target.layer == chosen
        assert chooser.currentText() == chosen.name
        assert shown(viewer, "image") == [chosen.name]
        assert viewer.layers.selection.active.name == found
        assert shown(viewer, "points") == [found]
        assert session.blocking_reason == ""
        # What is dragged now is this image's.
        clinic.qtbot.wait(60)
        before = clinic.at("a")
        drag(viewer, chosen, before, (before[0] + 20, before[1] + 30))
        assert clinic.at("a") != before
        assert clinic.source("a") is Source.CORRECTED
    sets = [session.annotation_of(session.target_of(ImageView(la).key)) for la in images]
    assert [s.landmarks["a"].source for s in sets] == [Source.CORRECTED] * 3


def test_no_click_is_taken_where_another_image_is_shown(clinic):
    viewer, session, header = clinic.viewer, clinic.session, clinic.dock.header
    below, above = clinic.add(4, "005"), clinic.add(5, "020")
    header.chooser.activated.emit(0)
    begin(clinic.annotate)
    assert header.only_this.isChecked()
    header.only_this.setChecked(False)
    above.visible = True
    viewer.layers.move(viewer.layers.index(above), len(viewer.layers))
    said = clinic.annotate.form.prompt.text()
    assert "“020” lies over “005”" in said
    assert said == header.blocking_reason.text() == session.blocking_reason
    click(viewer, below, (50.0, 60.0))
    assert placed(clinic) == {}
    assert not len(clinic.marks.data)
    # Half transparent, both are seen: what is meant can be seen in the dock.
    above.opacity = 0.5
    assert session.blocking_reason == ""
    above.opacity = 1.0
    below.visible = False
    above.visible = False
    assert "“005” is hidden" in session.blocking_reason
    click(viewer, below, (50.0, 60.0))
    assert placed(clinic) == {}
    below.visible = True
    click(viewer, below, (50.0, 60.0))
    assert list(placed(clinic)) == ["a"]


def test_a_layer_of_another_image_is_not_taken(clinic):
    viewer, session = clinic.viewer, clinic.session
    one = clinic.detected()
    marks = viewer.layers["found – image"]
    before = np.array(marks.data)
    two = clinic.add(5, "two")
    clinic.annotate.adopt(marks)
    assert marks.name == "found – image"
    assert clinic.bench.layers.target_of(marks).layer == one
    assert clinic.bench.layers.layer_of(session.target).layer is not marks
    assert session.target.layer == two
    click(viewer, two, (20.0, 20.0))
    clinic.bench.pick("a")
    click(viewer, two, (20.0, 20.0))
    assert np.array_equal(marks.data, before)
    assert clinic.at("a") == pytest.approx((20.0, 20.0), abs=1.5)


def test_all_images_are_all_but_the_template(clinic, tmp_path):
    pixels = textured(seed=9)
    clinic.add(9, "template")
    clinic.add()
    template(pixels).save(tmp_path / "t.template")
    clinic.detect.load_template(tmp_path / "t.template")
    assert clinic.detect.form.everywhere.text() == "Detect on all images (1)"


def test_prompts_say_what_holds_clicks_up(clinic):
    viewer, form = clinic.viewer, clinic.annotate.form
    image = clinic.add()

    def says(text: str) -> None:
        assert form.prompt.text() == text

    clinic.annotate.follow_list(parse_landmark_list("a,b,c"))
    says("Ready for 3 landmarks.")
    clinic.annotate.place()
    says("Click a")
    layer = clinic.marks
    viewer.layers.selection.active = image
    says("Paused: another layer is selected.")
    viewer.layers.selection.clear()
    says("Paused: no layer is selected.")
    viewer.layers.selection = {image, layer}
    says("Paused: several layers are selected.")
    form.start.click()
    layer.visible = False
    says("Paused: the layer of the landmarks is hidden.")
    form.start.click()
    press_key(viewer, Qt.Key.Key_K)
    click(viewer, image, POINTS["b"])
    click(viewer, image, POINTS["c"])
    says("1 landmark skipped; all others are decided.")
    click(viewer, image, (200.0, 20.0))
    assert "Every landmark is decided" not in form.message.text()
    clinic.bench.pick("a")
    click(viewer, image, POINTS["a"])
    says("All landmarks are decided.")
    # After a detection nothing is left to place, and no other layer is in the way.
    other = clinic.detected()
    assert clinic.session.target.layer == other
    says("All landmarks are decided.")


# -- when a window closes, or there are two --------------------------------------


def test_the_window_asks_before_results_are_lost(clinic, tmp_path, monkeypatch):
    clinic.session.load_template(template())
    for number in range(2):
        clinic.add(number, f"image {number}")
    clinic.run(clinic.detect.form.everywhere)
    question = UnsavedQuestion(clinic.dock.window(), clinic.session)
    for answer, path, closes in (
        (Answer.STAY, "", False),
        (Answer.CLOSE, "", True),
        (Answer.SAVE, "", False),
        (Answer.SAVE, tmp_path / "all.csv", True),
    ):
        asked: list[Any] = []
        monkeypatch.setattr(
            f"{QUESTION}.ask_what_becomes_of",
            lambda _, names, asked=asked, answer=answer: asked.append(names) or answer,
        )
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, path=path: (str(path), ""))
        assert question.may_close(clinic.dock) == closes
        assert asked == [["image 0", "image 1"]]
    assert [len(la.placed) for la in read_landmarks(tmp_path / "all.csv")] == [3, 3]


def test_two_docks_show_the_same(make_napari_viewer_proxy, qtbot):
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    second = DetectWidget(clinic.viewer, make_detector=clinic.fake)
    clinic.viewer.window.add_dock_widget(second, area="left")
    clinic.detected()
    assert second.form.table.rows == clinic.detect.form.table.rows
    second.header.only_this.setChecked(False)
    assert not clinic.dock.header.only_this.isChecked()


def test_a_second_window_overwrites_nothing(make_napari_viewer_proxy, npe2pm, qtbot, tmp_path):
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = film(tmp_path / "images", "image.png", 4)
    sidecar = path.with_name("image.png.landmarks.csv")
    first, second = (Clinic(make_napari_viewer_proxy(show=True), qtbot) for _ in "12")
    first.open(path)
    begin(first.annotate, "a,b,c", (10.0, 10.0))
    written = sidecar.read_bytes()
    second.open(path)
    message = second.annotate.form.message
    assert "another window of this napari" in message.text()
    layer = begin(second.annotate, "a,b,c", (20.0, 20.0))
    assert "another window of this napari" in message.text()
    assert sidecar.read_bytes() == written
    assert [la.image for la in second.session.unsaved()] == ["image.png"]
    # The first closes; what it wrote is kept beside what the second now writes.
    first.bench.autosave.locks.release_all()
    layer.add((30.0, 20.0))
    assert len(read_landmarks(sidecar)[0].placed) == 2
    assert path.with_name("image.png.previous.csv").read_bytes() == written


def test_the_dock_says_what_the_file_states_and_the_layer_does_not(clinic, tmp_path):
    header, session = clinic.dock.header, clinic.session
    pixels = (255 * np.clip(textured(seed=4) + 0.5, 0, 1)).astype(np.uint8)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(pixels).save(tmp_path / "phone.jpg", exif=exif)
    clinic.open(tmp_path / "phone.jpg")
    clinic.qtbot.waitUntil(lambda: "turned by 90" in header.of_file.text())
    assert session.target.shape_yx == pixels.shape
    stated = {"imagej": True, "resolution": (10.0, 10.0), "metadata": {"unit": "mm"}}
    tifffile.imwrite(tmp_path / "image.tif", pixels, **stated)
    clinic.open(tmp_path / "image.tif")
    clinic.qtbot.waitUntil(lambda: "The file states 0.1 x 0.1" in header.of_file.text())
    assert session.spacing.mm_yx is None
    header.of_file.linkActivated.emit("use")
    assert session.spacing.mm_yx == pytest.approx((0.1, 0.1))
    assert header.of_file.text() == ""
    assert header.spacing_note.text() == "ImageJ resolution"
