"""Slicer's markups: nothing is lost, and Slicer's own files are understood."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from landmark_sets import example, image_geometries, landmark_sets, refuses, same

from napari_oneshot_lmk.errors import SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

# Where no image file is named, nobody knows how Slicer counts: that has a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*checked without the image file:napari_oneshot_lmk.landmarks.files.LandmarkWarning"
)

SCHEMA_NAME = "markups-schema-v1.0.3.json#"
GEOMETRY = Geometry((300, 200), (0.3, 0.2))


def check_structure(document: dict[str, Any]) -> None:
    """Check what Slicer's schema 1.0.3 and its reader ask of a point list."""
    assert document["@schema"].endswith("/" + SCHEMA_NAME)
    assert isinstance(document["markups"], list)
    for markup in document["markups"]:
        assert markup["type"] == "Fiducial"
        assert markup["coordinateSystem"] in ("LPS", "RAS")
        assert markup["coordinateUnits"] in ("mm", "um")
        for key in ("name", "labelFormat"):
            assert isinstance(markup[key], str)
        for key in ("locked", "fixedNumberOfControlPoints"):
            assert isinstance(markup[key], bool)
        assert isinstance(markup["lastUsedControlPointNumber"], int)
        assert markup["measurements"] == []
        assert all(isinstance(value, bool) for value in markup["display"].values())
        numbers = [control["id"] for control in markup["controlPoints"]]
        assert len(set(numbers)) == len(numbers)
        for control in markup["controlPoints"]:
            for key in ("id", "label", "description", "associatedNodeID"):
                assert isinstance(control[key], str)
            for key in ("selected", "locked", "visibility"):
                assert isinstance(control[key], bool)
            assert control["positionStatus"] in ("undefined", "defined")
            assert ("position" in control) == (control["positionStatus"] == "defined")
            if "position" in control:
                assert len(control["position"]) == 3
                assert {type(value) for value in control["position"]} <= {int, float}


def write(path: Path, landmarks: Landmarks) -> dict[str, Any]:
    write_landmarks(path, [landmarks], overwrite=True)
    return json.loads(path.read_text(encoding="utf-8"))


def from_slicer(path: Path, controls: list[dict[str, Any]], **markup: Any) -> Path:
    """Write a file as Slicer does, with nothing of ours in it."""
    document = {
        "@schema": "https://raw.githubusercontent.com/slicer/slicer/master/Modules/"
        f"Loadable/Markups/Resources/Schema/{SCHEMA_NAME}",
        "markups": [{"type": "Fiducial", **markup, "controlPoints": controls}],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "001.mrk.json"


# -- ours -----------------------------------------------------------------------


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(landmark_sets(image_geometries(known_spacing=True)))
def test_nothing_is_lost(tmp_path, landmarks):
    path = tmp_path / "found.mrk.json"
    check_structure(write(path, landmarks))
    (back,) = read_landmarks(path)
    assert same(landmarks, back)


def test_positions_are_where_slicer_expects_them(path):
    document = write(path, example())
    check_structure(document)
    (markup,) = document["markups"]
    assert markup["name"] == "001"
    sella, nasion, porion, menton = markup["controlPoints"]
    assert (sella["label"], sella["description"]) == ("sella", "a, b")
    # Columns run backwards in the patient (P), rows downwards (-S).
    expected = [10.0, -20 + 100.125 * 0.2, 30 - 70.25 * 0.3]
    np.testing.assert_allclose(sella["position"], expected)
    assert nasion["positionStatus"] == porion["positionStatus"] == "undefined"
    assert menton["positionStatus"] == "defined"


def test_a_point_moved_in_slicer_has_moved_and_is_no_longer_the_detectors(path):
    document = write(path, example())
    document["markups"][0]["controlPoints"][0]["position"][1] += 0.4
    document["markups"][0]["controlPoints"][3]["positionStatus"] = "undefined"
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path)
    assert back["sella"].position_yx == pytest.approx((70.25, 102.125))
    assert back["sella"].score is None
    assert back["sella"].description == "a, b"
    assert back["menton"] == Landmark("menton", None, State.SKIPPED)


def test_a_point_placed_in_slicer_is_placed(path):
    document = write(path, example())
    porion = document["markups"][0]["controlPoints"][2]
    porion["positionStatus"] = "defined"
    porion["position"] = [10.0, -20.0, 30.0]
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path)
    assert back["porion"].state is State.PLACED
    assert back["porion"].position_yx == pytest.approx((0, 0), abs=1e-9)


