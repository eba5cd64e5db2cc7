"""The dock "Train model" in a real window, with a training that learns nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QMessageBox
from training_scene import (
    POINTS,
    EventLoopWatch,
    FakeChildren,
    image_folder,
    inspector,
    measurement,
    template,
)
from widget_scene import textured

import napari_oneshot_lmk
from napari_oneshot_lmk.errors import ImageError, UsageError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import Duration
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.widgets.session import session_of
from napari_oneshot_lmk.widgets.train import close_question
from napari_oneshot_lmk.widgets.train import widget as train_module
from napari_oneshot_lmk.widgets.train.request import Phase, requests_in
from napari_oneshot_lmk.widgets.train.run import TrainingRun
from napari_oneshot_lmk.widgets.train.widget import TrainWidget

MANIFEST = Path(napari_oneshot_lmk.__file__).with_name("napari.yaml")
ASK = close_question.ask_whether_to_discard


@pytest.fixture(autouse=True)
def _own_settings(npe2pm: Any, plugin_settings: Any) -> None:
    """Remember nothing from one test to the next."""
    npe2pm.register(PluginManifest.from_file(MANIFEST))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: Any) -> Path:
    """Where trainings are kept."""
    folder = tmp_path / "trainings"
    monkeypatch.setattr(train_module, "training_folder", lambda: folder)
    return folder


@pytest.fixture
def children() -> Iterator[FakeChildren]:
    fake = FakeChildren()
    yield fake
    fake.end_all()


def docked(viewer: Any, children: FakeChildren, inspecting: Any = inspector) -> TrainWidget:
    dock = TrainWidget(
        viewer, run=TrainingRun(children), inspector=inspecting, measurement=measurement
    )
    viewer.window.add_dock_widget(dock, area="right")
    return dock


def checked(qtbot: Any, dock: TrainWidget, folder: Path) -> None:
    with qtbot.waitSignal(dock.checked, timeout=20_000):
        dock.choose_folder(folder)


def wait_for(qtbot: Any, dock: TrainWidget, phase: Phase, timeout: int = 30_000) -> None:
    qtbot.waitUntil(lambda: dock.run.phase is phase, timeout=timeout)


@pytest.fixture
def ready(
    make_napari_viewer_proxy: Any, qtbot: Any, base: Path, children: FakeChildren
) -> TrainWidget:
    """A dock with a template and checked images."""
    viewer = make_napari_viewer_proxy(show=True)
    dock = docked(viewer, children)
    dock.session.load_template(template())
    checked(qtbot, dock, image_folder(base.parent / "films"))
    return dock


def test_the_button_says_what_is_missing(
    make_napari_viewer_proxy: Any, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    dock = docked(make_napari_viewer_proxy(show=True), children)
    form = dock.form
    assert not form.train.isEnabled()
    assert form.why.text() == "Set a template first."
    dock.session.load_template(template())
    assert form.train.toolTip() == "Choose a folder of images first."
    checked(qtbot, dock, image_folder(base.parent / "films"))
    assert form.train.isEnabled()
    found = "<b>3 images</b> to train on, 240 × 200 px, 0.5 mm per pixel"
    assert form.checked.text() == found
    assert form.estimate.text().startswith("About ")
    assert "(CPU)" in form.estimate.text()


def test_an_empty_folder_is_refused_in_words(
    make_napari_viewer_proxy: Any, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    dock = docked(make_napari_viewer_proxy(show=True), children)
    dock.session.load_template(template())
    (base / "empty").mkdir(parents=True)
    checked(qtbot, dock, base / "empty")
    assert "there is no image in" in dock.form.checked.text()
    assert dock.form.train.toolTip() == "No image in the folder can be used."
    assert not dock.form.again.isHidden()


def test_unreadable_images_and_warnings_are_told(
    make_napari_viewer_proxy: Any, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    from dataclasses import replace

    def inspecting(folder: Path, files: Any, which: Any, spacing: Any) -> Any:
        *steps, last = inspector(folder, files, which, spacing)
        yield from steps
        yield replace(
            last,
            failed=(ImageError("is damaged", file="film 9.png"),),
            spacings_mm_yx=((0.5, 0.5), (0.1, 0.1), None),
            sizes_yx=((10, 20), (30, 40), (10, 20)),
            warnings=("2 of <them> are duplicates",),
        )

    dock = docked(make_napari_viewer_proxy(show=True), children, inspecting)
    dock.session.load_template(template())
    checked(qtbot, dock, image_folder(base.parent / "films"))
    form = dock.form
    assert "10 × 20 to 30 × 40 px" in form.checked.text()
    assert "0.1 to 0.5 mm per pixel (unknown for 1)" in form.checked.text()
    assert form.failures.text().startswith("1 image cannot be used")
    form.failures.linkActivated.emit("more")
    assert "film 9.png: is damaged" in form.failures.text()
    assert form.warnings.text() == "2 of &lt;them&gt; are duplicates"
    assert form.train.isEnabled()


def test_a_training_from_the_button_to_the_model(
    ready: TrainWidget, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    dock, view = ready, ready.view
    dock.form.single.setChecked(True)
    dock.form.landmark.setCurrentIndex(1)
    dock.form.time_buttons[Duration.QUICK].click()
    dock.form.train.click()
    assert view.isVisible()
    assert not dock.form.isVisible()
    wait_for(qtbot, dock, Phase.RUNNING)
    qtbot.waitUntil(lambda: dock.run.progress.epoch is not None, timeout=20_000)
    assert view.title.text() == "skull: menton alone"
    assert "Epoch" in view.state.text()
    assert "left" in view.left.text()
    assert "Points on the images moved" in view.shift.text()
    assert view.bar.value() > 0
    wait_for(qtbot, dock, Phase.DONE)
    assert "Trained in 13 min. Epoch 3 is kept." in view.message.text()
    assert not view.use_model.isHidden()
    assert view.stop.isHidden()

    # What it was told to do is what the form said, and lies beside the run.
    (request,) = requests_in(base)
    (arguments,) = children.started
    assert request.arguments == arguments
    told = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert told["--landmark"] == "menton"
    assert told["--method"] == "single"
    assert Path(told["--images"]) == dock.folder
    assert Path(told["--out"]) == request.run_folder
    assert Template.load(Path(told["--template"])).content_sha256 == (template().content_sha256)
    epochs = Preset.load("laptop").training.epochs
    quick = Preset.load(Path(told["--preset"])).training.epochs
    assert quick == max(1, round(epochs / 3))

    assert request.has_model
    view.use_model.click()
    assert dock.session.model.path == request.model_folder
    assert dock.form.isVisible()


def test_points_of_the_open_image_are_renewed_each_epoch(
    ready: TrainWidget, qtbot: Any, children: FakeChildren
) -> None:
    children.epochs = 1000
    dock = ready
    viewer = dock._viewer
    film = viewer.add_image(textured(seed=10), name="film 0.png", scale=(0.5, 0.5), units="mm")
    dock.form.train.click()
    name = "preview – film 0.png"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=20_000)
    layer = viewer.layers[name]
    first = np.array(layer.data)
    assert np.array_equal(layer.scale, film.scale)
    assert list(layer.features["label"]) == ["nasion", "menton"]
    # Nobody can drag it, and it takes nothing from the user's hands.
    assert not layer.editable
    assert viewer.layers.selection.active == film
    qtbot.waitUntil(lambda: layer.data[0, 0] > first[0, 0], timeout=20_000)
    assert len(viewer.layers) == 2
    dock.view.preview.setChecked(False)
    assert name not in viewer.layers
    dock.view.stop.click()
    wait_for(qtbot, dock, Phase.DONE)
    assert name not in viewer.layers


def test_a_preview_does_not_turn_the_docks_to_another_image(
    ready: TrainWidget, qtbot: Any, children: FakeChildren
) -> None:
    from napari_oneshot_lmk.widgets.header import ImageHeader

    children.epochs = 1000
    dock = ready
    viewer = dock._viewer
    header = ImageHeader(viewer, dock.session)
    qtbot.addWidget(header)
    viewer.add_image(textured(seed=10), name="film 0.png")
    other = viewer.add_image(textured(seed=11), name="film 1.png")
    # Shown is one image, selected in the layer list something else.
    header.chooser.activated.emit(0)
    other.visible = False
    marks = viewer.add_points([(1, 1)], name="a user's own")
    shown = dock.session.target
    assert shown is not None
    assert shown.image_name == "film 0.png"
    dock.form.train.click()
    name = "preview – film 0.png"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=20_000)
    assert dock.session.target == shown
    assert viewer.layers.selection.active == marks
    dock.view.cancel.click()
    wait_for(qtbot, dock, Phase.NONE)


def test_stop_keeps_the_best_within_two_seconds(
    ready: TrainWidget, qtbot: Any, children: FakeChildren
) -> None:
    children.epochs, children.pause_s = 1000, 0.05
    dock = ready
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    began = time.monotonic()
    dock.view.stop.click()
    assert dock.view.stop.text() == "Stopping…"
    assert dock.view.stop.toolTip().startswith("Already stopping")
    assert dock.view.cancel.isEnabled()
    wait_for(qtbot, dock, Phase.DONE)
    assert time.monotonic() - began < 2.0
    assert "Stopped after" in dock.view.message.text()
    assert dock.run.request is not None
    assert dock.run.request.has_model


@pytest.fixture(autouse=True)
def _discarding_is_answered_with_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question itself has tests of its own."""
    monkeypatch.setattr(close_question, "ask_whether_to_discard", lambda window, run: True)


