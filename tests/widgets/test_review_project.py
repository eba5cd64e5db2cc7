"""A project in the dock: one image at a time, every edit kept, nothing lost."""

from __future__ import annotations

import pytest
from clinic_scene import POINTS, detect, film, names, project_clinic, show
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from widget_scene import drag, press_key

from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.status import ReviewState
from napari_oneshot_lmk.widgets.review import adding
from napari_oneshot_lmk.widgets.train.models import KnownModel

SHIFT = Qt.KeyboardModifier.ShiftModifier
KEY = Qt.Key


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot, tmp_path):
    """A window with a project of four images on which nothing was detected."""
    clinic = project_clinic(make_napari_viewer_proxy(show=True), qtbot, tmp_path, images=4)
    yield clinic
    clinic.project.close_project()


def images(clinic):
    return [layer for layer in clinic.viewer.layers if isinstance(layer, Image)]


def test_one_image_is_on_the_canvas_and_nothing_but_it(clinic):
    assert names(clinic) == [f"image_{n}.png" for n in range(4)]
    assert "4 to do" in clinic.review.form.counters.text()
    detect(clinic)
    assert "4 detected" in clinic.review.form.counters.text()
    for number in (2, 0, 3, 2):
        show(clinic, number)
        assert [layer.name for layer in images(clinic)] == [f"image_{number}.png"]
        points = [layer for layer in clinic.viewer.layers if isinstance(layer, Points)]
        assert [len(layer.data) for layer in points] == [len(POINTS)]
        assert clinic.session.target.layer == images(clinic)[0]
        assert names(clinic)[clinic.review.form.table.currentRow()] == f"image_{number}.png"
    assert clinic.session.unsaved() == []
    assert not clinic.project.actions_["detect"].isEnabled()


def test_two_hundred_right_points_take_a_key_an_image(clinic):
    detect(clinic)
    show(clinic, 0)
    for _ in range(4):
        press_key(clinic.viewer, KEY.Key_Return, SHIFT)
    assert "4 accepted" in clinic.review.form.counters.text()
    assert "Every image is reviewed" in clinic.review.form.message.text()


def test_every_edit_is_in_the_project_at_once_and_undo_comes_back_with_the_image(clinic, tmp_path):
    detect(clinic)
    key = show(clinic, 1)
    y, x = clinic.at("a")
    drag(clinic.viewer, clinic.bench.placing.layer, (y, x), (y + 15, x))
    moved = clinic.at("a")
    # Another program reads what is there: as after a kill.
    work = Project.open(tmp_path / "study").work(key)
    assert work.landmarks["a"].position_yx == pytest.approx(moved)
    assert work.landmarks["a"].source is Source.CORRECTED
    assert work.detected["a"].position_yx == (y, x)
    assert [edit.action for edit in work.edits] == ["detect", "edit"]
    show(clinic, 2)
    show(clinic, 1)
    assert clinic.at("a") == moved
    press_key(clinic.viewer, KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert clinic.at("a") == (y, x)
    press_key(clinic.viewer, KEY.Key_Return, SHIFT)
    work = Project.open(tmp_path / "study").work(key)
    assert work.landmarks["a"].source is Source.ACCEPTED
    assert [edit.action for edit in work.edits] == ["detect", "edit", "undo", "accept"]


def test_what_is_reset_goes_back_to_the_detection_after_reopening(clinic, tmp_path):
    detect(clinic)
    show(clinic, 1)
    found = clinic.at("b")
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)
    clinic.project.close_project()
    assert images(clinic) == []
    (tmp_path / "moved").mkdir()
    (tmp_path / "study").rename(tmp_path / "moved" / "study")
    (tmp_path / "images").rename(tmp_path / "moved" / "images")
    clinic.project.open(tmp_path / "moved" / "study")
    show(clinic, 1)
    assert clinic.at("b") == pytest.approx((found[0] + 1, found[1]))
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_R)
    assert clinic.at("b") == pytest.approx(found)


