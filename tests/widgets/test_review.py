"""The step "Review" in a real window: keys, the list, and what one correction moves."""

from __future__ import annotations

import pytest
from clinic_scene import POINTS, Clinic, template
from qtpy.QtCore import Qt
from widget_scene import drag, press_key, spot, textured

from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.review.status import Reason, ReviewState
from napari_oneshot_lmk.widgets.review.similarity import MapState

SHIFT = Qt.KeyboardModifier.ShiftModifier
KEY = Qt.Key


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot):
    """Three images with detected points; on the second, b and c are unsure."""
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.session.load_template(template())
    for number in range(3):
        image = clinic.viewer.add_image(textured(seed=3 + number), name=f"image {number}")
        clinic.bench.choice.choose(image)
        clinic.fake.unsure = ("b", "c") if number == 1 else ()
        clinic.run(clinic.detect.form.here)
    clinic.fake.unsure = ()
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    return clinic


def shown(clinic):
    return [row.name for row in clinic.review.form.table.rows]


def show(clinic, number):
    clinic.bench.review.turn_to(
        next(k for k in clinic.bench.review.images.keys if k.layer.name == f"image {number}")
    )
    clinic.qtbot.wait(20)


def test_the_list_has_the_worst_image_first_and_filters(clinic):
    form = clinic.review.form
    assert shown(clinic) == ["image 1", "image 0", "image 2"]
    assert [row.unsure for row in form.table.rows] == [2, 0, 0]
    assert "3 images: 0 to do · 3 detected" in form.counters.text()
    form.filter.setCurrentIndex(form.filter.findData(Reason.UNSURE))
    assert shown(clinic) == ["image 1"]
    form.filter.setCurrentIndex(form.filter.findData(ReviewState.ACCEPTED))
    assert shown(clinic) == []
    form.filter.setCurrentIndex(form.filter.findData(ReviewState.DETECTED))
    assert len(shown(clinic)) == 3
    form.filter.setCurrentIndex(0)
    texts = [form.landmark.itemText(row) for row in range(form.landmark.count())]
    assert texts == ["any landmark", "a (0)", "b (1)", "c (1)"]
    form.landmark.setCurrentIndex(2)
    assert shown(clinic) == ["image 1"]
    form.filter.setCurrentIndex(form.filter.findData(Reason.BORDER))
    assert shown(clinic) == []
    form.filter.setCurrentIndex(0)
    form.landmark.setCurrentIndex(1)
    assert shown(clinic) == []
    form.landmark.setCurrentIndex(0)
    form.order.setCurrentIndex(1)
    assert shown(clinic) == ["image 0", "image 1", "image 2"]
    table = form.table
    clinic.qtbot.waitUntil(lambda: all(not table.item(n, 0).icon().isNull() for n in range(3)))
    form.table.picked.emit(form.table.rows[1].key)
    assert clinic.session.target.layer.name == "image 1"


def test_images_with_right_points_take_one_key_each(clinic):
    show(clinic, 1)
    for number in range(3):
        press_key(clinic.viewer, KEY.Key_Return if number % 2 else KEY.Key_Enter, SHIFT)
    states = [clinic.review.status(key).state for key in clinic.bench.review.images.keys]
    assert states == [ReviewState.ACCEPTED] * 3
    assert "Every image is reviewed" in clinic.review.form.message.text()
    assert {row.state for row in clinic.review.form.table.rows} == {"accepted"}
    # A new detection changes nothing that was accepted.
    show(clinic, 0)
    before = clinic.at("a")
    clinic.fake.shift_yx = (9.0, 9.0)
    clinic.run(clinic.detect.form.here)
    assert clinic.at("a") == before


