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
    make_world,
    one_sentence,
    point_rows,
    run,
    save_image,
    save_table,
)
from dicom_files import dataset, saved
from PIL import Image
from typer.testing import Result

from napari_oneshot_lmk.landmarks.template import Template


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "world")


def make(world: World, *more: object) -> Result:
    return run(
        "template",
        *("--image", world.template_image),
        *("--landmarks", world.landmarks),
        *("--out", world.template),
        *more,
    )


def test_template_is_made(world: World) -> None:
    result = make(world, "--spacing", SPACING_MM)
    assert result.exit_code == 0, result.output
    assert "3 landmarks on template.png, 0.5 x 0.5 mm a pixel" in result.stdout
    template = Template.load(world.template)
    assert template.name == "template"
    assert template.image.geometry.spacing_mm_yx == (SPACING_MM, SPACING_MM)
    for name, position_yx in POINTS.items():
        assert template.landmarks[name].position_yx == position_yx


def test_json_and_name(world: World) -> None:
    result = make(world, "--json", "--name", "adult", "--spacing", "0.5x0.25")
    content = json.loads(result.stdout)
    assert content["name"] == "adult"
    assert content["landmarks"] == list(POINTS)
    assert content["spacing_mm_yx"] == [0.5, 0.25]


def test_unknown_spacing_stays_unknown(world: World) -> None:
    result = make(world)
    assert result.exit_code == 0
    assert "spacing unknown" in result.stdout
    assert Template.load(world.template).image.geometry.spacing_mm_yx is None


def test_its_image_is_found_among_others(world: World) -> None:
    rows = [*point_rows("other.png", (3, 3)), *point_rows("some/template.jpg")]
    save_table(world.landmarks, rows)
    assert make(world).exit_code == 0
    template = Template.load(world.template)
    assert template.landmarks["apex"].position_yx == POINTS["apex"]


# -- bad input ------------------------------------------------------------------


def refused(world: World, code: int, *more: object) -> str:
    result = make(world, *more)
    assert result.exit_code == code, result.output
    assert not world.template.exists()
    assert not [p for p in world.folder.iterdir() if p.name.startswith(".")]
    return one_sentence(result)


def test_landmarks_of_another_image(world: World) -> None:
    save_table(world.landmarks, point_rows("other.png"))
    sentence = refused(world, 2)
    assert "holds landmarks of other.png, but none of template.png" in sentence


def test_landmark_outside(world: World) -> None:
    save_table(world.landmarks, point_rows("template.png", (0, 50)))
    sentence = refused(world, 1)
    assert "outside the image" in sentence
    assert "tip" in sentence


def test_no_placed_landmark(world: World) -> None:
    rows = [{"image": "template.png", "landmark": "a", "x_px": "", "y_px": ""}]
    save_table(world.landmarks, rows)
    assert "at least one placed landmark" in refused(world, 1)


def test_duplicate_names(world: World) -> None:
    save_table(world.landmarks, point_rows("template.png") * 2)
    assert "stands already in line" in refused(world, 1)


@pytest.mark.parametrize("spacing", ["0", "-0.5", "5000"])
def test_senseless_spacing(world: World, spacing: str) -> None:
    assert "spacing" in refused(world, 2, "--spacing", spacing)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n\0\0"])
def test_unreadable_image(world: World, content: bytes) -> None:
    world.template_image.write_bytes(content)
    assert str(world.template_image) in refused(world, 1)


def test_truncated_image(world: World) -> None:
    whole = world.template_image.read_bytes()
    world.template_image.write_bytes(whole[: len(whole) // 2])
    assert str(world.template_image) in refused(world, 1)


def test_blank_image(world: World) -> None:
    save_image(world.template_image, np.full((120, 100), 7, np.uint8))
    assert "same value" in refused(world, 1)


def test_existing_template_is_kept(world: World) -> None:
    assert make(world).exit_code == 0
    before = Template.load(world.template).content_sha256
    result = make(world, "--spacing", "2")
    assert result.exit_code == 2
    assert "--overwrite" in one_sentence(result)
    assert Template.load(world.template).content_sha256 == before
    assert make(world, "--spacing", "2", "--overwrite").exit_code == 0
    assert Template.load(world.template).content_sha256 != before


def test_output_below_a_file(world: World) -> None:
    result = make(world, "--out", world.landmarks / "template")
    assert result.exit_code == 2
    assert "is a file" in one_sentence(result)


def test_a_turned_photograph_gets_one_sentence(world: World) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = Image.open(world.template_image)
    photograph.convert("L").save(world.template_image, "JPEG", quality=95, exif=exif)
    result = make(world)
    assert result.exit_code == 0, result.output
    said = one_sentence(result)
    assert said.startswith(f"{world.template_image}: ")
    assert "orientation 6" in said
    content = json.loads(make(world, "--json", "--overwrite").stdout)
    assert [note for note in content["notes"] if "orientation 6" in note]


def test_which_spacing_was_taken_is_said(world: World, tmp_path: Path) -> None:
    pixels = np.array(Image.open(world.template_image).convert("L"))
    image = dataset(pixels, 8, ImagerPixelSpacing=[0.25, 0.125])
    image.EstimatedRadiographicMagnificationFactor = 1.25
    path = saved(tmp_path / world.template_image.name, image)
    arguments = (
        *("template", "--image", path, "--landmarks", world.landmarks),
        *("--out", world.template, "--overwrite"),
    )
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    source = "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    assert f"0.2 x 0.1 mm a pixel ({source}, in the plane" in result.stdout
    content = json.loads(run(*arguments, "--json").stdout)
    assert content["spacing_mm_yx"] == [0.2, 0.1]
    assert content["spacing_source"] == source
    given = json.loads(run(*arguments, "--json", "--spacing", 1).stdout)
    assert given["spacing_source"] == "given by the user"
