"""The tour sees what was done, shows where to press, and is offered until it was declined."""

import json
from dataclasses import replace

import pytest
from qtpy.QtWidgets import QApplication, QFileDialog
from widget_scene import PLUGIN

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance, Source
from napari_oneshot_lmk.review.status import ReviewState, status_of
from napari_oneshot_lmk.widgets.settings import offers_tour
from napari_oneshot_lmk.widgets.tour import help_menu, tour_texts
from napari_oneshot_lmk.widgets.tour.steps import STEPS
from napari_oneshot_lmk.widgets.train.models import KnownModel


@pytest.fixture
def dock(plugin, plugin_settings, make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    return viewer.window.add_plugin_dock_widget(PLUGIN, "One-shot landmarks")[1]


def test_steps_are_seen_to_be_done_whoever_does_them(dock, qtbot):
    tour = dock.tour
    assert tour.isVisible()
    assert not any(step.done(dock) for step in STEPS)
    tour.take.click()
    assert tour.number == 0
    # The tour does the first step, the user's own way does the second.
    tour.act.click()
    assert tour.number == 1
    assert dock.tabs.currentWidget() is dock.steps["Annotate"]
    offer = dock.steps["Annotate"].form.offer
    assert "border" in offer.take.styleSheet()
    offer.take.click()
    tour.look()
    assert offer.take.styleSheet() == ""
    button = dock.steps["Annotate"].form.use_template
    assert "border" in button.styleSheet()
    button.click()
    qtbot.waitUntil(lambda: tour.number == 2, timeout=5000)
    assert button.styleSheet() == ""
    assert dock.tabs.currentWidget() is dock.steps["Train"]
    # What is left out shows its own tab and control.
    for step in STEPS[2:]:
        assert tour.step is step
        assert not step.done(dock)
        assert dock.tabs.currentWidget() is dock.steps[step.tab]
        assert step.control(dock).isVisibleTo(dock.steps[step.tab]) or step.waiting(dock) == ""
        tour.skip.click()
    assert tour.step is None
    assert tour.title.text() == tour_texts.LAST_TITLE
    with qtbot.waitSignal(tour.ended) as ended:
        tour.end.click()
    assert ended.args == [True]
    assert not tour.isVisible()
    assert not offers_tour()
    # The menu begins it anew, behind what is done already.
    dock.help.tour.trigger()
    assert tour.number == 2


def test_results_reviewed_and_saved_are_seen(dock, qtbot, tmp_path, monkeypatch):
    session = dock.session
    dock.viewer.open_sample(PLUGIN, "skull")
    annotate = dock.steps["Annotate"]
    annotate.form.offer.take.click()
    annotate.form.use_template.click()
    points = [replace(p, score=0.5, source=Source.DETECTED) for p in session.landmarks()]
    known = Landmarks(points, provenance=Provenance("instant"))
    done = {step.title: step.done for step in STEPS}
    dock.header.chooser.activated.emit(0)
    assert not session.is_template(session.target)
    session.take_detection(session.target, known)
    assert done["Detect at once"](dock)
    assert not done["Review an image"](dock)
    accept = next(step for step in STEPS if step.title == "Review an image")
    accept.act(dock)
    qtbot.waitUntil(lambda: done["Review an image"](dock), timeout=5000)
    (result,) = session.results().values()
    assert status_of(result, session.template).state is ReviewState.ACCEPTED
    assert not done["Save the results"](dock)
    file = tmp_path / "results.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(file), ""))
    dock.steps["Detect"].form.save.click()
    assert read_landmarks(file)
    assert done["Save the results"](dock)
    assert not done["Use the trained model"](dock)
    session.model = KnownModel("a model", tmp_path)
    assert done["Use the trained model"](dock)


def test_a_declined_tour_is_not_offered_again(dock, qtbot):
    dock.tour.decline.click()
    assert not dock.tour.isVisible()
    _, other = dock.viewer.window.add_plugin_dock_widget(PLUGIN, "One-shot landmarks")
    assert not offers_tour()
    assert not other.tour.isVisible()


def test_the_report_for_a_bug_is_copied(dock, qtbot, monkeypatch):
    monkeypatch.setattr(help_menu, "last_report", lambda: "Traceback: something")
    with qtbot.waitSignal(dock.help.report.ended, timeout=120_000):
        dock.help.copy_report.trigger()
    text = QApplication.clipboard().text()
    told, failed = text.rsplit("\n\n", 1)
    assert failed == "Traceback: something"
    report = json.loads(told)
    assert report["versions"]["napari-oneshot-lmk"]
    assert report["devices"]
    assert report["encoder_weights"]
    assert dock.help_message.text() == tour_texts.REPORT_MADE