def test_a_person_s_points_stay_when_it_detects_again(clinic):
    assert "no image is detected" in clinic.project.actions_["next"].toolTip().lower()
    detect(clinic)
    clinic.project.actions_["next"].trigger()
    clinic.qtbot.wait(20)
    assert "no point is doubtful" in clinic.review.form.message.text()
    assert clinic.session.target.layer.name in clinic.review.form.message.text()
    show(clinic, 1)
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)
    corrected = clinic.at("b")
    show(clinic, 3)
    press_key(clinic.viewer, KEY.Key_Return, SHIFT)
    accepted = {row.name: row.state for row in clinic.review.form.table.rows}
    assert accepted["image_3.png"] == ReviewState.ACCEPTED
    learn = clinic.project.learn
    assert learn.isHidden()
    with clinic.qtbot.waitSignal(learn.run.ended, timeout=120_000):
        clinic.project.actions_["learn"].trigger()
    clinic.qtbot.wait(20)
    assert "so few say little" in clinic.review.form.message.text()
    assert not learn.forget.isEnabled()
    assert "Nothing was learnt" in learn.forget.toolTip()
    before = {key: clinic.project.images.landmarks(key) for key in clinic.project.images.keys}
    clinic.fake.shift_yx = (11.0, 7.0)
    learn.ways["further templates"].setChecked(True)
    with clinic.qtbot.waitSignal(clinic.project.detecting.ended, timeout=120_000):
        learn.apply.click()
    clinic.qtbot.wait(20)
    assert sorted(t.image.name for t in clinic.fake.further) == ["image_1.png", "image_3.png"]
    assert clinic.session.further == clinic.fake.further
    assert clinic.project.images.project.learnt.way == "further templates"
    show(clinic, 1)
    assert clinic.at("b") == corrected
    assert clinic.at("a") == (POINTS["a"][0] + 11, POINTS["a"][1] + 7)
    show(clinic, 3)
    assert clinic.at("a") == (POINTS["a"][0] + 3, POINTS["a"][1] - 2)
    show(clinic, 0)
    assert clinic.at("a") == (POINTS["a"][0] + 11, POINTS["a"][1] + 7)
    learn.forget.click()
    clinic.qtbot.wait(20)
    assert "What was learnt is forgotten: 3 images as before" in clinic.review.form.message.text()
    assert {k: clinic.project.images.landmarks(k) for k in before} == before
    assert clinic.session.unsaved() == []
    assert clinic.session.further == ()
    assert learn.isHidden()


def test_the_spacing_is_said_once(clinic):
    detect(clinic)
    show(clinic, 0)
    assert not clinic.project.actions_["spacing"].isEnabled()
    clinic.session.set_spacing(0.25)
    clinic.project.actions_["spacing"].trigger()
    for number in (1, 2, 3):
        show(clinic, number)
        assert clinic.session.spacing.mm_yx == (0.25, 0.25)


def test_a_missing_image_is_said_and_the_others_go_on(clinic, tmp_path):
    (tmp_path / "images" / "image_1.png").unlink()
    detect(clinic)
    assert "image_1.png" in clinic.review.form.message.text()
    assert "3 detected" in clinic.review.form.counters.text()
    before = clinic.session.target
    show(clinic, 1)
    assert "image_1.png" in clinic.review.form.message.text()
    assert clinic.session.target == before


def test_an_image_that_the_user_removes_comes_back_from_the_list(clinic):
    detect(clinic)
    show(clinic, 1)
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)
    corrected = clinic.at("b")
    clinic.viewer.layers.remove(images(clinic)[0])
    clinic.qtbot.wait(20)
    show(clinic, 2)
    show(clinic, 1)
    assert clinic.at("b") == corrected
    assert len(clinic.session.removed) == 0
    assert clinic.session.unsaved() == []


def test_a_spacing_of_one_image_is_kept_with_it(clinic, tmp_path):
    detect(clinic)
    key = show(clinic, 1)
    clinic.session.set_spacing((0.3, 0.2))
    show(clinic, 2)
    assert clinic.session.spacing.mm_yx is None
    show(clinic, 1)
    assert clinic.session.spacing.mm_yx == pytest.approx((0.3, 0.2))
    work = Project.open(tmp_path / "study").work(key)
    assert work.landmarks.geometry.spacing_mm_yx == pytest.approx((0.3, 0.2))


