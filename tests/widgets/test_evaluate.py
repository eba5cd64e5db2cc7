"""The step "Evaluate" in a real window: errors of open images and of a project, clickable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from clinic_scene import POINTS, Clinic, add, detect, film, saves_to, template
from napari.layers import Shapes
from widget_scene import textured

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.review.status import ReviewState
from napari_oneshot_lmk.widgets.evaluate.tables import NumberTable


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot):
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.evaluate = clinic.dock.steps["Evaluate"]
    clinic.session.load_template(template())
    return clinic


def reference(folder, names, **moved):
    """A file with the points of the template on each image, some of them elsewhere."""
    grid = Geometry((240, 200))
    sets = [Landmarks.from_positions(POINTS | moved, name, grid) for name in names]
    path = folder / "truth.tps"
    write_landmarks(path, sets)
    return path


def load(clinic, path):
    clinic.dock.tabs.setCurrentWidget(clinic.evaluate)
    with clinic.qtbot.waitSignal(clinic.evaluate.comparing.ended, timeout=60_000):
        clinic.evaluate.load([path])
    clinic.qtbot.wait(20)
    return clinic.evaluate.state


def cells(table, row):
    return [table.item(row, column).text() for column in range(table.columnCount())]


def test_open_images_are_scored_and_a_point_is_looked_at(clinic, tmp_path, monkeypatch):
    form = clinic.evaluate.form
    assert "load reference points first" in form.save.toolTip().lower()
    for number in range(2):
        image = clinic.viewer.add_image(textured(seed=3 + number), name=f"image {number}")
        clinic.bench.choice.choose(image)
        clinic.run(clinic.detect.form.here)
    before = clinic.session.landmarks()
    found = {point.name: np.array(point.position_yx) for point in before.placed}
    moved = {"b": tuple(found["b"] + (30, 40)), "a": tuple(found["a"]), "c": tuple(found["c"])}
    state = load(clinic, reference(tmp_path, ["image 1", "elsewhere"], **moved))
    assert state.comparison.unit == "px"
    assert cells(form.errors, 0)[:3] == ["all", "3", "16.67"]
    assert cells(form.errors, 2)[:4] == ["b", "1", "50.00", "50.00"]
    assert "1 image of the reference without points here (elsewhere)" in form.notes.text()
    assert "the spacing of an image is unknown" in form.notes.text()
    assert cells(form.points, 0)[:3] == ["image 1", "b", "50.00"]
    # A click turns to the image and the point, whatever is shown.
    clinic.bench.choice.choose(clinic.viewer.layers["image 0"])
    form.points.cellClicked.emit(0, 0)
    clinic.qtbot.wait(20)
    assert clinic.session.target.layer.name == "image 1"
    assert clinic.session.annotation.current == "b"
    form.lines.setChecked(True)
    (lines,) = (layer for layer in clinic.viewer.layers if isinstance(layer, Shapes))
    assert np.allclose(lines.data[1], [found["b"], moved["b"]])
    # The reference never gets among the landmarks.
    assert clinic.session.landmarks() == before
    out = tmp_path / "errors.csv"
    saves_to(monkeypatch, out, "Each landmark (*.csv)")
    form.save.click()
    assert pd.read_csv(out)["mre_px"].iloc[0] == pytest.approx(50 / 3, abs=1e-3)
    clinic.session.set_spacing(0.5)
    clinic.qtbot.waitUntil(lambda: cells(form.errors, 0)[2] == "8.33", timeout=60_000)
    form.errors.cellClicked.emit(3, 0)
    assert [point.landmark for point in form.points.points] == ["c"]
    clinic.dock.tabs.setCurrentWidget(clinic.detect)
    assert not any(isinstance(layer, Shapes) for layer in clinic.viewer.layers)
    form.forget.click()
    assert clinic.evaluate.state.comparison is None
    assert form.forget.reason


def test_a_project_is_scored_and_a_damaged_file_is_one_sentence(clinic, tmp_path):
    names = [f"image_{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        film(tmp_path / "images", name, seed=number)
    project = clinic.project
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    project.create(tmp_path / "study")
    add(clinic, tmp_path / "images")
    detect(clinic)
    state = load(clinic, reference(tmp_path, names, b=(1.0, 1.0)))
    assert state.comparison.images == tuple(names)
    assert state.comparison.overall.n == 9
    last = next(point for point in state.points if point.image == names[2])
    clinic.evaluate.look_at(last)
    assert clinic.bench.review.images.name(clinic.bench.review.images.current) == names[2]
    (tmp_path / "bad.csv").write_text("image,landmark\n")
    with clinic.qtbot.waitSignal(clinic.evaluate.reading.ended, timeout=60_000):
        clinic.evaluate.load([tmp_path / "bad.csv"])
    assert clinic.evaluate.form.message.text().startswith(str(tmp_path / "bad.csv"))
    # What was compared before stays.
    assert clinic.evaluate.state.comparison is state.comparison
    # What is detected behind, on images that are not shown, is compared as well.
    clinic.fake.shift_yx = (0.0, 0.0)
    with clinic.qtbot.waitSignal(project.detecting.ended, timeout=120_000):
        project.detect(ReviewState.DETECTED)
    clinic.qtbot.waitUntil(
        lambda: clinic.evaluate.state.comparison.errors("a").max() == 0, timeout=60_000
    )
    project.close_project()


def test_names_are_whole_in_a_narrow_dock_and_the_table_fills_a_wide_one(qtbot):
    table = NumberTable((0,), 0)
    qtbot.addWidget(table)
    name = "a landmark with a long name"
    table.show_all(["landmark", *"abcdef"], [(name, *["100.00"] * 6)])
    table.show()
    for width in (160, 1200):
        table.resize(width, 150)
        assert table.columnWidth(0) > table.fontMetrics().horizontalAdvance(name)
    assert table.horizontalHeader().length() >= table.viewport().width()
