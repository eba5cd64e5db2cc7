"""``oneshot-lmk template`` through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_scene import (
    POINTS,
    SPACING_MM,
    World,
    make_template,
    make_world,
    one_sentence,
    point_rows,
    save_table,
    succeed,
)
from dicom_files import dataset, saved
from PIL import Image

from napari_oneshot_lmk.landmarks.template import Template


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "world")


def test_template_is_made(world):
    result = make_template(world, "--spacing", SPACING_MM)
    assert "3 landmarks on template.png, 0.5 x 0.5 mm a pixel" in result.stdout
    template = Template.load(world.template)
    assert template.name == "template"
    assert template.image.geometry.spacing_mm_yx == (SPACING_MM, SPACING_MM)
    for name, position_yx in POINTS.items():
        assert template.landmarks[name].position_yx == position_yx


def test_json_and_name(world):
    result = make_template(world, "--json", "--name", "adult", "--spacing", "0.5x0.25")
    content = json.loads(result.stdout)
    assert content["name"] == "adult"
    assert content["landmarks"] == list(POINTS)
    assert content["spacing_mm_yx"] == [0.5, 0.25]


def test_unknown_spacing_stays_unknown(world):
    assert "spacing unknown" in make_template(world).stdout
    assert Template.load(world.template).image.geometry.spacing_mm_yx is None


def test_its_image_is_found_among_others(world):
    rows = [*point_rows("other.png", (3, 3)), *point_rows("some/template.jpg")]
    save_table(world.landmarks, rows)
    assert make_template(world).exit_code == 0
    template = Template.load(world.template)
    assert template.landmarks["apex"].position_yx == POINTS["apex"]


# -- bad input ------------------------------------------------------------------


def refused(world: World, code: int, *more: object) -> str:
    result = make_template(world, *more)
    assert result.exit_code == code, result.output
    assert not world.template.exists()
    assert not [p for p in world.folder.iterdir() if p.name.startswith(".")]
    return one_sentence(result)


@pytest.mark.parametrize(
    ("rows", "code", "says"),
    [
        (point_rows("other.png"), 2, "holds landmarks of other.png, but none of template.png"),
        (point_rows("template.png", (0, 50)), 1, "(width x height): tip (x 122"),
        (
            [{"image": "template.png", "landmark": "a", "x_px": "", "y_px": ""}],
            *(1, "at least one placed landmark"),
        ),
        (point_rows("template.png") * 2, 1, "stands already in line"),
    ],
)
def test_landmarks_that_make_no_template(world, rows, code, says):
    save_table(world.landmarks, rows)
    assert says in refused(world, code)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n\0\0", None])
def test_unreadable_image(world, content):
    whole = world.template_image.read_bytes()
    world.template_image.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert str(world.template_image) in refused(world, 1)


def test_existing_template_is_kept(world):
    assert make_template(world).exit_code == 0
    before = Template.load(world.template).content_sha256
    result = make_template(world, "--spacing", "2")
    assert result.exit_code == 2
    assert "--overwrite" in one_sentence(result)
    assert Template.load(world.template).content_sha256 == before
    assert make_template(world, "--spacing", "2", "--overwrite").exit_code == 0
    assert Template.load(world.template).content_sha256 != before


def test_output_below_a_file(world):
    result = make_template(world, "--out", world.landmarks / "template")
    assert result.exit_code == 2
    assert "is a file" in one_sentence(result)


def test_a_turned_photograph_gets_one_sentence(world):
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = Image.open(world.template_image)
    photograph.convert("L").save(world.template_image, "JPEG", quality=95, exif=exif)
    result = make_template(world)
    assert result.exit_code == 0, result.output
    said = one_sentence(result)
    assert said.startswith(f"{world.template_image}: ")
    assert "orientation 6" in said
    content = json.loads(make_template(world, "--json", "--overwrite").stdout)
    assert [note for note in content["notes"] if "orientation 6" in note]


def test_which_spacing_was_taken_is_said(world, tmp_path):
    pixels = np.array(Image.open(world.template_image).convert("L"))
    image = dataset(pixels, 8, ImagerPixelSpacing=[0.25, 0.125])
    image.EstimatedRadiographicMagnificationFactor = 1.25
    path = saved(tmp_path / world.template_image.name, image)
    arguments = (
        *("template", "--image", path, "--landmarks", world.landmarks),
        *("--out", world.template, "--overwrite"),
    )
    result = succeed(*arguments)
    source = "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    assert f"0.2 x 0.1 mm a pixel ({source}, in the plane" in result.stdout
    content = json.loads(succeed(*arguments, "--json").stdout)
    assert content["spacing_mm_yx"] == [0.2, 0.1]
    assert content["spacing_source"] == source
    given = json.loads(succeed(*arguments, "--json", "--spacing", 1).stdout)
    assert given["spacing_source"] == "given by the user"
