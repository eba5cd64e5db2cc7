"""How programs write that a landmark is not placed, and how they write text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oblique_image import cephalogram

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import holds_landmarks, read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.lists import read_landmark_list

GRID = Geometry((90, 70), (0.5, 0.5))


def read(path: Path, content: str | bytes, **known: Any) -> tuple[Landmarks, list[str]]:
    """Write a file and read it; return the first image and what was told."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    told: list[str] = []
    known.setdefault("geometry", GRID)
    return read_landmarks(path, tell=told.append, **known)[0], told


def states(landmarks: Landmarks) -> str:
    return "".join(str(point.state)[0] for point in landmarks)


# -- tables --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        *((c, "s") for c in ("NA,NA", "NaN,nan", "null,null", "#N/A,n/a", "-,-")),
        *(("-1,-1", "s"), ("-9999,-9999.0", "s"), ("-1,5", "p"), ("0,0", "p")),
    ],
)
def test_cells_of_a_table(tmp_path, cells, expected):
    rows = f"image,landmark,x_px,y_px\na.png,s,{cells}\na.png,n,3,4\n"
    landmarks, told = read(tmp_path / "a.csv", rows)
    assert states(landmarks) == expected + "p"
    assert bool(told) == ("-1,-1" in cells or "9999" in cells)


def test_a_state_goes_before_a_placeholder(tmp_path):
    rows = "image,landmark,x_px,y_px,state\na.png,s,-1,-1,placed\n"
    landmarks, told = read(tmp_path / "a.csv", rows)
    assert landmarks["s"].position_yx == (-1.0, -1.0)
    assert told == []


def test_several_landmarks_in_the_corner_are_not_placed(tmp_path):
    rows = "image,landmark,x_px,y_px\na.png,s,0,0\na.png,n,0,0\na.png,m,3,4\n"
    landmarks, told = read(tmp_path / "a.csv", rows)
    assert states(landmarks) == "ssp"
    assert "2 landmarks of image 'a.png' at 0, 0 are taken for not placed" in told[0]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\ufeff"])
def test_the_first_line_of_excel(tmp_path, separator, before):
    table = "image,landmark,x_px,y_px\na.png,s,1,2\n".replace(",", separator)
    path = tmp_path / "a.csv"
    landmarks, _ = read(path, f"{before}sep={separator}\r\n{table}")
    assert landmarks["s"].position_yx == (2.0, 1.0)
    assert holds_landmarks(path)
    with pytest.raises(LandmarkError, match="line 3: x_px is 'x'"):
        read(path, f"sep={separator}\n{table.replace(f'{separator}1', f'{separator}x')}")
    # napari's own points alike.
    points = "index,axis-0,axis-1\n0,1.5,2\n".replace(",", separator)
    assert read(path, f"SEP={separator}\n{points}")[0]["1"].position_yx == (1.5, 2.0)
    assert holds_landmarks(path)


def test_whole_numbers_that_a_spreadsheet_has_made_decimal(tmp_path):
    head = "image;landmark;x_px;y_px;height_px;width_px;row_axis_lps\n"
    first = "a.png;s;12,5;30,25;{};70;0,0 0,8 0,6\n"
    for size in ("90", "90.0", "90,0"):
        landmarks, _ = read(tmp_path / "a.csv", head + first.format(size))
        assert landmarks.geometry.image_shape_yx == (90, 70)
        assert landmarks.geometry.row_axis_lps == (0.0, 0.8, 0.6)
        assert landmarks["s"].position_yx == (30.25, 12.5)
    with pytest.raises(LandmarkError, match=r"'90\.5' is not a whole number"):
        read(tmp_path / "a.csv", head + first.format("90.5"))
    sized = "image,landmark,x_px,y_px,height_px,width_px\na,s,1,2,90.0,70\na,n,3,4,90,70"
    assert read(tmp_path / "a.csv", sized)[0].geometry == Geometry((90, 70))


def test_a_column_may_not_stand_twice(tmp_path):
    for column in ("source", "x_px", "height_px"):
        head = f"image,landmark,x_px,y_px,height_px,source,{column}\n"
        with pytest.raises(LandmarkError, match=f"has two columns {column}"):
            read(tmp_path / "a.csv", head + "a,s,1,2,90,,\n")
    with pytest.raises(LandmarkError, match="has two columns label"):
        read(tmp_path / "a.csv", "index,axis-0,axis-1,label,label\n0,1,2,a,b\n")


def test_napari_points_without_a_place(tmp_path):
    table = "index,axis-0,axis-1,label\n0,nan,nan,a\n1,3.5,4,b\n"
    landmarks, _ = read(tmp_path / "a.csv", table)
    assert states(landmarks) == "sp"


# -- tps and the challenge -----------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        *((row, "s") for row in ("0 0", "0.0 0.0", "NA NA", "NaN NaN", "NA 3", "-1 -1")),
        *(("-9999 -9999", "s"), ("0 3", "p"), ("12,5 3,25", "p")),
    ],
)
def test_rows_of_tps(tmp_path, row, expected):
    landmarks, told = read(tmp_path / "a.tps", f"LM=2\n{row}\n10 20\nID=a.png\n")
    assert states(landmarks) == expected + "p"
    assert bool(told) == row.startswith(("0 0", "0.0"))
    if row.startswith("12"):
        assert landmarks["1"].position_yx == (90 - 3.25 - 0.5, 12.0)


def test_our_own_tps_may_have_a_landmark_in_the_lower_left_corner(tmp_path):
    path = tmp_path / "a.tps"
    corner = Landmarks.from_positions({"c": (89.5, -0.5)}, "a.png", GRID)
    write_landmarks(path, [corner])
    assert read_landmarks(path)[0]["c"].position_yx == (89.5, -0.5)


