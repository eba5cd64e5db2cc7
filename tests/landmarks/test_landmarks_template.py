"""A template is one folder that can be moved, and says when it was damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from landmark_sets import example, same

from napari_oneshot_lmk.errors import LandmarkError, OutputError, TemplateError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, State
from napari_oneshot_lmk.landmarks.template import Template, is_template

RNG = np.random.default_rng(0)
GEOMETRY = example().geometry
PIXELS = RNG.integers(0, 4096, GEOMETRY.image_shape_yx).astype(np.float32)


def image(pixels: np.ndarray = PIXELS) -> GrayImage:
    return GrayImage(pixels, GEOMETRY, "images/001.png")


def template(pixels: np.ndarray = PIXELS) -> Template:
    return Template.create(image(pixels), example())


@pytest.mark.parametrize(
    "pixels",
    [
        *(PIXELS, PIXELS % 256, PIXELS - 2000, PIXELS * 1000),
        RNG.normal(size=PIXELS.shape).astype(np.float32),
    ],
)
def test_nothing_is_lost_and_it_can_be_moved(tmp_path, pixels):
    before = template(pixels)
    before.save(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = Template.load(tmp_path / "there")
    np.testing.assert_array_equal(after.image.pixels, pixels)
    assert after.image.pixels.dtype == np.float32
    assert after.image.geometry == GEOMETRY
    assert same(before.landmarks, after.landmarks)
    assert (after.name, after.image.name) == ("001", "images/001.png")
    assert after.content_sha256 == before.content_sha256
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == ["image.npz", "template.json"]


def test_it_opens_by_its_folder_or_the_file_in_it(tmp_path):
    template().save(tmp_path / "T")
    for path in (tmp_path / "T", str(tmp_path / "T"), tmp_path / "T" / "template.json"):
        assert is_template(path)
        assert Template.load(path).name == "001"
    assert not is_template(tmp_path)
    assert not is_template(tmp_path / "missing")


def test_the_hash_follows_the_contents():
    same_again = template().content_sha256
    assert template().content_sha256 == same_again
    pixels = PIXELS.copy()
    pixels[0, 0] += 1
    moved = example().with_landmark(Landmark("sella", (70.25, 100.25)))
    others = [
        template(pixels),
        Template.create(image(), moved),
        Template.create(image().with_spacing(0.1), example()),
        Template.create(image(), example(), "another name"),
    ]
    assert len({same_again, *(other.content_sha256 for other in others)}) == 5


def test_the_hash_is_that_of_earlier_versions():
    """A template that one of them has saved must still open."""
    grey = GrayImage(np.eye(32, dtype=np.float32), Geometry((32, 32), (0.5, 0.5)), "a.png")
    provenance = Provenance("instant")
    landmarks = Landmarks.from_positions({"sella": (1.0, 2.5)}, "a.png", provenance=provenance)
    sha256 = "c28a40b3b5e6279fc255dc55f23b425cb8b9aa51028bb00917107b747534e6dd"
    assert Template.create(grey, landmarks).content_sha256 == sha256


def test_landmarks_take_the_geometry_and_name_of_the_image():
    landmarks = Landmarks.from_positions({"a": (1, 2)}, "other.png")
    made = Template.create(image(), landmarks)
    assert made.landmarks.geometry == GEOMETRY
    assert made.landmarks.image == "images/001.png"
    nameless = GrayImage.from_array(PIXELS)
    assert Template.create(nameless, landmarks).landmarks.image == "other.png"
    assert Template.create(nameless, landmarks).name == "template"
    assert Template.create(nameless, landmarks, "mine").name == "mine"


def test_an_unknown_spacing_stays_unknown(tmp_path):
    landmarks = Landmarks.from_positions({"a": (1, 2)})
    Template.create(GrayImage.from_array(PIXELS), landmarks).save(tmp_path / "T")
    assert Template.load(tmp_path / "T").image.geometry.spacing_mm_yx is None


# -- what is wrong ----------------------------------------------------------------


@pytest.mark.parametrize("points", [(), (Landmark("a", None, State.ABSENT),)])
def test_a_template_needs_a_placed_landmark(points):
    with pytest.raises(TemplateError, match="needs at least one placed landmark"):
        Template.create(image(), Landmarks(points))


@pytest.mark.parametrize("outside", [(-1, 5), (300, 5), (5, -0.6), (5, 199.6)])
def test_landmarks_outside_the_image_are_named(outside):
    positions = {"inside": (5, 5), "sella": outside}
    with pytest.raises(LandmarkError, match=r"200 x 300 .*: sella \(x .*, y .*\);"):
        Template.create(image(), Landmarks.from_positions(positions))


def test_a_point_on_the_border_is_inside():
    positions = {"a": (-0.5, -0.5), "b": (299.5, 199.5)}
    assert len(Template.create(image(), Landmarks.from_positions(positions)).landmarks) == 2


def test_landmarks_of_an_image_of_another_size():
    landmarks = Landmarks.from_positions({"a": (1, 2)}, geometry=Geometry((200, 300)))
    with pytest.raises(TemplateError, match="300 x 200 pixels, this one has 200 x 300"):
        Template.create(image(), landmarks)


def test_an_existing_folder_is_not_overwritten(tmp_path):
    template().save(tmp_path / "T")
    other = Template.create(image(), example(), "other")
    with pytest.raises(OutputError, match="exists already"):
        other.save(tmp_path / "T")
    assert Template.load(tmp_path / "T").name == "001"
    other.save(tmp_path / "T", overwrite=True)
    assert Template.load(tmp_path / "T").name == "other"


@pytest.fixture
def folder(tmp_path):
    template().save(tmp_path / "T")
    return tmp_path / "T"


def refused(folder, match):
    with pytest.raises(TemplateError, match=match) as caught:
        Template.load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_template(tmp_path):
    refused(tmp_path, r"is not a template, there is no readable template\.json")
    refused(tmp_path / "missing", "is not a template")


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", ["template.json", "image.npz"])
def test_a_file_that_is_cut_short(folder, name, part):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * part)])
    refused(folder, rf"{name} is (missing or )?damaged")


def test_a_bit_that_has_fallen_over(folder):
    data = bytearray((folder / "image.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "image.npz").write_bytes(data)
    refused(folder, "damaged")


def test_pixels_that_are_missing_or_belong_to_another(folder):
    np.savez_compressed(folder / "image.npz", pixels=PIXELS[::-1])
    refused(folder, "was changed or damaged")
    np.savez_compressed(folder / "image.npz", pixels=PIXELS[:5])
    refused(folder, "makes no sense .*do not lie on the grid")
    np.savez_compressed(folder / "image.npz", other=PIXELS)
    refused(folder, r"image\.npz is missing or damaged")
    (folder / "image.npz").unlink()
    refused(folder, r"image\.npz is missing or damaged")


def test_an_archive_with_a_password(folder):
    path = folder / "image.npz"
    data = bytearray(path.read_bytes())
    # The flag in the entry's own header and in the archive's list.
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(folder, r"image\.npz is missing or damaged")


def test_a_description_that_is_nested_too_deeply(folder):
    (folder / "template.json").write_text("[" * 100_000)
    refused(folder, r"template\.json is damaged")


def test_a_pickle_is_never_opened(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "it_ran"), "w"))

    np.savez_compressed(folder / "image.npz", pixels=np.array([Bomb()], dtype=object))
    refused(folder, r"image\.npz is missing or damaged")
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(schema_version=2), "has the version 2, .*; update"),
        (lambda d: d.pop("schema_version"), "has the version None"),
        (lambda d: d.update(name="x"), "was changed or damaged"),
        (lambda d: d.pop("content_sha256"), "was changed or damaged"),
        (lambda d: d.pop("geometry"), "makes no sense"),
        (lambda d: d["geometry"].update(spacing_mm_yx=[0, 0]), "makes no sense"),
        (lambda d: d["landmarks"].update(points=[]), "makes no sense .*one placed"),
        (lambda d: d["landmarks"].update(points="abc"), "makes no sense"),
        (lambda d: d["landmarks"].update(points=[{"name": 3}]), "makes no sense"),
        (lambda d: d["landmarks"]["points"][0].update(position_yx=[1, 2, 3]), "makes no sense"),
        (
            lambda d: d["landmarks"]["points"][0].update(position_yx=[1, 999]),
            "makes no sense .*outside the image",
        ),
    ],
)
def test_a_description_that_was_edited(folder, change, match):
    path = folder / "template.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    refused(folder, match)


def test_json_of_something_else(folder):
    (folder / "template.json").write_text("[1, 2]")
    refused(folder, "has the version")
