"""Measurements between landmarks, against values computed by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_scene import one_sentence, run, save_table

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement import Measurement, measure
from napari_oneshot_lmk.measure.measurement_set import (
    MeasurementSet,
    measurement_table,
    one_row_per_image,
)

POINTS_YX = {"a": (0, 0), "b": (0, 4), "c": (3, 4), "d": (3, 1), "e": (-2, 2)}


def placed(spacing: tuple[float, float] | None = None, **points: tuple[float, float]) -> Landmarks:
    return Landmarks.from_positions(points or POINTS_YX, "p.png", Geometry((50, 50), spacing))


@pytest.mark.parametrize(
    ("kind", "points", "value", "unit"),
    [
        ("distance", "ac", 5.0, "px"),
        ("path", "abcd", 10.0, "px"),
        ("path", "ac", 5.0, "px"),
        ("angle", "abc", 90.0, "°"),
        ("angle", "bac", math.degrees(math.atan2(3, 4)), "°"),
        ("lines", "abdc", 0.0, "°"),
        ("lines", "abcd", 180.0, "°"),
        ("bend", "abce", 90.0, "°"),
        ("bend", "abcd", -90.0, "°"),
        ("projection", "acab", 4.0, "px"),
        ("projection", "caab", -4.0, "px"),
        ("offset", "eabd", -2.0, "px"),
        ("offset", "dabc", 3.0, "px"),
        ("ratio", "abac", 80.0, "%"),
    ],
)
def test_each_kind_equals_the_hand(kind: str, points: str, value: float, unit: str) -> None:
    [found] = measure(placed(), [Measurement(name="m", kind=kind, points=tuple(points))])
    assert found.value == pytest.approx(value)
    assert found.unit == unit


def test_pixels_that_are_not_square_bend_no_angle() -> None:
    diagonal = [Measurement(name="m", kind="angle", points=tuple("bac"))]
    length = [Measurement(name="m", kind="distance", points=tuple("ac"))]
    [angle] = measure(placed((0.2, 0.1)), diagonal)
    assert angle.value == pytest.approx(math.degrees(math.atan2(0.6, 0.4)))
    [distance] = measure(placed((0.2, 0.1)), length)
    assert (distance.value, distance.unit) == (pytest.approx(math.hypot(0.6, 0.4)), "mm")
    [given] = measure(placed(), length, (0.2, 0.1))
    assert (given.value, given.unit) == (distance.value, "mm")


def test_what_cannot_be_measured_says_why() -> None:
    wanted = [
        Measurement(name="far", kind="distance", points=("a", "x")),
        Measurement(name="flat", kind="angle", points=("a", "a", "b")),
        Measurement(name="less", kind="difference", of=("far", "flat")),
    ]
    values = measure(placed(), wanted)
    assert [value.value for value in values] == [None, None, None]
    assert [v.missing for v in values] == ["x not placed", "its points coincide", "x not placed"]


def test_lengths_in_pixels_stand_in_a_column_of_their_own() -> None:
    wanted = MeasurementSet(
        measurement=[
            {"name": "ac", "kind": "distance", "points": ["a", "c"]},
            {"name": "gone", "kind": "distance", "points": ["a", "x"]},
        ]
    )
    known, unknown = placed((0.1, 0.1)), Landmarks.from_positions(POINTS_YX, "q.png")
    wide = one_row_per_image(measurement_table([known, unknown], wanted))
    assert list(wide.columns) == ["ac [mm]", "ac [px]"]
    assert wide.loc["p.png", "ac [mm]"] == pytest.approx(0.5)
    assert np.isnan(wide.loc["p.png", "ac [px]"])
    assert wide.loc["q.png", "ac [px]"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[measurement]]\nname="m"\nkind="angle"\npoints=["a"]', "angle takes 3 points"),
        ('[[measurement]]\nname="m"\nkind="path"\npoints=["a"]', "takes two points or more"),
        ('[[measurement]]\nname="m"\nkind="volume"', "kind"),
        ('[[measurement]]\nname="m"\nkind="difference"\nof=["x","y"]', "does not stand above it"),
        ("measurement = [", "is not a TOML file"),
    ],
)
def test_a_set_that_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        MeasurementSet.load(path)
    with pytest.raises(UsageError, match="neither a set of measurements"):
        MeasurementSet.load(tmp_path / "none.toml")


def test_the_command_writes_both_tables(tmp_path: Path) -> None:
    source, own = tmp_path / "found.csv", tmp_path / "own.toml"
    rows = [
        {"image": image, "landmark": name, "x_px": x, "y_px": y}
        for image in ("p.png", "q.png")
        for name, (y, x) in POINTS_YX.items()
    ]
    save_table(source, rows)
    own.write_text(
        'title="Own"\n[[measurement]]\nname="ac"\nkind="distance"\npoints=["a","c"]\n'
        '[[measurement]]\nname="ax"\nkind="distance"\npoints=["a","x"]\n'
    )
    arguments = ("measure", source, "--set", own, "--spacing", 0.1)
    result = run(*arguments, "--out", tmp_path / "long.csv")
    assert result.exit_code == 0, result.output
    assert "0.5 mm" in result.output
    assert "x not placed (2 images)" in result.output
    save_table(source, [row for row in rows if row["image"] == rows[0]["image"]])
    assert "x not placed (1 image)" in run(*arguments).output
    save_table(source, rows)
    long = pd.read_csv(tmp_path / "long.csv")
    assert len(long) == 4
    assert long["value"].dropna().tolist() == [0.5, 0.5]
    run(*arguments, "--wide", "--out", tmp_path / "wide.csv")
    wide = pd.read_csv(tmp_path / "wide.csv")
    assert wide.to_dict("list") == {"image": ["p.png", "q.png"], "ac [mm]": [0.5, 0.5]}
    copied = run("measure", "--print-set")
    own.write_text(copied.output, encoding="utf-8")
    assert MeasurementSet.load(own) == MeasurementSet.load("lateral_cephalogram")
    assert run("measure").exit_code == 2
    again = run(*arguments, "--out", tmp_path / "wide.csv")
    assert again.exit_code == 2
    assert one_sentence(again)