def test_unsure_points_are_visited_and_accepted_with_enter(clinic):
    show(clinic, 1)
    camera = clinic.viewer.scene.camera
    # The window may have changed its size since the image was opened.
    clinic.viewer.reset_view()
    far = camera.zoom
    press_key(clinic.viewer, KEY.Key_U)
    assert clinic.session.annotation.current == "b"
    assert camera.zoom > 1.5 * far
    assert camera.center[-2:] == pytest.approx(clinic.at("b"))
    press_key(clinic.viewer, KEY.Key_Return)
    assert clinic.source("b") is Source.ACCEPTED
    assert clinic.session.annotation.current == "c"
    press_key(clinic.viewer, KEY.Key_Return)
    assert clinic.source("c") is Source.ACCEPTED
    assert clinic.source("a") is Source.DETECTED
    press_key(clinic.viewer, KEY.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert clinic.source("c") is Source.DETECTED


def test_arrows_move_the_chosen_point_and_r_puts_it_back(clinic):
    show(clinic, 0)
    y, x = clinic.at("a")
    clinic.review.form.message.say("")
    press_key(clinic.viewer, KEY.Key_Right)
    assert "Choose a point first" in clinic.review.form.message.text()
    clinic.bench.look_for("a")
    press_key(clinic.viewer, KEY.Key_Right)
    press_key(clinic.viewer, KEY.Key_Up, SHIFT)
    assert clinic.at("a") == pytest.approx((y - 0.1, x + 1))
    assert clinic.source("a") is Source.CORRECTED
    press_key(clinic.viewer, KEY.Key_R)
    assert clinic.at("a") == (y, x)
    assert clinic.source("a") is Source.DETECTED


def test_page_keys_and_c_go_through_the_list(clinic):
    form = clinic.review.form
    form.order.setCurrentIndex(1)
    show(clinic, 0)
    names = []
    for key in (KEY.Key_PageDown, KEY.Key_PageDown, KEY.Key_PageDown, KEY.Key_PageUp):
        press_key(clinic.viewer, key)
        names.append(clinic.session.target.layer.name)
    assert names == ["image 1", "image 2", "image 0", "image 2"]
    clinic.bench.look_for("a")
    press_key(clinic.viewer, KEY.Key_Left)
    show(clinic, 0)
    press_key(clinic.viewer, KEY.Key_C)
    assert clinic.session.target.layer.name == "image 2"
    press_key(clinic.viewer, KEY.Key_C)
    assert "No other image has a corrected point" in form.message.text()


def test_a_click_on_a_point_picks_its_row(clinic):
    from widget_scene import click

    show(clinic, 0)
    layer = clinic.bench.placing.layer
    click(clinic.viewer, layer, clinic.at("c"))
    assert clinic.session.annotation.current == "c"
    assert clinic.source("c") is Source.DETECTED


def settled(clinic):
    clinic.qtbot.waitUntil(lambda: not clinic.review.settle.waiting, timeout=10_000)
    clinic.qtbot.wait(20)


def test_one_correction_moves_what_nobody_has_decided_in_one_step(clinic):
    clinic.review.form.move_others.setChecked(True)
    show(clinic, 0)
    clinic.session.edit(clinic.session.annotation.accept(["c"]))
    before = {name: clinic.at(name) for name in POINTS}
    layer = clinic.bench.placing.layer
    y, x = before["a"]
    drag(clinic.viewer, layer, (y, x), (y + 20, x + 8))
    settled(clinic)
    moved = clinic.at("a")
    assert moved == pytest.approx((y + 20, x + 8), abs=1.5)
    assert clinic.at("c") == before["c"]
    # The fake moves the others by the mean of what was decided: here half of it.
    half = [(m - b) / 2 for m, b in zip(moved, before["a"], strict=True)]
    expected = [b + h for b, h in zip(before["b"], half, strict=True)]
    assert clinic.at("b") == pytest.approx(expected)
    assert clinic.source("b") is Source.DETECTED
    assert clinic.session.annotation.current == "a"
    assert "b moved by" in clinic.review.form.message.text()
    clinic.session.undo()
    settled(clinic)
    assert clinic.at("b") == before["b"]
    assert clinic.at("a") == moved
    clinic.session.redo()
    settled(clinic)
    assert clinic.at("b") == pytest.approx(expected)


def test_corrections_made_meanwhile_count(clinic):
    import threading

    clinic.review.form.move_others.setChecked(True)
    show(clinic, 0)
    clinic.fake.gate = threading.Semaphore(0)
    before = clinic.at("b")
    clinic.bench.look_for("a")
    press_key(clinic.viewer, KEY.Key_Right)
    clinic.qtbot.waitUntil(lambda: clinic.review.settle.running, timeout=5_000)
    press_key(clinic.viewer, KEY.Key_Right)
    clinic.fake.gate.release(10)
    settled(clinic)
    assert clinic.at("b") == pytest.approx((before[0], before[1] + 2))


def test_a_failure_is_said_and_nothing_moves(clinic):
    clinic.review.form.move_others.setChecked(True)
    show(clinic, 0)
    before = clinic.at("b")
    clinic.fake.error = RuntimeError("no memory left")
    clinic.bench.look_for("a")
    press_key(clinic.viewer, KEY.Key_Right)
    settled(clinic)
    assert "could not be found anew" in clinic.review.form.message.text()
    assert clinic.at("b") == before


def test_the_map_beside_the_point_is_computed_once_per_image_when_asked(clinic):
    patches, run = clinic.review.form.patches, clinic.review.similarity
    show(clinic, 0)
    clinic.bench.look_for("a")
    assert "Click to" in patches.map.text()
    assert clinic.fake.compared == []

    def drawn():
        clinic.qtbot.waitUntil(lambda: patches.map.text() == "", timeout=10_000)
        return patches.map.icon().pixmap(112, 112).toImage().pixelColor(56, 20).getRgb()

    patches.map.click()
    assert "Click to stop" in patches.map.text()
    first = drawn()
    clinic.bench.look_for("c")
    assert drawn() != first
    assert clinic.fake.compared == ["image 0"]
    # From now on every image that is looked at is compared, each once.
    for number in (1, 0):
        show(clinic, number)
        clinic.bench.look_for("a")
        drawn()
    assert clinic.fake.compared == ["image 0", "image 1"]
    run.stop()
    show(clinic, 2)
    clinic.bench.look_for("a")
    assert run.state is MapState.NOT_ASKED
    clinic.fake.error = RuntimeError("no memory left")
    patches.map.click()
    clinic.qtbot.waitUntil(lambda: run.state is MapState.FAILED, timeout=10_000)
    assert "could not" in patches.map.text()
    assert "no memory left" in patches.map.toolTip()


def test_every_key_is_in_the_help_and_works_on_the_canvas(clinic):
    from napari_oneshot_lmk.widgets import shortcuts

    table = shortcuts.help_table()
    assert all(s.help in table for s in shortcuts.SHORTCUTS)
    assert {s.action for s in shortcuts.SHORTCUTS} == set(clinic.bench.actions)
    assert spot(clinic.viewer, clinic.bench.placing.layer, (0, 0)) is not None