@pytest.mark.parametrize("row", ["-1,-1", "NaN,NaN", "NA,NA", ",", "-9999,-9999"])
def test_rows_of_the_challenge(tmp_path, row):
    path = tmp_path / "film.txt"
    write_landmarks(path, [cephalogram()])
    lines = path.read_text().splitlines()
    lines[3] = row
    landmarks, _ = read(path, "\n".join(lines))
    assert holds_landmarks(path)
    assert states(landmarks) == "ppps" + "p" * 15
    lines[4] = lines[5] = "0,0"
    landmarks, told = read(path, "\n".join(lines))
    assert states(landmarks) == "pppsss" + "p" * 13
    assert "2 landmarks at 0,0 are taken for not placed" in told[0]


def test_what_the_challenges_file_would_take_for_not_placed_is_not_written(tmp_path):
    places = {point.name: point.position_yx for point in cephalogram()}
    first, second, *_ = places
    for position, names in (((-1.0, -1.0), [first]), ((0.0, 0.0), [first, second])):
        spoilt = Landmarks.from_positions(places | dict.fromkeys(names, position))
        with pytest.raises(OutputError, match="where the file says that"):
            write_landmarks(tmp_path / "a.txt", [spoilt])


# -- fcsv ----------------------------------------------------------------------------

HEAD = "# CoordinateSystem = 2\n# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, "p") for status in ("", ",2,0", ",2", ",")),
        *((status, "s") for status in (",0,0", ",1,0", ",3,0", ",undefined", ",Missing,0")),
    ],
)
def test_status_of_fiducials(tmp_path, status, expected):
    rows = f"{HEAD}associatedNodeID\n1,4,5,0,0,0,0,1,1,1,0,S,what,{status}\n"
    landmarks, _ = read(tmp_path / "a.fcsv", rows)
    assert states(landmarks) == expected
    assert landmarks["S"].description == "what"


def test_a_status_in_a_column_of_its_own(tmp_path):
    head = "# CoordinateSystem = 2\n# columns = label,x,y,z,positionStatus\n"
    landmarks, _ = read(tmp_path / "a.fcsv", f"{head}S,1,2,0,2\nN,0,0,0,0\n")
    assert states(landmarks) == "ps"


def test_a_status_that_nobody_knows(tmp_path):
    rows = f"{HEAD}associatedNodeID\n1,4,5,0,0,0,0,1,1,1,0,S,,,7,0\n"
    with pytest.raises(LandmarkError, match="line 3: the position status of 'S' is '7'"):
        read(tmp_path / "a.fcsv", rows)
    with pytest.raises(LandmarkError, match="line 2: there are two columns x"):
        read(tmp_path / "a.fcsv", f"{HEAD}x\n1,4,5,0,0,0,0,1,1,1,0,S,,\n")


def test_points_without_a_position_need_no_image(tmp_path):
    rows = "# CoordinateSystem = LPS\n1,,,,0,0,0,1,1,1,0,S,,,0,0\n"
    landmarks, told = read(tmp_path / "a.fcsv", rows, geometry=None)
    assert states(landmarks) == "s"
    assert told == []


# -- letters -------------------------------------------------------------------------

TEXTS = {
    "a.csv": "image,landmark,x_px,y_px\nGröße.png,Lücke,1,2\n",
    "points.csv": "index,axis-0,axis-1,label\n0,1,2,Lücke\n",
    "a.tps": "LM=1\n1 2\nIMAGE=Größe.png\n",
    "a.fcsv": "# Markups fiducial file\n# CoordinateSystem = 2\n1,4,5,0,0,0,0,1,1,1,0,Lücke,,\n",
    "a.json": '{"images": [{"id": 1, "file_name": "Größe.png"}], '
    '"annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2]}], '
    '"categories": [{"id": 1, "keypoints": ["Lücke"]}]}',
    "a.mrk.json": '{"@schema": "markups-schema", "markups": [{"type": "Fiducial", '
    '"controlPoints": [{"label": "Lücke"}]}]}',
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
def test_every_text_format_in_every_encoding(tmp_path, name, encoding):
    path = tmp_path / name
    landmarks, told = read(path, TEXTS[name].encode(encoding))
    assert holds_landmarks(path)
    said = {*landmarks.names, landmarks.image}
    assert said & {"Lücke", "Größe.png"}
    assert not any("�" in text for text in said)
    assert bool(told) == (encoding == "latin-1")
    assert all("read as Western European" in sentence for sentence in told)


def test_lists_of_names_in_utf_16_and_of_excel(tmp_path):
    (tmp_path / "names.txt").write_bytes("Lücke\nSella\n".encode("utf-16"))
    assert read_landmark_list(tmp_path / "names.txt").names == ("Lücke", "Sella")
    (tmp_path / "names.csv").write_text("sep=;\nname;description\nGro\u0308\u00dfe;x\n")
    (name,) = read_landmark_list(tmp_path / "names.csv").landmarks
    assert (name.name, name.description) == ("Gr\u00f6\u00dfe", "x")


def test_names_with_apart_accents_are_the_same(tmp_path):
    composed, apart = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"
    rows = f"image,landmark,x_px,y_px\n{composed}.png,{apart},1,2\n{apart}.png,b,3,4\n"
    landmarks, _ = read(tmp_path / "a.csv", rows)
    assert landmarks.names == (composed, "b")
    with pytest.raises(LandmarkError, match="stands"):
        read(tmp_path / "a.csv", rows + f"{apart}.png,{composed},1,2\n")