def test_shape_residuals_in_millimetres_follow_the_spacing_through_undo(clinic, tmp_path):
    key = show(clinic, 1)
    clinic.session.set_spacing(0.25)
    detect(clinic)
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)

    def residuals():
        work = Project.open(tmp_path / "study").work(key)
        here = clinic.session.annotation.landmarks
        return [one["a"].shape_residual_mm for one in (here, work.landmarks, work.detected)]

    assert residuals() == [0.5] * 3
    clinic.session.set_spacing(0.5)
    assert residuals() == [1.0] * 3
    show(clinic, 2)
    clinic.session.set_spacing(1.0)
    clinic.project.actions_["spacing"].trigger()
    show(clinic, 1)
    assert residuals() == [2.0] * 3
    assert clinic.session.unsaved() == []
    press_key(clinic.viewer, KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert residuals() == [2.0] * 3


def test_a_dock_that_is_opened_again_goes_on_with_the_project(clinic):
    detect(clinic)
    show(clinic, 1)
    again = type(clinic.review)(clinic.viewer, clinic.session)
    clinic.qtbot.addWidget(again)
    assert again.project.images is clinic.project.images
    assert again.project.actions_["close"].isEnabled()


def test_an_edit_that_cannot_be_written_keeps_its_image_until_it_can(clinic, tmp_path):
    detect(clinic)
    key = show(clinic, 1)
    (tmp_path / "study").rename(tmp_path / "away")
    clinic.bench.look_for("b")
    press_key(clinic.viewer, KEY.Key_Down)
    moved = clinic.at("b")
    assert "is not there any more" in clinic.review.form.message.text()
    assert len(clinic.session.unsaved()) == 1
    show(clinic, 2)
    assert clinic.session.target.layer.name == "image_1.png"
    clinic.project.close_project()
    assert clinic.project.images is not None
    assert not (tmp_path / "study").exists()
    (tmp_path / "away").rename(tmp_path / "study")
    show(clinic, 2)
    assert clinic.session.target.layer.name == "image_2.png"
    assert Project.open(tmp_path / "study").work(key).landmarks["b"].position_yx == moved
    assert clinic.session.unsaved() == []


def test_the_first_image_is_shown_at_once_and_the_tab_stays(clinic, tmp_path):
    assert clinic.session.target.image_name == "image_0.png"
    detect(clinic)
    assert [edit.action for edit in work_of(clinic, 0).edits] == ["detect"]
    # As a project does that brings its model along.
    clinic.session.model = KnownModel("model", tmp_path)
    assert clinic.dock.tabs.currentWidget() is clinic.review


def work_of(clinic, number):
    images = clinic.project.images
    key = next(key for key in images.keys if images.name(key) == f"image_{number}.png")
    return Project.open(images.project.folder).work(key)


def test_a_landmark_layer_that_is_deleted_comes_back(clinic):
    detect(clinic)
    clinic.viewer.layers.remove(clinic.bench.placing.layer)
    clinic.qtbot.wait(20)
    assert len(clinic.bench.placing.layer.data) == len(POINTS)
    assert "their layer is back" in clinic.review.form.message.text()
    assert [edit.action for edit in work_of(clinic, 0).edits] == ["detect"]


def test_two_docks_of_a_window_have_one_project(clinic, tmp_path):
    again = type(clinic.review)(clinic.viewer, clinic.session)
    clinic.qtbot.addWidget(again)
    again.project.create(tmp_path / "other")
    assert clinic.project.images is again.project.images is clinic.bench.project
    assert clinic.project.label.text() == again.project.label.text() == str(tmp_path / "other")
    assert images(clinic) == []
    Project.open(tmp_path / "study", writing=True).close()
    clinic.project.close_project()
    assert again.project.images is None


def test_adding_can_be_cancelled(clinic, tmp_path, monkeypatch):
    monkeypatch.setattr(adding, "AT_ONCE", 1)
    for number in range(30):
        film(tmp_path / "more", f"more_{number}.png", seed=number)
    clinic.project.add(tmp_path / "more")
    clinic.qtbot.waitUntil(clinic.project.cancel.isVisible, timeout=10_000)
    with clinic.qtbot.waitSignal(clinic.project.adding.ended, timeout=60_000):
        clinic.project.cancel.click()
    assert "added before belong to the project" in clinic.review.form.message.text()
    assert 4 <= len(clinic.project.images.keys) < 34
    assert len(names(clinic)) == len(clinic.project.images.keys)
