"""TPS: y counts upwards, and files as tpsDig and geomorph know them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from landmark_sets import refuses
from oblique_image import geometry, on, same_places

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.curve import Curve
from napari_oneshot_lmk.landmarks.files import (
    read_landmarks,
    unsupported_fields,
    write_landmarks,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

# As tpsDig 2 writes them: five decimals, a number for each specimen, CR LF.
TPSDIG = (
    "LM=3\r\n10.50000 89.50000\r\n-1.00000 -1.00000\r\n70.00000 0.00000\r\n"
    "CURVES=2\r\nPOINTS=2\r\n1.00000 2.00000\r\n3.00000 4.00000\r\n"
    "POINTS=1\r\n5.00000 6.00000\r\nIMAGE=fish 1.JPG\r\nID=0\r\nSCALE=0.012500\r\n"
    "LM=3\r\n1 2\r\nNA NA\r\n5e0 6\r\n"
    "IMAGE=C:\\pictures\\fish 2.JPG\r\nID=1\r\nSCALE=0.012500\r\n"
)
GRID = Geometry((90, 70))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found.tps"


def test_a_file_of_tpsdig(path):
    path.write_bytes(TPSDIG.encode())
    told: list[str] = []
    first, second = read_landmarks(path, geometry=GRID, tell=told.append)
    assert (first.image, second.image) == ("fish 1.JPG", "C:/pictures/fish 2.JPG")
    assert first.names == ("1", "2", "3")
    # The centre of the first pixel, and the lower right corner of the image.
    assert first["1"].position_yx == (0.0, 10.0)
    assert first["2"].state is State.SKIPPED
    assert first["3"].position_yx == (89.5, 69.5)
    assert second["2"].state is State.SKIPPED
    assert second["3"].position_yx == (83.5, 4.5)
    # SCALE has no unit.
    assert first.geometry.spacing_mm_yx is None
    assert len(told) == 1
    assert "SCALE= names no unit" in told[0]
    # Curves count from the bottom, too.
    assert [curve.name for curve in first.curves] == ["curve 1", "curve 2"]
    assert first.curves[0].points_yx == ((87.5, 0.5), (85.5, 2.5))
    assert second.curves == ()
    names = read_landmarks(path, geometry=GRID, names="abc", tell=told.append)[0].names
    assert names == ("a", "b", "c")


def test_curves_are_written_as_they_were_read(path, tmp_path):
    curves = (Curve("jaw", ((10.0, 20.0), (11.5, -3.25))), Curve("brow", ((1.0, 2.0),)))
    landmarks = Landmarks((Landmark("a", (0.0, 10.0)),), "f.png", GRID, curves=curves)
    write_landmarks(path, [landmarks])
    lines = path.read_text().splitlines()
    assert lines[2:8] == ["CURVES=2", "POINTS=2", "20.5 79.5", "-2.75 78.0", "POINTS=1", "2.5 88.5"]
    assert read_landmarks(path) == (landmarks,)
    assert unsupported_fields(path, [landmarks]) == ()
    assert unsupported_fields(tmp_path / "a.csv", [landmarks]) == ("curves",)
    # Outlines have points, too, which are no curve.
    path.write_text("LM=1\n1 2\nOUTLINES=1\nPOINTS=1\n3 4\nCURVES=1\nPOINTS=1\n5 6\nIMAGE=a\n")
    told: list[str] = []
    (back,) = read_landmarks(path, geometry=GRID, tell=told.append)
    assert [curve.points_yx for curve in back.curves] == [((83.5, 4.5),)]
    assert "outlines are passed over" in told[0]


def test_each_image_has_its_own_height(path):
    path.write_bytes(TPSDIG.encode())
    heights = {"fish 1.JPG": 90, "C:/pictures/fish 2.JPG": 200}
    first, second = read_landmarks(
        path, geometry_of=lambda n: Geometry((heights[n], 70)), tell=lambda _: None
    )
    assert first["1"].position_yx[0] == 0.0
    assert second["1"].position_yx[0] == 197.5


def test_without_a_height_the_way_is_said(path):
    path.write_bytes(TPSDIG.encode())
    with pytest.raises(
        LandmarkError,
        match=r"found\.tps: line 1: .*height of image 'fish 1\.JPG' is unknown; name "
        r"the image: oneshot-lmk convert found\.tps found\.csv --image IMAGE",
    ):
        read_landmarks(path, tell=lambda _: None)


def test_what_is_written_line_by_line(path):
    grid = Geometry((90, 70), (0.25, 0.25))
    landmarks = Landmarks(
        (Landmark("a", (0.0, 10.0)), Landmark("b", None, State.ABSENT)), "f.png", grid
    )
    write_landmarks(path, [landmarks, replace(landmarks, image="g.png")])
    lines = path.read_text().splitlines()
    comment = lines.pop(5)
    assert comment.startswith('COMMENT=napari-oneshot-lmk {"landmarks": ["a", "b"], ')
    assert lines[:6] == [*("LM=2", "10.5 89.5", "-1 -1", "IMAGE=f.png", "ID=0"), "SCALE=0.25"]
    assert lines[9:11] == ["IMAGE=g.png", "ID=1"]
    assert read_landmarks(path) == (landmarks, replace(landmarks, image="g.png"))


def test_every_specimen_has_the_same_landmarks_in_the_same_order(path):
    # geomorph refuses files where they differ.
    first = replace(on("a.png"), points=(Landmark("x", (1, 2)), Landmark("y", (3, 4))))
    second = replace(on("b.png"), points=(Landmark("z", (5, 6)), Landmark("x", (7, 8))))
    write_landmarks(path, [first, second])
    text = path.read_text()
    assert text.count("LM=3\n") == 2
    _, back = read_landmarks(path)
    assert back.names == ("x", "z")
    assert np.allclose(back.positions_yx, [[7, 8], [5, 6]])


@pytest.mark.parametrize(
    ("spacing", "scale"), [((0.2, 0.35), ""), ((0.41449, 0.41465), "SCALE=0.41457\n")]
)
def test_only_pixels_that_are_all_but_square_have_a_scale(path, spacing, scale):
    write_landmarks(path, [on(grid=Geometry((90, 70), spacing))])
    text = path.read_text()
    assert text.count("SCALE") == text.count(scale or "SCALE") == bool(scale)
    assert read_landmarks(path, tell=print)[0].geometry.spacing_mm_yx == spacing


def test_the_given_image_knows_where_it_lies(path):
    write_landmarks(path, [on()])
    (back,) = read_landmarks(path, geometry=geometry())
    assert back.geometry == geometry()
    assert same_places(back, on())


def test_points_that_tps_would_call_missing_are_refused(path):
    for landmarks, says in (
        (replace(on(), points=(Landmark("a", (10, -0.75)),)), "landmark 'a' lies outside"),
        (replace(on(), points=(Landmark("a", (89.75, 3)),)), "landmark 'a' lies outside"),
        (replace(on(), image="a\nLM=3"), "has several lines"),
        (on().with_geometry(None), r"height of 'film\.dcm' is unknown"),
    ):
        with pytest.raises(OutputError, match=says):
            write_landmarks(path, [landmarks])


def test_old_code_pages_and_names_by_id(path):
    path.write_bytes("LM=1\n1 2\nID=Käfer\n".encode("cp1252"))
    told = []
    (back,) = read_landmarks(path, geometry=GRID, tell=told.append)
    assert back.image == "Käfer"
    assert len(told) == 1
    assert "read as Western European (Windows-1252)" in told[0]
    path.write_text("lm=1\n1\t2\n\n")
    assert read_landmarks(path, geometry=GRID)[0].image == "found"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("LM3=1\n1 2 3\n", "line 1: holds 3-D landmarks; only LM= "),
        ("LM=0\nIMAGE=a\n", "holds no landmarks; digitise them"),
        ("LM=x\n1 2\n", "line 1: 'LM=x' counts nothing"),
        ("LM=3\n1 2\n", "line 1: LM=3 announces 3 lines, but 1 have come; .*cut"),
        ("LM=2\n1 2\nIMAGE=a\n", "line 3: is not two numbers"),
        ("LM=1\n1 2\n3 4\n", "line 3: is not KEY=VALUE; check the count in LM="),
        ("LM=1\n1 2\nCURVES=1\nPOINTS=2\n1 2\nID=a\n", "line 6: is not two numbers"),
        ("LM=1\n1 2\nCURVES=1\nPOINTS=1\nNA NA\n", "line 5: a curve has a point without"),
        ("LM=1\n1 inf\n", "line 2: is not two numbers"),
        ("IMAGE=a\nLM=1\n1 2\n", "line 1: stands before any LM="),
        ("LM=1\n1 2\nLM=1\n1 2\n", "line 1: the specimen has neither IMAGE= nor ID="),
        ("LM=1\n1 2\nIMAGE=a\nLM=1\n1 2\nIMAGE=a\n", "line 4: image 'a' stands twice; keep one"),
        (
            "LM=1\n1 2\nCOMMENT=napari-oneshot-lmk {\n",
            "line 1: the comment of napari-oneshot-lmk is damaged",
        ),
        (
            "LM=1\n1 2\nCOMMENT=napari-oneshot-lmk "
            '{"landmarks":["a","b"],"absent":[],"unlisted":[],"image_shape_yx":[9,9],'
            '"spacing_mm_yx":null}\n',
            "line 1: there are 1 landmarks but 2 names",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(path, text, match):
    path.write_text(text)
    refuses(rf"found\.tps: {match}", path, geometry=GRID)
