"""What a person corrected in an earlier session is not lost by detecting again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clinic_scene import POINTS, Clinic, film, saves_to, template
from npe2 import PluginManifest
from widget_scene import begin, type_spacing

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Source, State

Start = Callable[[], Clinic]


@pytest.fixture
def start(make_napari_viewer_proxy: Any, npe2pm: Any, qtbot: Any) -> Start:
    """Open a window like that of somebody who starts the program."""
    npe2pm.register(PluginManifest.from_distribution("napari"))

    def open_window() -> Clinic:
        clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
        clinic.session.load_template(template())
        clinic.dock.tabs.setCurrentWidget(clinic.detect)
        return clinic

    return open_window


def correct(clinic: Clinic, name: str, to_yx: tuple[float, float]) -> None:
    clinic.session.edit(clinic.session.annotation.place(name, to_yx))


@pytest.fixture
def corrected(start: Start, tmp_path: Path) -> Path:
    """An image of which one point was corrected and one taken off, in an earlier session."""
    path = film(tmp_path / "images", "one.png", 1)
    earlier = start()
    earlier.open(path)
    earlier.run(earlier.detect.form.here)
    type_spacing(earlier.dock, "0.3")
    correct(earlier, "a", (100.0, 60.0))
    earlier.session.edit(earlier.session.annotation.clear(["b"]))
    earlier.viewer.close()
    return path


def sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.landmarks.csv")


def others(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.glob("*.previous*"))


def test_corrections_of_an_earlier_session_stay_when_detecting(start, corrected):
    clinic = start()
    form = clinic.detect.form
    clinic.open(corrected)
    assert "2 corrections of" in form.of_image.text()
    assert "one.png.landmarks.csv: a detection leaves that as it is" in form.of_image.text()
    clinic.fake.shift_yx = (-5.0, 6.0)
    clinic.run(form.here)
    assert clinic.at("a") == (100.0, 60.0)
    assert (clinic.source("a"), clinic.source("b")) == (Source.CORRECTED, Source.CORRECTED)
    assert clinic.at("b") is None
    assert clinic.at("c") == (145.0, 96.0)
    assert len(clinic.marks.data) == 2
    assert "Taken over from one.png.landmarks.csv: 2 corrections of" in form.of_image.text()
    assert clinic.session.spacing.mm_yx == (0.3, 0.3)
    # The file goes on, and nothing was moved aside.
    (saved,) = read_landmarks(sidecar(corrected))
    assert saved["a"].position_yx == (100.0, 60.0)
    assert saved["b"].state is State.SKIPPED
    assert saved["c"].position_yx == (145.0, 96.0)
    assert others(corrected) == []


def test_undo_takes_them_off_and_keeps_their_file(start, corrected):
    clinic = start()
    form = clinic.detect.form
    clinic.open(corrected)
    clinic.run(form.here)
    form.undo.click()
    assert clinic.at("a") == (33.0, 38.0)
    assert clinic.source("a") is Source.DETECTED
    assert form.of_image.text() == ""
    (kept,) = read_landmarks(corrected.with_name("one.png.previous.csv"))
    assert kept["a"].position_yx == (100.0, 60.0)
    form.redo.click()
    assert clinic.at("a") == (100.0, 60.0)
    assert others(corrected) == ["one.png.previous.csv"]


def test_detecting_on_all_images_takes_them_over_too(start, corrected):
    clinic = start()
    form = clinic.detect.form
    film(corrected.parent, "two.png", 2)
    clinic.open(corrected, corrected.with_name("two.png"))
    clinic.run(form.everywhere)
    assert "Saved work of 1 image was taken over" in form.message.text()
    assert form.of_image.text() == ""
    clinic.bench.choice.choose(clinic.viewer.layers["one"])
    assert clinic.at("a") == (100.0, 60.0)
    assert "Taken over from" in form.of_image.text()
    # As in a session: what was taken over stays with the next detection.
    clinic.run(form.everywhere)
    assert clinic.at("a") == (100.0, 60.0)
    assert "Saved work" not in form.message.text()


def test_work_that_was_declined_is_not_taken_over(start, corrected):
    clinic = start()
    clinic.open(corrected)
    clinic.annotate.form.offer.leave.click()
    clinic.run(clinic.detect.form.here)
    assert clinic.source("a") is Source.DETECTED
    correct(clinic, "c", (10.0, 10.0))
    (kept,) = read_landmarks(corrected.with_name("one.png.previous.csv"))
    assert kept["a"].position_yx == (100.0, 60.0)


def test_work_that_cannot_be_read_is_told_and_kept(start, corrected):
    sidecar(corrected).write_text("image,landmark,x_px,y_px\none.png,a,nowhere,3\n")
    clinic = start()
    clinic.open(corrected)
    said = clinic.detect.form.of_image
    assert "Saved work cannot be read: " in said.text()
    clinic.run(clinic.detect.form.here)
    assert "Saved work cannot be read: " in said.text()
    correct(clinic, "c", (10.0, 10.0))
    assert "nowhere" in corrected.with_name("one.png.previous.csv").read_text()


def test_landmarks_that_were_placed_stay_too(start, tmp_path):
    path = film(tmp_path / "images", "one.png", 1)
    earlier = start()
    earlier.open(path)
    earlier.session.edit(earlier.session.annotation.take_detection(template().landmarks))
    earlier.session.edit(earlier.session.annotation.reset(POINTS, None))
    correct(earlier, "c", (7.0, 8.0))
    earlier.viewer.close()
    clinic = start()
    clinic.open(path)
    clinic.run(clinic.detect.form.here)
    assert clinic.at("c") == (7.0, 8.0)
    assert clinic.at("a") == (33.0, 38.0)
    assert "1 decision of" in clinic.detect.form.of_image.text()


def test_what_was_skipped_is_not_asked_for_again(start, tmp_path, monkeypatch):
    path = film(tmp_path / "images", "one.png", 1)
    earlier = start()
    earlier.dock.tabs.setCurrentWidget(earlier.annotate)
    earlier.open(path)
    begin(earlier.annotate, "a,b,c,d", (20.0, 20.0))
    earlier.bench.actions["skip"]()
    earlier.session.edit(earlier.session.annotation.place_current((30.0, 30.0)))
    # Also where nothing but that has changed.
    earlier.bench.actions["skip"]()
    saves_to(monkeypatch, tmp_path / "elsewhere.csv")
    earlier.annotate.form.save_landmarks.click()
    earlier.viewer.close()
    for file in (sidecar(path), tmp_path / "elsewhere.csv"):
        (saved,) = read_landmarks(file)
        assert [(p.state, p.is_passed_over) for p in saved] == [
            *((State.PLACED, False), (State.SKIPPED, True)),
            *((State.PLACED, False), (State.SKIPPED, True)),
        ]
    clinic = start()
    clinic.open(path)
    clinic.annotate.form.offer.take.click()
    states = [row.cells[0] for row in clinic.annotate.form.table.rows]
    assert states == ["placed", "skipped", "placed", "skipped"]
    assert clinic.session.annotation.current == ""
