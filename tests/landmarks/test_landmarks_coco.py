"""COCO keypoints, and what COCO's own library makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oblique_image import geometry, on
from pycocotools.coco import COCO

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found.json"


def foreign(path: Path, **changes: Any) -> Path:
    """Write a file as other tools do, with nothing of ours in it."""
    document = {
        "images": [{"id": 7, "file_name": "a.png", "width": 70, "height": 90}],
        "annotations": [
            {
                "id": 3,
                "image_id": 7,
                "category_id": 1,
                "keypoints": [10, 20.5, 2, 0, 0, 0, 30, 40, 1],
                "num_keypoints": 2,
            }
        ],
        "categories": [{"id": 1, "name": "skull", "keypoints": ["s", "n", "p"]}],
    }
    path.write_text(json.dumps(document | changes))
    return path


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
        assert annotation["num_keypoints"] == len(landmarks.placed)
        assert annotation["num_keypoints"] == np.count_nonzero(triples[:, 2])
        # Not labelled means x = y = 0.
        assert not triples[triples[:, 2] == 0].any()
        for name, (x, y, v) in zip(category["keypoints"], triples, strict=True):
            if v:
                # Pixel centres at whole numbers, as COCO's zero-based pixels.
                assert landmarks[name].position_yx == (y, x)
        x, y, width, height = annotation["bbox"]
        assert (x, y, width, height) == (0, 0, 70, 90)
        assert annotation["area"] == 6300
        assert annotation["iscrowd"] == 0
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


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"annotations": []}, "holds no annotation with keypoints; save it as COCO"),
        ({"images": None}, "is no COCO keypoints file: it needs the lists images"),
        ({"images": []}, "annotation 1: image 7 is not among its images"),
        ({"images": [{"id": 7}]}, "image 7: file_name is null, not a text"),
        (
            {"annotations": [{"image_id": 7, "keypoints": [1, 2, 2] * 3}] * 2},
            "annotation 2: image 'a.png' has several annotations",
        ),
        (
            {"annotations": [{"id": 3, "image_id": 7, "keypoints": [1, 2]}]},
            "annotation 1 has 2 numbers for its keypoints",
        ),
        (
            {"categories": [{"id": 1, "keypoints": ["a"]}]},
            "annotation 1 has 3 keypoints, its category names 1",
        ),
        (
            {"categories": [{"id": 1, "keypoints": ["a", "b", "a"]}]},
            "the category names the keypoint 'a' twice",
        ),
        (
            {"annotations": [{"id": 3, "image_id": 7, "keypoints": [float("nan"), 2, 2] * 3}]},
            "annotation 1: keypoint 1: x is nan, not a finite number",
        ),
        ({"annotations": [5]}, "annotation 1 is 5, not an object"),
    ],
)
def test_what_makes_no_sense_is_refused(path, changes, match):
    foreign(path, **changes)
    with pytest.raises(LandmarkError, match=rf"found\.json: {match}"):
        read_landmarks(path)


def test_slicers_markups_under_the_wrong_name_are_told_the_right_one(path):
    path.write_text('{"@schema": "markups-schema", "markups": []}')
    with pytest.raises(LandmarkError, match=r"let its name end in \.mrk\.json"):
        read_landmarks(path)
