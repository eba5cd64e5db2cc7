"""How a training ends: stopped, discarded, killed, or left to go on."""

import time
from typing import Any

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QMessageBox
from training_scene import begun, pressing, wait_for

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.widgets.qt.questions import main_window_of
from napari_oneshot_lmk.widgets.train import close_question
from napari_oneshot_lmk.widgets.train.request import Phase, requests_in

ASK, ASK_AT_THE_END = close_question.ask_whether_to_discard, close_question.ask_what_becomes_of


def test_stop_keeps_the_best_within_two_seconds(dock, qtbot, children):
    begun(qtbot, dock, children)
    began = time.monotonic()
    dock.view.stop.click()
    assert dock.view.stop.text() == "Stopping…"
    assert dock.view.stop.toolTip().startswith("Already stopping")
    assert dock.view.cancel.isEnabled()
    wait_for(qtbot, dock, Phase.DONE)
    assert time.monotonic() - began < 2.0
    assert "Stopped after" in dock.view.message.text()
    assert dock.run.request.has_model


def test_cancel_and_discard_asks_first(dock, qtbot, base, children, monkeypatch):
    monkeypatch.setattr(close_question, "ask_whether_to_discard", ASK)
    begun(qtbot, dock, children)
    pressing("Do not discard")
    dock.view.cancel.click()
    assert dock.run.running
    assert children.children[-1].alive
    pressing("Discard")
    dock.view.cancel.click()
    wait_for(qtbot, dock, Phase.NONE)
    assert list(requests_in(base)) == []
    assert not children.children[-1].alive


def test_a_training_that_ends_under_the_question_is_kept(dock, qtbot, base, children, monkeypatch):
    monkeypatch.setattr(close_question, "ask_whether_to_discard", ASK)
    begun(qtbot, dock, children)

    def ends() -> None:
        children.children[-1].stop()
        wait_for(qtbot, dock, Phase.DONE)

    pressing("Discard", ends)
    dock.view.cancel.click()
    assert dock.run.phase is Phase.DONE
    assert "finished meanwhile" in dock.view.notice.text()
    (request,) = requests_in(base)
    assert request.has_model


def test_cancel_discards_all_within_two_seconds_and_no_other_model(dock, qtbot, base, children):
    dock.form.train.click()
    wait_for(qtbot, dock, Phase.DONE)
    (first,) = requests_in(base)
    dock.view.another.click()
    begun(qtbot, dock, children)
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


def test_a_training_killed_from_outside_is_told_and_can_go_on(dock, qtbot, children):
    view = dock.view
    begun(qtbot, dock, children)
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


def test_running_out_of_memory_is_one_sentence_with_a_report(dock, qtbot, base, children):
    children.end = "out of memory"
    view = dock.view
    dock.form.train.click()
    wait_for(qtbot, dock, Phase.FAILED)
    assert view.message.text() == "Not enough memory for one image; choose Quick."
    view.report.click()
    assert QApplication.clipboard().text() == "Traceback: out of memory"
    view.discard.click()
    wait_for(qtbot, dock, Phase.NONE)
    assert list(requests_in(base)) == []


def test_a_training_that_cannot_start_leaves_the_form(dock, qtbot, children):
    children.error = UsageError("no such device", remedy="use cpu")
    dock.form.train.click()
    qtbot.waitUntil(lambda: bool(dock.form.message.text()), timeout=20_000)
    assert "no such device; use cpu" in dock.form.message.text()
    assert dock.form.isVisible()


@pytest.mark.parametrize("answer", ["keep", "stop", "discard", "not close"])
def test_a_closing_window_asks_about_the_training(dock, qtbot, base, children, monkeypatch, answer):
    begun(qtbot, dock, children)
    asked: list[Any] = []

    def ask(window: Any, run: Any) -> close_question.Answer:
        asked.append(run)
        return close_question.Answer(answer)

    monkeypatch.setattr(close_question, "ask_what_becomes_of", ask)
    window = main_window_of(dock)
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


def test_the_dialog_of_the_close_question_knows_all_answers(dock):
    def press(text: str) -> None:
        (box,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox))
        next(button for button in box.buttons() if button.text() == text).click()

    for text, answer in (
        ("Let it go on", close_question.Answer.KEEP),
        ("Cancel and discard", close_question.Answer.DISCARD),
        ("Do not close", close_question.Answer.NOT_CLOSE),
    ):
        QTimer.singleShot(200, lambda text=text: press(text))
        assert ASK_AT_THE_END(dock, dock.run) is answer
