"""A clinic's sitting: twenty films detected, corrected and saved, in a real window."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic_scene import Clinic, film, saves_to
from qtpy.QtCore import Qt
from widget_scene import click, drag, press_key

from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list

FILMS = 20
NAMES = ("a", "b", "c", "d")
SPOTS = {"a": (40.0, 50.0), "b": (60.0, 150.0), "c": (150.0, 90.0), "d": (190.0, 40.0)}


def table(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["image"], row["landmark"]): row for row in csv.DictReader(file)}


def choose(clinic: Clinic, number: int, images: list[Any]) -> None:
    """Turn to a film, each time in another way."""
    way = number % 4
    if way == 0:
        clinic.dock.header.chooser.activated.emit(clinic.bench.choice.images.index(images[number]))
    elif way == 1:
        clinic.viewer.layers.selection.active = images[number]
    elif way == 2:
        images[number].visible = True
    else:
        name = f"found – {images[number].name}.png"
        clinic.viewer.layers.selection.active = clinic.viewer.layers[name]
    clinic.qtbot.wait(60)


def test_twenty_films_in_one_sitting(clinic, tmp_path, monkeypatch):
    viewer, session, form = clinic.viewer, clinic.session, clinic.detect.form
    folder = tmp_path / "films"
    paths = [film(folder, f"{number:03d}.png", number) for number in range(FILMS)]
    images = [viewer.open(path, plugin="napari")[0] for path in paths]

    # The first is the template: four clicks.
    clinic.dock.header.chooser.activated.emit(0)
    header = clinic.dock.header
    header.spacing.setText("0.1")
    header.spacing.editingFinished.emit()
    clinic.annotate.follow_list(parse_landmark_list(",".join(NAMES)))
    clinic.annotate.form.start.click()
    for spot in SPOTS.values():
        click(viewer, images[0], spot)
    clinic.annotate.form.use_template.click()
    assert form.everywhere.text() == f"Detect on all images ({FILMS - 1})"
    clinic.fake.unsure = ("b",)
    clinic.run(form.everywhere)

    # On every other film one point is dragged; on some, more is done.
    expected: dict[tuple[str, str], tuple[str, tuple[float, float] | None]] = {}
    for number in range(1, FILMS):
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
            assert clinic.at(moved) == start or number % 5 == 0

    # Detecting anew takes nothing of it away, and moves the rest.
    clinic.fake.shift_yx = (-4.0, 5.0)
    clinic.run(form.everywhere)
    saves_to(monkeypatch, tmp_path / "all.csv")
    form.save.click()
    rows = table(tmp_path / "all.csv")
    assert {image for image, _ in rows} == {path.name for path in paths[1:]}
    corrected = 0
    for (image, name), (source, position) in expected.items():
        row = rows[image, name]
        assert row["source"] == ("" if position is None else source) or row["source"] == source
        if source == "corrected":
            corrected += 1
            assert row["method"] == "manual"
            assert row["score"] == ""
            if position is None:
                assert row["x_px"] == row["y_px"] == ""
            else:
                at = float(row["y_px"]), float(row["x_px"])
                assert at == pytest.approx(position, abs=1e-9)
        else:
            at = float(row["y_px"]), float(row["x_px"])
            spot = session.template.landmarks[name].position_yx
            assert at == pytest.approx(np.add(spot, clinic.fake.shift_yx), abs=1e-9)
            assert row["method"] == "instant"
    assert f"{corrected - FILMS // 5 + 1} corrected" in form.message.text()
    assert session.unsaved() == []

    # The same stands in the files that were written on the way.
    for number in range(1, FILMS):
        image = paths[number].name
        sidecar = folder / f"{image}.landmarks.csv"
        if number % 7 == 0 and number % 5:
            continue
        kept = table(sidecar)
        for name in NAMES:
            assert kept[image, name]["x_px"] == rows[image, name]["x_px"]
            assert kept[image, name]["source"] == rows[image, name]["source"]
    template = table(folder / "000.png.landmarks.csv")
    assert float(template["000.png", "a"]["x_mm"]) == pytest.approx(5.0, abs=0.3)
    assert {row["source"] for row in template.values()} == {str(Source.PLACED)}
