"""Two open images of one file name, told apart in every file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_scene import succeed
from clinic_scene import Clinic, film, saves_to, template
from npe2 import PluginManifest

from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.widgets.annotate.close_question import Answer, UnsavedQuestion
from napari_oneshot_lmk.widgets.image_names import names_apart
from napari_oneshot_lmk.widgets.measure.all_images import landmarks_of_all, page_sources_of_all

QUESTION = "napari_oneshot_lmk.widgets.annotate.close_question"
NAMES = ["scan.png", "b/scan.png", "film.png"]
SPACED = {"scale": (0.1, 0.1), "units": "mm"}


@pytest.fixture
def clinic(make_napari_viewer_proxy: Any, npe2pm: Any, qtbot: Any, tmp_path: Path) -> Clinic:
    """Three images of which two share their file name, with what was detected on them."""
    npe2pm.register(PluginManifest.from_distribution("napari"))
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.session.load_template(template())
    film(tmp_path / "images", "scan.png", 1)
    film(tmp_path / "images" / "b", "scan.png", 2)
    film(tmp_path / "images", "film.png", 3)
    for layer in clinic.open(*(tmp_path / "images" / name for name in NAMES)):
        layer.scale, layer.units = SPACED["scale"], SPACED["units"]
    clinic.run(clinic.detect.form.everywhere)
    return clinic


@pytest.mark.parametrize("ending", [".csv", ".json", ".tps"])
def test_images_of_one_name_are_named_as_on_the_command_line(clinic, tmp_path, monkeypatch, ending):
    saves_to(monkeypatch, tmp_path / f"all{ending}")
    clinic.detect.form.save.click()
    saved = [landmarks.image for landmarks in read_landmarks(tmp_path / f"all{ending}")]
    assert saved == NAMES
    assert sorted(saved) == sorted(file.name for file in find_images([tmp_path / "images"]))


def test_each_image_s_file_says_which_it_is(clinic, tmp_path, monkeypatch):
    saves_to(monkeypatch, tmp_path / "each.mrk.json")
    clinic.detect.form.save.click()
    files = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert files == ["b_scan.png.mrk.json", "film.mrk.json", "scan.png.mrk.json"]
    # The same files as the command line makes of the same images.
    saves_to(monkeypatch, tmp_path / "all.csv")
    clinic.detect.form.save.click()
    folders = tmp_path / "by_command", "--to", ".mrk.json", "--images", tmp_path / "images"
    succeed("convert", tmp_path / "all.csv", *folders)
    assert sorted(path.name for path in (tmp_path / "by_command").iterdir()) == files


def test_the_question_at_the_end_tells_them_apart(clinic, tmp_path, monkeypatch):
    clinic.viewer.layers.remove("film")
    clinic.qtbot.wait(20)
    asked = []
    monkeypatch.setattr(
        f"{QUESTION}.ask_what_becomes_of", lambda _, names: asked.append(names) or Answer.SAVE
    )
    saves_to(monkeypatch, tmp_path / "closed.csv")
    assert UnsavedQuestion(clinic.dock.window(), clinic.session).may_close(clinic.dock)
    assert asked == [NAMES]
    assert [la.image for la in read_landmarks(tmp_path / "closed.csv")] == NAMES


def test_measurements_and_reference_points_tell_them_apart(clinic, tmp_path, monkeypatch):
    assert [la.image for la in landmarks_of_all(clinic.bench)] == NAMES
    assert [source.name for source in page_sources_of_all(clinic.bench)] == NAMES
    saves_to(monkeypatch, tmp_path / "all.csv")
    clinic.detect.form.save.click()
    evaluate = clinic.dock.steps["Evaluate"]
    clinic.dock.tabs.setCurrentWidget(evaluate)
    evaluate.load([tmp_path / "all.csv"])
    clinic.qtbot.waitUntil(lambda: evaluate.state.comparison is not None, timeout=20_000)
    points = evaluate.state.comparison.points
    assert {point.image for point in points} == set(NAMES)
    assert np.allclose([point.error for point in points], 0)


def test_a_name_is_its_own_whatever_the_images_are(tmp_path):
    one, other = tmp_path / "a" / "scan.png", tmp_path / "b" / "scan.png"
    assert names_apart([("scan.png", one), ("film.png", tmp_path / "c" / "film.png")]) == [
        "scan.png",
        "film.png",
    ]
    # Slices of stacks, one file opened twice, layers without a file.
    assert names_apart([("scan.png [3]", one), ("scan.png [3]", other)]) == [
        "a/scan.png [3]",
        "b/scan.png [3]",
    ]
    assert names_apart([("scan.png", one), ("scan.png", one)]) == ["scan.png", "scan.png (2)"]
    assert names_apart([("x", None), ("x", None), ("x (2)", None)])[:2] == ["x", "x (2)"]
    assert names_apart([]) == []
