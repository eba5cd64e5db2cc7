"""How programs write that a landmark is not placed, and how they write text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oblique_image import cephalogram

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import holds_landmarks, read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, State
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
        ("NA,NA", "s"),
        ("NaN,nan", "s"),
        ("null,null", "s"),
        ("#N/A,n/a", "s"),
        ("-,-", "s"),
        ("-1,-1", "s"),
        ("-9999,-9999.0", "s"),
        ("-1,5", "p"),
        ("0,0", "p"),
    ],
)
def test_cells_of_a_table(tmp_path, cells, expected):
    landmarks, told = read(
        tmp_path / "a.csv", f"image,landmark,x_px,y_px\na.png,s,{cells}\na.png,n,3,4\n"
    )
    assert states(landmarks) == expected + "p"
    assert bool(told) == ("-1,-1" in cells or "9999" in cells)


def test_a_state_goes_before_a_placeholder(tmp_path):
    landmarks, told = read(
        tmp_path / "a.csv", "image,landmark,x_px,y_px,state\na.png,s,-1,-1,placed\n"
    )
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
        ("0 0", "s"),
        ("0.0 0.0", "s"),
        ("NA NA", "s"),
        ("NaN NaN", "s"),
        ("NA 3", "s"),
        ("-1 -1", "s"),
        ("-9999 -9999", "s"),
        ("0 3", "p"),
        ("12,5 3,25", "p"),
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
        ("", "p"),
        (",2,0", "p"),
        (",2", "p"),
        (",", "p"),
        (",0,0", "s"),
        (",1,0", "s"),
        (",3,0", "s"),
        (",undefined", "s"),
        (",Missing,0", "s"),
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


# -- COCO ----------------------------------------------------------------------------


def coco(path: Path, *annotations: dict[str, Any], **parts: Any) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, **annotation}
            for n, annotation in enumerate(annotations, 1)
        ],
        "categories": [{"id": 1, "name": "c", "keypoints": ["p", "q"]}],
    } | parts
    path.write_text(json.dumps(document))
    return path


NAN = float("nan")


@pytest.mark.parametrize(
    "second",
    [
        [0, 0, 0],
        [7, 8, 0],
        [None, None, 0],
        [None, None, None],
        [NAN, NAN, 0],
        ["NA", "NA", None],
        [-1, -1, 2],
        [-1, -1, 0],
        [None, None, "0"],
    ],
)
def test_keypoints_that_are_not_labelled(tmp_path, second):
    path = coco(tmp_path / "a.json", {"keypoints": [10.5, "20.25", 2, *second]})
    (landmarks,) = read_landmarks(path)
    assert landmarks["p"].position_yx == (20.25, 10.5)
    assert landmarks["q"].state is State.SKIPPED


def test_a_labelled_keypoint_needs_a_place(tmp_path):
    path = coco(tmp_path / "a.json", {"keypoints": [10.5, 20.25, 2, None, None, 2]})
    with pytest.raises(
        LandmarkError, match="annotation 1: keypoint 2: y is null, not a finite number"
    ):
        read_landmarks(path)


@pytest.mark.parametrize("order", [1, -1])
def test_empty_annotations_are_no_second_set(tmp_path, order):
    real, box, outline = [1, 2, 2, 3, 4, 2], [0] * 6, None
    keypoints = [{"keypoints": k} for k in (box, real, outline, box)][::order]
    (landmarks,) = read_landmarks(coco(tmp_path / "a.json", *keypoints))
    assert states(landmarks) == "pp"
    with pytest.raises(LandmarkError, match=r"image 'a\.png' has several annotations"):
        read_landmarks(coco(tmp_path / "a.json", *keypoints, {"keypoints": real}))
    (landmarks,) = read_landmarks(coco(tmp_path / "a.json", {"keypoints": box}))
    assert states(landmarks) == "ss"


@pytest.mark.parametrize(("width", "height"), [(None, None), (0, 0), (60, None)])
def test_images_of_unknown_size(tmp_path, width, height):
    image = {"id": 1, "file_name": "a.png", "width": width, "height": height}
    path = coco(tmp_path / "a.json", {"keypoints": [1, 2, 2] * 2}, images=[image])
    assert read_landmarks(path)[0].geometry is None
    assert read_landmarks(path, geometry=GRID)[0].geometry == GRID


@pytest.mark.parametrize("size", ["60", 60.0, "60.0"])
def test_sizes_as_text(tmp_path, size):
    image = {"id": 1, "file_name": "a.png", "width": size, "height": 40}
    path = coco(tmp_path / "a.json", {"keypoints": [1, 2, 2] * 2}, images=[image])
    assert read_landmarks(path)[0].geometry == Geometry((40, 60))
    image["width"] = 60.5
    coco(path, {"keypoints": [1, 2, 2] * 2}, images=[image])
    with pytest.raises(LandmarkError, match=r"image 1: width is 60\.5, not a whole"):
        read_landmarks(path)


@pytest.mark.parametrize("one", ["1", 1, 1.0, " 1", "1.0"])
@pytest.mark.parametrize("other", ["1", 1])
def test_ids_are_the_same_as_text_and_as_numbers(tmp_path, one, other):
    path = coco(
        tmp_path / "a.json",
        {"keypoints": [1, 2, 2] * 2, "category_id": one, "image_id": one},
        categories=[{"id": other, "keypoints": ["p", "q"]}],
        images=[{"id": other, "file_name": "a.png"}],
    )
    assert read_landmarks(path)[0].names == ("p", "q")


@pytest.mark.parametrize(
    ("annotation", "match"),
    [
        ({"category_id": 7}, "annotation 1: category 7 is not among its categories"),
        ({"category_id": "x"}, "annotation 1: category x is not among"),
        ({"category_id": [1]}, "annotation 1: category_id is a list, not a text"),
        ({"image_id": None}, "annotation 1: image_id is null, not a text"),
        ({"image_id": 9}, "annotation 1: image 9 is not among its images"),
        ({"keypoints": {"p": 1}}, "annotation 1: keypoints is an object, not a list"),
        ({"keypoints": [[1, 2, 2]] * 2}, "annotation 1 has 2 numbers"),
    ],
)
def test_ids_that_are_not_there(tmp_path, annotation, match):
    path = coco(tmp_path / "a.json", {"keypoints": [1, 2, 2] * 2, **annotation})
    with pytest.raises(LandmarkError, match=match) as caught:
        read_landmarks(path)
    assert "Error" not in str(caught.value)


def test_a_missing_category_is_the_only_one_there_is(tmp_path):
    annotation = {"keypoints": [1, 2, 2] * 2, "category_id": None}
    assert read_landmarks(coco(tmp_path / "a.json", annotation))[0].names == ("p", "q")


def test_two_images_of_one_name_or_id(tmp_path):
    images = [{"id": 1, "file_name": "a\\b.png"}, {"id": 2, "file_name": "a/b.png"}]
    both = [{"keypoints": [1, 2, 2] * 2, "image_id": n} for n in (1, 2)]
    with pytest.raises(LandmarkError, match=r"image 'a/b\.png' stands twice"):
        read_landmarks(coco(tmp_path / "a.json", *both, images=images))
    images[1]["id"] = "1"
    with pytest.raises(LandmarkError, match="image 2: the id 1 stands twice"):
        read_landmarks(coco(tmp_path / "a.json", both[0], images=images))


def test_json_that_says_one_thing_twice(tmp_path):
    path = coco(tmp_path / "a.json", {"keypoints": [1, 2, 2] * 2})
    path.write_text(path.read_text().replace('"id": 1,', '"id": 1, "id": 2,', 1))
    with pytest.raises(LandmarkError, match="names 'id' twice in one object"):
        read_landmarks(path)


@pytest.mark.parametrize("status", ["undefined", "missing", "preview"])
def test_control_points_of_slicer(tmp_path, status):
    control = {"label": "S", "position": [0.0, 0.0, 0.0], "positionStatus": status}
    markup = {"type": "Fiducial", "controlPoints": [control]}
    text = json.dumps({"@schema": "markups-schema", "markups": [markup]})
    landmarks, _ = read(tmp_path / "a.mrk.json", text)
    assert states(landmarks) == "s"


# -- letters -------------------------------------------------------------------------

TEXTS = {
    "a.csv": "image,landmark,x_px,y_px\nGröße.png,Lücke,1,2\n",
    "points.csv": "index,axis-0,axis-1,label\n0,1,2,Lücke\n",
    "a.tps": "LM=1\n1 2\nIMAGE=Größe.png\n",
    "a.fcsv": "# Markups fiducial file\n# CoordinateSystem = 2\n1,4,5,0,0,0,0,1,1,1,0,Lücke,,\n",
    "a.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "Größe.png"}],
            "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2]}],
            "categories": [{"id": 1, "keypoints": ["Lücke"]}],
        },
        ensure_ascii=False,
    ),
    "a.mrk.json": json.dumps(
        {
            "@schema": "markups-schema",
            "markups": [{"type": "Fiducial", "controlPoints": [{"label": "Lücke"}]}],
        },
        ensure_ascii=False,
    ),
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


def test_a_list_of_names_in_utf_16(tmp_path):
    (tmp_path / "names.txt").write_bytes("Lücke\nSella\n".encode("utf-16"))
    assert read_landmark_list(tmp_path / "names.txt").names == ("Lücke", "Sella")


def test_a_list_of_names_that_excel_has_saved(tmp_path):
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


def test_half_a_letter_is_refused(tmp_path):
    path = coco(tmp_path / "a.json", {"keypoints": [1, 2, 2] * 2})
    path.write_text(path.read_text().replace('"p"', '"\\ud800"'))
    with pytest.raises(LandmarkError, match="holds half a letter"):
        read_landmarks(path)