def pressing(text: str, then: Callable[[], None] = lambda: None) -> None:
    """Press a button of the dialog that is about to open."""

    def press() -> None:
        (box,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox))
        assert box.defaultButton().text() == "Do not discard"
        then()
        next(button for button in box.buttons() if button.text() == text).click()

    QTimer.singleShot(100, press)


def test_cancel_and_discard_asks_first(
    ready: TrainWidget,
    qtbot: Any,
    base: Path,
    children: FakeChildren,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(close_question, "ask_whether_to_discard", ASK)
    children.epochs, children.pause_s = 1000, 0.05
    dock = ready
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    pressing("Do not discard")
    dock.view.cancel.click()
    assert dock.run.running
    assert children.children[-1].alive
    pressing("Discard")
    dock.view.cancel.click()
    wait_for(qtbot, dock, Phase.NONE)
    assert list(requests_in(base)) == []
    assert not children.children[-1].alive


def test_a_training_that_ends_well_under_the_question_is_kept(
    ready: TrainWidget,
    qtbot: Any,
    base: Path,
    children: FakeChildren,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(close_question, "ask_whether_to_discard", ASK)
    dock = ready
    children.epochs, children.pause_s = 1000, 0.05
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)

    def ends() -> None:
        children.children[-1].stop()
        wait_for(qtbot, dock, Phase.DONE)

    pressing("Discard", ends)
    dock.view.cancel.click()
    assert dock.run.phase is Phase.DONE
    assert "finished meanwhile" in dock.view.notice.text()
    (request,) = requests_in(base)
    assert request.has_model


def test_cancel_discards_all_within_two_seconds_and_touches_no_other_model(
    ready: TrainWidget, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    dock = ready
    dock.form.train.click()
    wait_for(qtbot, dock, Phase.DONE)
    (first,) = requests_in(base)
    dock.view.another.click()
    children.epochs, children.pause_s = 1000, 0.05
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    began = time.monotonic()
    dock.view.cancel.click()
    wait_for(qtbot, dock, Phase.NONE)
    assert time.monotonic() - began < 2.0
    assert not children.children[-1].alive
    assert [request.folder for request in requests_in(base)] == [first.folder]
    assert first.has_model
    assert sorted(path.name for path in base.iterdir()) == [first.folder.name]
    assert "Discarded" in dock.form.message.text()
    assert dock.form.train.isEnabled()


def test_a_training_killed_from_outside_is_told_and_can_go_on(
    ready: TrainWidget, qtbot: Any, children: FakeChildren
) -> None:
    children.epochs, children.pause_s = 1000, 0.02
    dock, view = ready, ready.view
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    children.kill_from_outside()
    wait_for(qtbot, dock, Phase.FAILED)
    assert "ended from outside" in view.message.text()
    assert "continue" in view.message.text()
    view.report.click()
    assert QApplication.clipboard().text() == "the child's last words"
    children.epochs = 2
    view.resume.click()
    wait_for(qtbot, dock, Phase.DONE)
    assert children.started[0] == children.started[1]


def test_running_out_of_memory_is_one_sentence_with_a_report(
    ready: TrainWidget, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    children.end = "out of memory"
    dock, view = ready, ready.view
    dock.form.train.click()
    wait_for(qtbot, dock, Phase.FAILED)
    assert view.message.text() == "Not enough memory for one image; choose Quick."
    view.report.click()
    assert QApplication.clipboard().text() == "Traceback: out of memory"
    view.discard.click()
    wait_for(qtbot, dock, Phase.NONE)
    assert list(requests_in(base)) == []


def test_a_training_that_cannot_start_leaves_the_form(
    ready: TrainWidget, qtbot: Any, children: FakeChildren
) -> None:
    children.error = UsageError("no such device", remedy="use cpu")
    dock = ready
    dock.form.train.click()
    qtbot.waitUntil(lambda: bool(dock.form.message.text()), timeout=20_000)
    assert "no such device; use cpu" in dock.form.message.text()
    assert dock.form.isVisible()


def test_a_new_window_finds_the_training_that_went_on(
    ready: TrainWidget, qtbot: Any, make_napari_viewer_proxy: Any, children: Any
) -> None:
    children.epochs = 40
    dock = ready
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    second = docked(make_napari_viewer_proxy(show=True), children)
    assert second.run.phase is Phase.RUNNING
    assert "went on while the window was closed" in second.view.notice.text()
    qtbot.waitUntil(lambda: second.run.progress.epoch is not None, timeout=20_000)
    assert second.run.request == dock.run.request
    second.run.stop()
    wait_for(qtbot, second, Phase.DONE)
    wait_for(qtbot, dock, Phase.DONE)
    second.view.another.click()
    # Seen once, it is not shown again.
    third = docked(make_napari_viewer_proxy(show=True), children)
    assert third.run.phase is Phase.NONE


def test_a_flood_of_events_does_not_hold_up_the_window(
    ready: TrainWidget, qtbot: Any, children: FakeChildren, capsys: Any
) -> None:
    # 20 000 steps as fast as they can be written: a training has a few a second.
    children.epochs, children.steps, children.pause_s = 100, 200, 0.0
    dock = ready
    dock._viewer.add_image(textured(seed=10), name="film 0.png")
    # The first picture and the first points of a window load libraries, whoever asked
    # for them: a user has annotated the template before.
    dock._viewer.add_points([[5.0, 5.0]])
    qtbot.wait(1000)
    dock.form.train.click()
    with EventLoopWatch() as watch:
        wait_for(qtbot, dock, Phase.DONE)
    with capsys.disabled():
        print(f"\n{watch.said('20 000 events')}")
    assert dock.run.progress.epoch is not None
    assert dock.run.progress.epoch.epoch == 100
    # Half a second is what a user takes for an answer; the aim is 100 ms.
    assert watch.worst_work_ms < 500


@pytest.mark.parametrize("answer", ["keep", "stop", "discard", "not close"])
def test_closing_the_window_asks_what_becomes_of_the_training(
    ready: TrainWidget,
    qtbot: Any,
    base: Path,
    children: FakeChildren,
    monkeypatch: Any,
    answer: str,
) -> None:
    from napari_oneshot_lmk.widgets.train import close_question

    children.epochs, children.pause_s = 1000, 0.02
    dock = ready
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    asked: list[Any] = []

    def ask(window: Any, run: Any) -> close_question.Answer:
        asked.append(run)
        return close_question.Answer(answer)

    monkeypatch.setattr(close_question, "ask_what_becomes_of", ask)
    window = close_question.main_window_of(dock)
    assert window is not None
    if answer == "not close":
        assert not window.close()
        assert window.isVisible()
    else:
        # The test's own viewer must stay: the question alone hears of the end.
        (question,) = window.findChildren(close_question.CloseQuestion)
        assert not question.eventFilter(window, QCloseEvent())
    assert asked == [dock.run]
    child = children.children[-1]
    if answer in ("keep", "not close"):
        assert child.alive
        assert len(list(requests_in(base))) == 1
        dock.run.discard_now()
    elif answer == "stop":
        qtbot.waitUntil(lambda: not child.alive, timeout=5_000)
        assert next(iter(requests_in(base))).has_model
    else:
        assert not child.alive
        assert list(requests_in(base)) == []


def test_the_dialog_of_the_close_question_knows_all_answers(ready: TrainWidget, qtbot: Any) -> None:
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QMessageBox

    from napari_oneshot_lmk.widgets.train import close_question

    def press(text: str) -> None:
        (box,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox))
        for button in box.buttons():
            if button.text() == text:
                button.click()

    for text, answer in (
        ("Let it go on", close_question.Answer.KEEP),
        ("Cancel and discard", close_question.Answer.DISCARD),
        ("Do not close", close_question.Answer.NOT_CLOSE),
    ):
        QTimer.singleShot(200, lambda text=text: press(text))
        assert close_question.ask_what_becomes_of(ready, ready.run) is answer


def test_settings_are_remembered(
    make_napari_viewer_proxy: Any, qtbot: Any, base: Path, children: FakeChildren
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    dock = docked(viewer, children)
    dock.session.load_template(template())
    films = image_folder(base.parent / "films")
    checked(qtbot, dock, films)
    dock.form.single.setChecked(True)
    dock.form.landmark.setCurrentIndex(len(POINTS))
    dock.form.landmark.activated.emit(len(POINTS))
    dock.form.time_buttons[Duration.THOROUGH].click()
    more = dock.form.more
    for name, value in {
        "epochs": 7,
        "adapter_channels": 0,
        "seed": 5,
        "initial_labels": "random",
    }.items():
        more.form[name].value = value
    own = base.parent / "own.toml"
    own.write_text(Preset.load("laptop").to_toml())
    more.choose_file(own)
    with qtbot.waitSignal(dock.checked, timeout=20_000):
        more.spacing.value = "0.1 x 0.2"
        more.spacing.native.editingFinished.emit()
    assert "0.1 to 0.2 mm per pixel" in dock.form.checked.text()
    chosen = dock.form.config()
    assert chosen.spacing_mm_yx == (0.1, 0.2)
    assert chosen.method == "single"
    assert chosen.landmarks == ()
    assert len(chosen.networks(3)) == 3
    assert chosen.initial_labels == "random"

    again = TrainWidget(viewer, run=TrainingRun(children), inspector=inspector)
    qtbot.addWidget(again)
    assert again.form.config() == chosen
    assert again.folder == films
    more.spacing.value = "wide"
    more.spacing.native.editingFinished.emit()
    assert "not a spacing" in more.spacing_note.text()
    more.defaults.click()
    assert more.spacing.value == ""
    assert dock.form.config().epochs is None
    assert session_of(viewer).model is None
