"""COCO keypoints, and what COCO's own library makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from landmark_sets import refuses
from oblique_image import geometry, on
from pycocotools.coco import COCO

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, State

GRID = Geometry((90, 70), (0.5, 0.5))
NAN = float("nan")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found.json"


def coco(path: Path, *annotations: dict[str, Any], **parts: Any) -> Path:
    """Write a file as other tools do, with nothing of ours in it."""
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


def foreign(path: Path, **changes: Any) -> Path:
    """Write a file with one annotation of three keypoints."""
    annotation = {"image_id": 7, "keypoints": [10, 20.5, 2, 0, 0, 0, 30, 40, 1]}
    image = {"id": 7, "file_name": "a.png", "width": 70, "height": 90}
    category = {"id": 1, "name": "skull", "keypoints": ["s", "n", "p"]}
    return coco(path, annotation, **({"images": [image], "categories": [category]} | changes))


def test_cocos_own_library_reads_what_is_written(path):
    two = [on("a.png"), replace(on("b.png"), points=on().points[:2])]
    write_landmarks(path, two)
    coco = COCO(str(path))
    (category,) = coco.loadCats(coco.getCatIds())
    assert category["keypoints"] == list(on().names)
    for number, landmarks in zip(coco.getImgIds(), two, strict=True):
        (image,) = coco.loadImgs(number)
        assert image["file_name"] == landmarks.image
        assert (image["height"], image["width"]) == (90, 70)
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[number]))
        triples = np.reshape(annotation["keypoints"], (-1, 3))
        assert len(triples) == len(category["keypoints"])
        labelled = np.count_nonzero(triples[:, 2])
        assert annotation["num_keypoints"] == len(landmarks.placed) == labelled
        # Not labelled means x = y = 0.
        assert not triples[triples[:, 2] == 0].any()
        for name, (x, y, v) in zip(category["keypoints"], triples, strict=True):
            if v:
                # Pixel centres at whole numbers, as COCO's zero-based pixels.
                assert landmarks[name].position_yx == (y, x)
        assert annotation["bbox"] == [0, 0, 70, 90]
        assert (annotation["area"], annotation["iscrowd"]) == (6300, 0)
    assert read_landmarks(path) == tuple(two)


def test_images_share_one_category_even_where_lists_differ(path):
    first = replace(on("a.png"), points=(Landmark("x", (1, 2)), Landmark("y", (3, 4))))
    second = replace(on("b.png"), points=(Landmark("z", (5, 6)), Landmark("x", (7, 8))))
    write_landmarks(path, [first, second])
    document = json.loads(path.read_text())
    assert [c["keypoints"] for c in document["categories"]] == [["x", "y", "z"]]
    assert read_landmarks(path) == (first, second)


def test_files_of_other_tools(path):
    (landmarks,) = read_landmarks(foreign(path))
    assert landmarks.image == "a.png"
    assert landmarks["s"].position_yx == (20.5, 10.0)
    assert landmarks["n"].state is State.SKIPPED
    # Labelled but hidden is a position.
    assert landmarks["p"].position_yx == (40.0, 30.0)
    assert landmarks.geometry == Geometry((90, 70))


def test_the_images_own_geometry_is_taken_where_it_fits(path):
    foreign(path)
    assert read_landmarks(path, geometry=geometry())[0].geometry == geometry()
    other = Geometry((900, 700), (0.1, 0.1))
    assert read_landmarks(path, geometry=other)[0].geometry == Geometry((90, 70))


def test_keypoints_without_names_are_numbered_or_take_the_given_names(path):
    foreign(path, categories=[{"id": 1, "name": "skull"}])
    assert read_landmarks(path)[0].names == ("1", "2", "3")
    assert read_landmarks(path, names="abc")[0].names == ("a", "b", "c")


def test_a_point_moved_elsewhere_loses_its_score_and_a_rounded_one_does_not(path):
    landmarks = on()
    write_landmarks(path, [landmarks])
    document = json.loads(path.read_text())
    (annotation,) = document["annotations"]
    keypoints = [round(value, 3) for value in annotation["keypoints"]]
    index = 3 * landmarks.names.index("far")
    keypoints[index : index + 2] = [5, 6]
    annotation["keypoints"] = keypoints
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path)
    assert back["Größe"] == landmarks["Größe"]
    assert back["far"] == Landmark("far", (6.0, 5.0))
    # Removed, and placed, in the other tool.
    keypoints[:3] = [0, 0, 0]
    index = 3 * landmarks.names.index("porion")
    keypoints[index : index + 3] = [1, 2, 2]
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path)
    assert back["Größe"].state is State.SKIPPED
    assert back["porion"].position_yx == (2.0, 1.0)


def test_the_size_of_the_image_is_needed(path):
    with pytest.raises(OutputError, match=r"'a\.png' is unknown; convert it together"):
        write_landmarks(path, [on("a.png").with_geometry(None)])
    assert not path.exists()


def of(**fields: Any) -> dict[str, Any]:
    return {"annotations": [{"id": 3, "image_id": 7, **fields}]}


def named(*names: str) -> dict[str, Any]:
    return {"categories": [{"id": 1, "keypoints": list(names)}]}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"annotations": []}, "holds no annotation with keypoints; save it as COCO"),
        ({"images": None}, "is no COCO keypoints file: it needs the lists images"),
        ({"images": []}, "annotation 1: image 7 is not among its images"),
        ({"images": [{"id": 7}]}, "image 7: file_name is null, not a text"),
        (of(keypoints=[1, 2]), "annotation 1 has 2 numbers for its keypoints"),
        (of(keypoints=[NAN, 2, 2] * 3), "annotation 1: keypoint 1: x is nan, not a finite number"),
        (named("a"), "annotation 1 has 3 keypoints, its category names 1"),
        (named("a", "b", "a"), "the category names the keypoint 'a' twice"),
        ({"annotations": [5]}, "annotation 1 is 5, not an object"),
    ],
)
def test_what_makes_no_sense_is_refused(path, changes, match):
    foreign(path, **changes)
    refuses(rf"found\.json: {match}", path)


def test_slicers_markups_under_the_wrong_name_are_told_the_right_one(path):
    path.write_text('{"@schema": "markups-schema", "markups": []}')
    refuses(r"let its name end in \.mrk\.json", path)


# -- what other programs write -----------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [
        *([0, 0, 0], [7, 8, 0], [None, None, 0], [None, None, None], [NAN, NAN, 0]),
        *(["NA", "NA", None], [-1, -1, 2], [-1, -1, 0], [None, None, "0"]),
    ],
)
def test_keypoints_that_are_not_labelled(path, second):
    coco(path, {"keypoints": [10.5, "20.25", 2, *second]})
    (landmarks,) = read_landmarks(path)
    assert landmarks["p"].position_yx == (20.25, 10.5)
    assert landmarks["q"].state is State.SKIPPED


def test_a_labelled_keypoint_needs_a_place(path):
    coco(path, {"keypoints": [10.5, 20.25, 2, None, None, 2]})
    refuses("annotation 1: keypoint 2: y is null, not a finite", path)


@pytest.mark.parametrize("order", [1, -1])
def test_empty_annotations_are_no_second_set(path, order):
    real, box, outline = [1, 2, 2, 3, 4, 2], [0] * 6, None
    keypoints = [{"keypoints": k} for k in (box, real, outline, box)][::order]
    (landmarks,) = read_landmarks(coco(path, *keypoints))
    assert [p.state for p in landmarks] == ["placed"] * 2
    refuses(r"image 'a\.png' has several annotations", coco(path, *keypoints, {"keypoints": real}))
    (landmarks,) = read_landmarks(coco(path, {"keypoints": box}))
    assert [p.state for p in landmarks] == ["skipped"] * 2


@pytest.mark.parametrize(("width", "height"), [(None, None), (0, 0), (60, None)])
def test_images_of_unknown_size(path, width, height):
    image = {"id": 1, "file_name": "a.png", "width": width, "height": height}
    coco(path, {"keypoints": [1, 2, 2] * 2}, images=[image])
    assert read_landmarks(path)[0].geometry is None
    assert read_landmarks(path, geometry=GRID)[0].geometry == GRID


@pytest.mark.parametrize("size", ["60", 60.0, "60.0"])
def test_sizes_as_text(path, size):
    image = {"id": 1, "file_name": "a.png", "width": size, "height": 40}
    coco(path, {"keypoints": [1, 2, 2] * 2}, images=[image])
    assert read_landmarks(path)[0].geometry == Geometry((40, 60))
    image["width"] = 60.5
    coco(path, {"keypoints": [1, 2, 2] * 2}, images=[image])
    refuses(r"image 1: width is 60\.5, not a whole", path)


@pytest.mark.parametrize("one", ["1", 1, 1.0, " 1", "1.0"])
@pytest.mark.parametrize("other", ["1", 1])
def test_ids_are_the_same_as_text_and_as_numbers(path, one, other):
    coco(
        path,
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
        ({"keypoints": {"p": 1}}, "annotation 1: keypoints is an object, not a list"),
    ],
)
def test_ids_that_are_not_there(path, annotation, match):
    coco(path, {"keypoints": [1, 2, 2] * 2, **annotation})
    refuses(match, path)


def test_a_missing_category_is_the_only_one_there_is(path):
    annotation = {"keypoints": [1, 2, 2] * 2, "category_id": None}
    assert read_landmarks(coco(path, annotation))[0].names == ("p", "q")


def test_two_images_of_one_name_or_id(path):
    images = [{"id": 1, "file_name": "a\\b.png"}, {"id": 2, "file_name": "a/b.png"}]
    both = [{"keypoints": [1, 2, 2] * 2, "image_id": n} for n in (1, 2)]
    refuses(r"image 'a/b\.png' stands twice", coco(path, *both, images=images))
    images[1]["id"] = "1"
    refuses("image 2: the id 1 stands twice", coco(path, both[0], images=images))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"id": 1,', '"id": 1, "id": 2,', "names 'id' twice in one object"),
        ('"p"', '"\\ud800"', "holds half a letter"),
    ],
)
def test_json_that_is_no_landmark_file(path, old, new, match):
    coco(path, {"keypoints": [1, 2, 2] * 2})
    path.write_text(path.read_text().replace(old, new, 1))
    refuses(match, path)
