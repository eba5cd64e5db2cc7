"""A clinic's sitting: twenty images detected, corrected and saved, in a real window."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic_scene import Clinic, film, saves_to
from qtpy.QtCore import Qt
from widget_scene import begin, click, drag, press_key, type_spacing

COUNT = 20
SPOTS = {"a": (40.0, 50.0), "b": (60.0, 150.0), "c": (150.0, 90.0), "d": (190.0, 40.0)}
NAMES = tuple(SPOTS)


def table(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["image"], row["landmark"]): row for row in csv.DictReader(file)}


def position(row: dict[str, str]) -> tuple[float, float]:
    return float(row["y_px"]), float(row["x_px"])


def choose(clinic: Clinic, number: int, images: list[Any]) -> None:
    """Turn to an image, each time in another way."""
    layers, image = clinic.viewer.layers, images[number]
    if number % 4 == 0:
        clinic.dock.header.chooser.activated.emit(clinic.bench.choice.images.index(image))
    elif number % 4 == 2:
        image.visible = True
    else:
        by_its_marks = layers[f"found – {image.name}.png"] if number % 4 == 3 else image
        layers.selection.active = by_its_marks
    clinic.qtbot.wait(60)


def test_twenty_images_in_one_sitting(clinic, tmp_path, monkeypatch):
    viewer, session, form = clinic.viewer, clinic.session, clinic.detect.form
    paths = [film(tmp_path / "images", f"{number:03d}.png", number) for number in range(COUNT)]
    images = clinic.open(*paths)

    # The first is the template: four clicks.
    clinic.dock.header.chooser.activated.emit(0)
    type_spacing(clinic.dock, "0.1")
    begin(clinic.annotate, ",".join(NAMES))
    for spot in SPOTS.values():
        click(viewer, images[0], spot)
    clinic.annotate.form.use_template.click()
    assert form.everywhere.text() == f"Detect on all images ({COUNT - 1})"
    clinic.fake.unsure = ("b",)
    clinic.run(form.everywhere)

    # On every other image one point is dragged; on some, more is done.
    expected: dict[tuple[str, str], tuple[str, tuple[float, float] | None]] = {}
    for number in range(1, COUNT):
        choose(clinic, number, images)
        assert session.target.layer == images[number]
        assert [la.name for la in clinic.bench.choice.images if la.visible] == [images[number].name]
        image = paths[number].name
        for name in NAMES:
            expected[image, name] = ("detected", clinic.at(name))
        moved = NAMES[number % 4]
        start = clinic.at(moved)
        drag(viewer, images[number], start, (start[0] + 8 + number / 2, start[1] - 12))
        assert clinic.at(moved) != start
        expected[image, moved] = ("corrected", clinic.at(moved))
        if number % 5 == 0:
            gone = NAMES[(number + 1) % 4]
            click(viewer, images[number], clinic.at(gone))
            press_key(viewer, Qt.Key.Key_Delete)
            expected[image, gone] = ("corrected", None)
        if number % 7 == 0:
            press_key(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
            expected[image, moved] = ("detected", start)
            assert clinic.at(moved) == start

    # Detecting anew takes nothing of it away, and moves the rest.
    clinic.fake.shift_yx = (-4.0, 5.0)
    clinic.run(form.everywhere)
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    rows = table(tmp_path / "all.csv")
    assert {image for image, _ in rows} == {path.name for path in paths[1:]}
    for (image, name), (source, at) in expected.items():
        row = rows[image, name]
        assert row["source"] == source
        if source == "detected":
            at = np.add(session.template.landmarks[name].position_yx, clinic.fake.shift_yx)
            assert row["method"] == "instant"
        else:
            assert (row["method"], row["score"]) == ("manual", "")
        if at is None:
            assert row["x_px"] == row["y_px"] == ""
        else:
            assert position(row) == pytest.approx(at, abs=1e-9)
    placed = [at for source, at in expected.values() if source == "corrected" and at]
    assert f"{len(placed)} corrected" in form.message.text()
    assert session.unsaved() == []

    # The same stands in the files that were written on the way.
    for number in range(1, COUNT):
        image = paths[number].name
        if number % 7 == 0 and number % 5:
            continue
        kept = table(tmp_path / "images" / f"{image}.landmarks.csv")
        for name in NAMES:
            for column in ("x_px", "source"):
                assert kept[image, name][column] == rows[image, name][column]
    template = table(tmp_path / "images" / "000.png.landmarks.csv")
    assert float(template["000.png", "a"]["x_mm"]) == pytest.approx(5.0, abs=0.3)
    assert {row["source"] for row in template.values()} == {"placed"}
