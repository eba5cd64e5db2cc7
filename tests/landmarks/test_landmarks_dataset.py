"""Folders of images with known landmarks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_scene import POINTS, SHIFTS, make_world, point_rows, save_image, save_table, view
from cli_scene import scene as canvas

from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.landmarks.dataset import Dataset


def make_folder(folder: Path, **description: object) -> Path:
    """Images 01 … 06 and the truth of all but the last."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(1, 7):
        name = f"{number:02d}.png"
        shift = (number, -number)
        save_image(folder / "images" / name, view(canvas(), shift))
        rows += point_rows(name, shift) if number < 6 else []
    save_table(folder / "landmarks.csv", rows)
    content = {"template": "02.png"} | description
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def names(*numbers: int) -> list[str]:
    return [f"{number:02d}.png" for number in numbers]


def test_without_splits_all_but_the_template_are_tested(tmp_path):
    dataset = Dataset.load(make_folder(tmp_path / "d"))
    assert list(dataset.test) == names(1, 3, 4, 5)  # 06 has no truth
    assert list(dataset.train) == names(2)
    assert dataset.duplicates == ()
    assert dataset.name == "d"
    assert dataset.spacing_mm_yx("01.png") is None


@pytest.mark.parametrize(
    ("train", "test", "trained", "tested"),
    [
        # Two names are a range, others are taken as they are; the template is never tested.
        (names(1, 3), names(4, 6), names(1, 2, 3), names(4, 5)),
        (names(2), names(5, 1, 3), names(2), names(5, 1, 3)),
        (names(2), names(1, 6), names(2), names(1, 3, 4, 5)),
    ],
)
def test_splits(tmp_path, train, test, trained, tested):
    splits = {"train": train, "test": test}
    dataset = Dataset.load(make_folder(tmp_path / "d", splits=splits))
    assert (list(dataset.train), list(dataset.test)) == (trained, tested)


@pytest.mark.parametrize(
    ("pairs", "duplicates"),
    [
        # 04 twins a training image; 05 twins a test image only; 06 has no truth.
        ([names(1, 4), names(4, 5), names(6, 2)], names(4)),
        ([names(5, 1), names(5, 4)], names(5)),
    ],
)
def test_duplicates_of_training_images(tmp_path, pairs, duplicates):
    splits = {"train": names(1, 3), "test": names(4, 6)}
    folder = make_folder(tmp_path / "d", splits=splits, same_radiograph=pairs)
    assert list(Dataset.load(folder).duplicates) == duplicates


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (0.3, [(0.3, 0.3), (0.3, 0.3)]),
        ([0.3, 0.4], [(0.3, 0.4), (0.3, 0.4)]),
        ({"01.png": [0.1, 0.2], "03.png": 0.5}, [(0.1, 0.2), (0.5, 0.5)]),
    ],
)
def test_spacing(tmp_path, spacing, expected):
    dataset = Dataset.load(make_folder(tmp_path / "d", spacing_mm=spacing))
    assert [dataset.spacing_mm_yx(n) for n in ("01.png", "03.png")] == expected


def test_landmarks_choose_and_order(tmp_path):
    chosen = ["tip", "apex"]
    dataset = Dataset.load(make_folder(tmp_path / "d", landmarks=chosen, spacing_mm=0.5))
    assert list(dataset.truth["01.png"].names) == chosen
    template = dataset.template()
    assert list(template.landmarks.names) == chosen
    y, x = POINTS["tip"]
    assert template.landmarks["tip"].position_yx == (y + 2, x - 2)
    assert template.image.geometry.spacing_mm_yx == (0.5, 0.5)


def test_images_in_folders(tmp_path):
    world = make_world(tmp_path / "w")
    folder = tmp_path / "d"
    rows = []
    for part in "ab":
        (folder / "images" / part).mkdir(parents=True)
        shutil.copy(world.images / "one.png", folder / "images" / part / "one.png")
        rows += point_rows(f"{part}/one.png", SHIFTS["one.png"])
    save_table(folder / "landmarks.csv", rows)
    (folder / "dataset.json").write_text('{"template": "a/one.png"}')
    assert Dataset.load(folder).test == ("b/one.png",)


# -- bad input ------------------------------------------------------------------


def test_missing_parts(tmp_path):
    with pytest.raises(UsageError, match=r"dataset\.json: cannot be read"):
        Dataset.load(tmp_path)
    for part in ("landmarks.csv", "images"):
        folder = make_folder(tmp_path / f"without_{part}")
        lost = folder / part
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        with pytest.raises(UsageError, match=f"there is no {part} in it"):
            Dataset.load(folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "json"),
        ("{}", "template is wrong"),
        ('{"template": "02.png", "spacing_mm": "wide"}', "spacing_mm"),
        ('{"template": "99.png"}', r"does not hold 99\.png"),
        ('{"template": "06.png"}', r"lacks the template 06\.png"),
        ('{"template": "02.png", "splits": {"test": ["02.png"]}}', "no test image"),
        ('{"template": "02.png", "splits": {"test": ["88.png"]}}', r"not hold 88\.png"),
        ('{"template": "02.png", "landmarks": ["x"]}', "none of the landmarks"),
    ],
)
def test_wrong_description(tmp_path, text, says):
    folder = make_folder(tmp_path / "d")
    (folder / "dataset.json").write_text(text)
    with pytest.raises(OneshotError, match=says):
        Dataset.load(folder)


def test_senseless_spacing(tmp_path):
    dataset = Dataset.load(make_folder(tmp_path / "d", spacing_mm=-1))
    with pytest.raises(OneshotError, match="spacing"):
        dataset.template()
