"""The step "Measure" in a real window: values, tracing, definitions by clicks, all images."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
from clinic_scene import POINTS, Clinic, film, template
from napari.layers import Shapes
from qtpy.QtWidgets import QFileDialog, QMainWindow
from widget_scene import click, placed, textured

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement import Measurement
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
from napari_oneshot_lmk.measure.page_files import PageSource
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.project_set import SET_FILE, own_set
from napari_oneshot_lmk.widgets.annotate import close_question
from napari_oneshot_lmk.widgets.measure.chosen_set import ChosenSet
from napari_oneshot_lmk.widgets.measure.run import MeasureRun
from napari_oneshot_lmk.widgets.session import Session


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot):
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.measure = clinic.dock.steps["Measure"]
    clinic.form = clinic.measure.form
    clinic.dock.tabs.setCurrentWidget(clinic.measure)
    return clinic


def define(clinic, kind, *names, called=""):
    """Define a measurement by clicks, on the image and, the last one, in the list."""
    clinic.form.define.click()
    definition = clinic.form.definition
    definition.kind.setCurrentIndex(definition.kind.findData(kind))
    layer = clinic.session.target.layer
    for name in names[:-1]:
        click(clinic.viewer, layer, clinic.at(name))
    definition.list.picked.emit(names[-1])
    # What was chosen is drawn, and goes again.
    assert len(tracings(clinic)[0].data) >= len(names) - 1
    definition.name.setText(called)
    definition.add.click()
    clinic.qtbot.wait(50)


def tracings(clinic):
    clinic.qtbot.wait(60)
    return [layer for layer in clinic.viewer.layers if isinstance(layer, Shapes)]


def values(clinic):
    return {row.name: row.value for row in clinic.form.table.rows}


def test_measurements_are_defined_by_clicks_and_follow_the_points(clinic, tmp_path, monkeypatch):
    assert not clinic.form.define.isEnabled()
    assert "no landmarks" in clinic.form.define.toolTip()
    clinic.detected()
    before = placed(clinic)
    mode = str(clinic.marks.mode)
    clinic.form.define.click()
    definition = clinic.form.definition
    # Neither a click beside all points nor one to move the view chooses anything.
    click(clinic.viewer, clinic.session.target.layer, (200.0, 20.0))
    assert definition.draft.names == ()
    assert not definition.add.isEnabled()
    definition.cancel.click()
    define(clinic, "distance", "a", "b", called="ab")
    define(clinic, "path", "a", "b", "c")
    assert str(clinic.marks.mode) == mode
    assert placed(clinic) == before
    assert tracings(clinic) == []
    assert list(values(clinic)) == ["ab", "path a – b – c"]
    length = ((60 - 30) ** 2 + (120 - 40) ** 2) ** 0.5
    assert values(clinic)["ab"] == f"{length:.1f} px"
    define(clinic, "distance", "a", "c", called="ab")
    assert "ab stands twice" in definition.say.text()
    definition.cancel.click()

    clinic.form.tracing.setChecked(True)
    active = clinic.viewer.layers.selection.active
    [layer] = tracings(clinic)
    assert active == clinic.marks
    assert not layer.editable
    assert [[tuple(point) for point in line] for line in layer.data[:2]] == [
        [before["a"], before["b"]],
        [before["b"], before["c"]],
    ]
    clinic.session.set_spacing(0.5)
    clinic.session.edit(clinic.session.annotation.place("b", (33.0, 58.0), "me"))
    assert values(clinic)["ab"] == "10.0 mm"
    assert [tuple(point) for point in tracings(clinic)[0].data[0]] == [before["a"], (33.0, 58.0)]

    place = tmp_path / "own"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(place), ""))
    clinic.form.save.click()
    kept = MeasurementSet.load(tmp_path / "own.toml")
    assert [each.name for each in kept.measurement] == ["ab", "path a – b – c"]
    clinic.form.table.picked.emit("ab")
    clinic.form.remove.click()
    assert list(values(clinic)) == ["path a – b – c"]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (f"{place}.toml", ""))
    clinic.form.open.click()
    assert clinic.form.sets.currentText() == "own.toml"
    assert list(values(clinic)) == ["ab", "path a – b – c"]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "t.csv"), ""))
    run_of(clinic, clinic.form.all_images)
    table = pd.read_csv(tmp_path / "t.csv")
    assert table.loc[0, "ab [mm]"] == 10.0
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "pages"))
    run_of(clinic, clinic.form.pages)
    assert "Pages of 1 image" in clinic.form.message.text()
    assert len(list((tmp_path / "pages").glob("pages */*.pdf"))) == 1

    clinic.viewer.layers.remove(tracings(clinic)[0])
    assert not clinic.form.tracing.isChecked()
    assert tracings(clinic) == []


def run_of(clinic, button):
    with clinic.qtbot.waitSignal(clinic.measure.run.ended, timeout=60_000):
        button.click()
    clinic.qtbot.wait(20)


def test_one_tracing_follows_from_image_to_image_and_the_project_keeps_the_set(clinic, tmp_path):
    images = [film(tmp_path / "images", f"image_{n}.png", seed=n) for n in range(2)]
    with Project.create(tmp_path / "study", template(), images) as project:
        for number, image in enumerate(project.images):
            points = {name: (y + number, x) for name, (y, x) in POINTS.items()}
            made = Landmarks.from_positions(points, image.name)
            project.record(image.id, made, action="place")
    bar = clinic.project
    bar.open(tmp_path / "study")
    clinic.review.actions.turn_to(bar.images.keys[0])
    define(clinic, "distance", "a", "b", called="ab")
    assert (tmp_path / "study" / SET_FILE).exists()
    clinic.form.tracing.setChecked(True)
    [first] = tracings(clinic)
    clinic.review.actions.turn_to(bar.images.keys[1])
    [second] = tracings(clinic)
    assert second is not first
    assert [tuple(point) for point in second.data[0]] == [clinic.at("a"), clinic.at("b")]
    assert clinic.viewer.layers.selection.active == clinic.marks
    bar.close_project()
    assert tracings(clinic) == []
    clinic.bench.measuring.choose("lateral_cephalogram")
    assert MeasurementSet.load(tmp_path / "study" / SET_FILE).landmarks == ("a", "b")
    bar.open(tmp_path / "study")
    clinic.qtbot.wait(50)
    assert list(values(clinic)) == ["ab"]
    bar.close_project()


def test_a_set_of_ones_own_is_never_lost(tmp_path):
    project = Project.create(tmp_path / "study", template())
    opened = [None]
    chosen = ChosenSet(lambda: opened[0])
    chosen.propose(("sella", "nasion", "subspinale_A"))
    assert chosen.shipped == "lateral_cephalogram"
    one = Measurement(name="ab", kind="distance", points=("a", "b"))
    chosen.remove(chosen.measurements.measurement[-1].name)
    chosen.add(one)
    own = chosen.measurements
    assert chosen.unsaved
    chosen.choose("lateral_cephalogram")
    chosen.take_back()
    assert chosen.measurements == own
    opened[0] = project
    chosen.add(one.model_copy(update={"name": "again"}))
    assert not chosen.unsaved
    assert own_set(project) == chosen.measurements
    chosen.choose("lateral_cephalogram")
    # Only looking at a ready set takes nothing from the project.
    assert own_set(project) == chosen.kept
    project.close()
    opened[0] = None
    (tmp_path / "study" / SET_FILE).write_text("measurement = [")
    opened[0] = Project.open(tmp_path / "study")
    with pytest.raises(UsageError, match="is not a TOML file"):
        chosen.follow_project()
    chosen.add(one.model_copy(update={"name": "third"}))
    assert (tmp_path / "study" / SET_FILE).read_text() == "measurement = ["


def test_a_set_in_no_file_is_asked_for(tmp_path, monkeypatch, qtbot):
    opened = [None]
    chosen = ChosenSet(lambda: opened[0])
    session = Session()
    session.workbench = SimpleNamespace(measuring=chosen)
    window = QMainWindow()
    qtbot.addWidget(window)
    question, asked, answer = close_question.UnsavedQuestion(window, session), [], []
    monkeypatch.setattr(
        close_question, "ask_about_measurements", lambda _, n: asked.append(n) or answer.pop()
    )
    place = tmp_path / "own.toml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(place), ""))
    chosen.choose("lateral_cephalogram")
    assert question.may_close(window)
    chosen.remove(chosen.measurements.measurement[-1].name)
    own = chosen.measurements
    # One that was left for another is not forgotten.
    chosen.choose("lateral_cephalogram")
    for each, closes in (("stay", False), ("close", True), ("save", True)):
        answer.append(close_question.Answer(each))
        assert question.may_close(window) == closes
    assert MeasurementSet.load(place) == own
    assert question.may_close(window)
    assert len(asked) == 3
    # A project that has none takes it, and its file holds it when the project is closed.
    chosen.take_back()
    assert chosen.in_no_file == own
    with Project.create(tmp_path / "study", template()) as project:
        opened[0] = project
        chosen.follow_project()
        assert own_set(project) == own
    opened[0] = None
    chosen.follow_project()
    assert chosen.in_no_file is None
    assert chosen.measurements == own


def test_pages_that_are_cancelled_leave_whole_files_only(qtbot, tmp_path):
    images = [GrayImage.from_array(textured(seed=n), 0.5, f"{n}.png") for n in range(3)]
    points = Landmarks.from_positions(POINTS)
    chosen = MeasurementSet.model_validate(
        {"measurement": [{"name": "ab", "kind": "distance", "points": ["a", "b"]}]}
    )
    for form, left in (("png", ["0.png"]), ("one", [])):
        sources = [
            PageSource(
                each.name, points, partial(GrayImage.from_array, each.pixels, 0.5, each.name)
            )
            for each in images
        ]
        run = MeasureRun()

        def on_going(text, done, total, run=run):
            if done == 1:
                run.cancel()

        run.going.connect(on_going)
        with qtbot.waitSignal(run.ended, timeout=60_000) as ended:
            run.write_pages(sources, chosen, tmp_path / form, form)
        assert ended.args[0] == run.cancelled_text
        assert not run.running
        qtbot.waitUntil(lambda f=form: not list(tmp_path.glob(f"{f}/.*")), timeout=20_000)
        files = sorted(file.name for file in (tmp_path / form).glob("*"))
        # The page that was being written when it was cancelled may be there, too.
        assert files[: len(left)] == left
        assert "measurements.csv" not in files
        assert "pages.pdf" not in files