def test_saved_again_by_slicer_it_is_read_with_the_image(path):
    document = write(path, example())
    (markup,) = document["markups"]
    del markup["napari_oneshot_lmk"], markup["name"]
    for control in markup["controlPoints"]:
        del control["napari_oneshot_lmk"]
        # Slicer writes an empty text here, against its own schema.
        control.setdefault("position", "")
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path, geometry=example().geometry)
    np.testing.assert_allclose(back.positions_yx, example().positions_yx, atol=1e-9)
    assert back.image == "001"
    refuses("not where the image's pixels are; open it", path)


# -- Slicer's ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "position"),
    [
        ({}, [20, 30, 0]),
        ({"coordinateSystem": "LPS"}, [20, 30, 0]),
        ({"coordinateSystem": "RAS"}, [-20, -30, 0]),
        ({"coordinateUnits": "um"}, [20000, 30000, 0]),
        ({"coordinateUnits": ["mm", "UCUM", "millimeter"]}, [20, 30, 0]),
    ],
)
def test_coordinates_and_units(path, markup, position):
    from_slicer(path, [{"label": "sella", "position": position}], **markup)
    (back,) = read_landmarks(path, geometry=GEOMETRY)
    assert back["sella"].position_yx == pytest.approx((100, 100))
    assert back.geometry == GEOMETRY


def test_states_of_slicer(path):
    states = {"a": "defined", "b": "preview", "c": "undefined", "m": "missing"}
    controls = [
        {"label": name, "position": [0, 0, 0], "positionStatus": status}
        for name, status in states.items()
    ]
    from_slicer(path, [*controls, {"label": "d", "description": "no position"}])
    (back,) = read_landmarks(path, geometry=GEOMETRY)
    assert [p.state for p in back] == ["placed"] + ["skipped"] * 4
    assert back["d"].description == "no position"


def test_several_lists_in_one_file(path):
    kinds = {"A": "Fiducial", "L": "Line", "B": "Fiducial"}
    lists = [
        {"type": kind, "name": name, "controlPoints": [{"label": name.lower()}]}
        for name, kind in kinds.items()
    ]
    path.write_text(json.dumps({"@schema": SCHEMA_NAME, "markups": lists}))
    first, second = read_landmarks(path, geometry=GEOMETRY)
    assert (first.image, first.names) == ("A", ("a",))
    assert (second.image, second.names) == ("B", ("b",))


# -- what is wrong ----------------------------------------------------------------


def test_unknown_spacing_is_refused_and_nothing_is_left(path):
    for geometry in (None, Geometry((300, 200))):
        with pytest.raises(SpacingUnknownError, match=r"001\.mrk\.json: .*--spacing"):
            write_landmarks(path, [replace(example(), geometry=geometry)])
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("controls", "markup", "match"),
    [
        ([{"position": [0, 0, 0]}], {}, "control point 1 has no label"),
        ([{"label": "a"}, {"label": "a"}], {}, "'a' stands twice"),
        ([{"label": "a", "position": [0, 0]}], {}, "'a' is not three numbers"),
        ([{"label": "a", "position": ["x", 0, 0]}], {}, "position of 'a' is 'x', not a"),
        ([{"label": "a", "position": [0, 0, 9]}], {}, "'a' lies 9.0 mm off the image's"),
        ([], {"coordinateSystem": "IJK"}, "is in 'IJK' coordinates"),
        ([], {"coordinateUnits": "inch"}, "and 'inch'"),
        (["a"], {}, "control point 1 is 'a', not an object"),
    ],
)
def test_points_that_make_no_sense(path, controls, markup, match):
    from_slicer(path, controls, **markup)
    refuses(match, path, geometry=GEOMETRY)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ('{"markups": [', "is not JSON, it may be cut short"),
        ("[]", "is not a Slicer markups file"),
        ('{"markups": {}}', "is not a Slicer markups file"),
        ('{"markups": []}', "holds no point list"),
        ('{"markups": [{"type": "Line"}]}', "holds no point list"),
    ],
)
def test_files_that_are_no_markups(path, text, match):
    path.write_text(text)
    refuses(match, path)
    refuses("cannot be read", path.with_name("missing.mrk.json"))
