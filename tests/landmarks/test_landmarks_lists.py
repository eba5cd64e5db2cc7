from __future__ import annotations

import pytest
from landmark_sets import example

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.landmarks.lists import (
    ISBI19_CEPHALOGRAM,
    LandmarkList,
    ListedLandmark,
    numbered,
    parse_landmark_list,
    read_landmark_list,
    shipped_lists,
)
from napari_oneshot_lmk.landmarks.template import Template


def test_the_cephalogram_list_has_its_19_names_in_order():
    names = ISBI19_CEPHALOGRAM.names
    assert len(names) == len(set(names)) == 19
    assert names[:4] == ("sella", "nasion", "orbitale", "porion")
    assert names[-1] == "articulare"
    assert all(landmark.description for landmark in ISBI19_CEPHALOGRAM.landmarks)
    titles = [named.title for named in shipped_lists()]
    assert len(titles) == len(set(titles)) >= 2
    assert ISBI19_CEPHALOGRAM in shipped_lists()


def test_numbered_names_sort_as_they_count():
    assert numbered(3).names == ("01", "02", "03")
    hundred = numbered(100).names
    assert (hundred[0], hundred[-1]) == ("001", "100")
    assert sorted(hundred) == list(hundred)
    with pytest.raises(LandmarkError, match="names no landmark"):
        numbered(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sella\nnasion\n", [("sella", ""), ("nasion", "")]),
        ("sella, nasion; porion", [("sella", ""), ("nasion", ""), ("porion", "")]),
        ("sella: centre: of it\n\n# note\n a b \n", [("sella", "centre: of it"), ("a b", "")]),
        ("sella\tcentre\r\nratio 1:2\tx", [("sella", "centre"), ("ratio 1:2", "x")]),
        ("\ufeffSchädel", [("Schädel", "")]),
        ("sella: centre, roughly", [("sella", "centre, roughly")]),
    ],
)
def test_typed_and_pasted_lists(text, expected):
    assert [(x.name, x.description) for x in parse_landmark_list(text).landmarks] == expected


@pytest.mark.parametrize("text", ["", " \n\n", "# only a note", ",,;"])
def test_an_empty_list_is_refused(text):
    with pytest.raises(LandmarkError, match="names no landmark"):
        parse_landmark_list(text)


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(LandmarkError, match="'sella' stands twice"):
        parse_landmark_list("sella\nnasion\nsella")
    with pytest.raises(LandmarkError, match="is not a landmark name"):
        LandmarkList("x", (ListedLandmark(" "),))
    with pytest.raises(LandmarkError, match="is not a landmark name"):
        parse_landmark_list("sella\n: no name")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("names.txt", "sella: centre\nnasion\n", [("sella", "centre"), ("nasion", "")]),
        ("names.csv", "sella,centre\nnasion,\n", [("sella", "centre"), ("nasion", "")]),
        ("names.csv", "name;description\na;b\n", [("a", "b")]),
        (
            "truth.csv",
            "image,landmark,x_px,y_px\n1,b,1,2\n1,a,1,2\n2,b,1,2\n2,c,1,2\n",
            [("b", ""), ("a", ""), ("c", "")],
        ),
    ],
)
def test_lists_in_files(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    named = read_landmark_list(tmp_path / name)
    assert [(x.name, x.description) for x in named.landmarks] == expected
    assert named.title == name.partition(".")[0]


def test_names_of_landmark_files_and_templates(tmp_path):
    landmarks = example()
    for name in ("found.csv", "found.mrk.json"):
        write_landmarks(tmp_path / name, [landmarks])
        named = read_landmark_list(tmp_path / name)
        assert named.names == landmarks.names
        assert named.landmarks[0].description == "a, b"
        assert named.title == "found"
    pixels = [[x + y for x in range(200)] for y in range(300)]
    image = GrayImage.from_array(pixels, (0.3, 0.2), "001.png")
    Template.create(image, landmarks).save(tmp_path / "template")
    assert read_landmark_list(tmp_path / "template").names == landmarks.names


def test_files_that_hold_no_names(tmp_path):
    for name, content, says in (
        *(("empty.txt", b"\n", "is empty"), ("empty.csv", b"\n", "is empty")),
        *(("image.txt", b"\xff\xd8\xff\xe0\x01", "is not UTF-8 text"),),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LandmarkError, match=f"{name}: {says}"):
            read_landmark_list(tmp_path / name)
    with pytest.raises(LandmarkError, match=r"missing\.txt: cannot be read"):
        read_landmark_list(tmp_path / "missing.txt")
