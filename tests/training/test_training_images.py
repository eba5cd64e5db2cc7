"""Which images are trained on, and what is said of the others."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from learning_scene import inspect
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError, UsageError
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.dataset import Inspection, TrainingSet
from phantoms import generate

SHAPE = (240, 200)


@cache
def phantom(index: int) -> tuple[GrayImage, Landmarks]:
    return generate("skull", index, shape_yx=SHAPE)


def pixels(index: int, shape_yx: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """Return a phantom in grey steps, its pixels repeated or left out for a shape."""
    image, _ = phantom(index)
    grey = image.pixels - image.pixels.min()
    rows, columns = (np.arange(n) * size // n for n, size in zip(shape_yx, SHAPE, strict=True))
    whole = grey[rows][:, columns]
    return np.asarray(255 * whole / whole.max(), dtype=np.uint8)


def saved(path: Path, values: NDArray[np.uint8], spacing_mm: float | None = None) -> Path:
    """Write an image; only MetaImage says its spacing here."""
    image = SimpleITK.GetImageFromArray(values)
    if spacing_mm is not None:
        image.SetSpacing((spacing_mm, spacing_mm))
    SimpleITK.WriteImage(image, str(path))
    return path


def inspected(folder: Path, template: Template, **spacing: Any) -> TrainingSet:
    return inspect(find_images([folder]), template, **spacing)


@pytest.fixture
def template() -> Template:
    image, landmarks = phantom(0)
    return Template.create(image.with_spacing(None), landmarks.with_geometry(None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in (1, 2, 10):
        saved(folder / f"{index}.png", pixels(index))
    return folder


def test_good_images_are_all_taken_without_a_word(folder, template):
    found = inspected(folder, template)
    assert [image.path for image in found.usable] == [folder / f"{n}.png" for n in (1, 2, 10)]
    assert {(image.shape_yx, image.spacing_mm_yx) for image in found.usable} == {(SHAPE, None)}
    assert len({image.sha256 for image in found.usable}) == len(found) == 3
    assert found.failed == found.warnings == ()


def test_broken_and_empty_images_are_named_and_left_out(folder, template):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    speck = np.zeros(SHAPE, np.uint8)
    speck[0, 0] = 255
    saved(folder / "speck.png", speck)
    found = inspected(folder, template)
    assert len(found) == 3
    assert [Path(str(error.file)).name for error in found.failed] == ["broken.png", "speck.png"]
    assert "nothing to match" in str(found.failed[1])


def test_template_among_the_images_is_left_out(folder, template):
    shown = saved(folder / "me.png", pixels(0))
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(shown)), str(folder / "me too.jpg"))
    found = inspected(folder, template)
    assert len(found) == 3
    said = "me too.jpg, me.png show the template and are left out of the training"
    assert found.warnings == (said,)


def test_same_image_twice_is_said(folder, template):
    saved(folder / "2 again.bmp", pixels(2))
    found = inspected(folder, template)
    assert len(found) == 4
    assert found.warnings == ("The same image is there more than once: 2 again.bmp and 2.png",)


@pytest.mark.parametrize(
    ("template_mm", "images_mm", "said"),
    [
        (None, (None, None), None),
        (0.3, (0.3, 0.31), None),
        (0.3, (0.3, 0.6), "different pixel spacings, from 0.3 to 0.6 mm"),
        (
            0.3,
            (0.3, None),
            "that of the template is known; if all images have one, give it",
        ),
        (None, (0.3, None), "of b.png is unknown"),
        (None, (0.3, 0.3), "The template's pixel spacing is unknown"),
    ],
)
def test_mixed_spacing_is_said(template_mm, images_mm, said, tmp_path, template):
    image = template.image.with_spacing(template_mm)
    template = Template.create(image, template.landmarks.with_geometry(None))
    for name, index, mm in zip("ab", (1, 2), images_mm, strict=True):
        suffix = "png" if mm is None else "mha"
        saved(tmp_path / f"{name}.{suffix}", pixels(index), mm)
    text = " ".join(inspected(tmp_path, template).warnings)
    assert text == "" if said is None else said in text


def test_given_spacing_goes_before_the_files(tmp_path, template):
    saved(tmp_path / "a.mha", pixels(1), 0.3)
    found = inspected(tmp_path, template, spacing_mm_yx=(0.1, 0.2))
    (image,) = found.usable
    assert image.spacing_mm_yx == found.read(image).geometry.spacing_mm_yx == (0.1, 0.2)


def test_very_different_sizes_are_said(folder, template):
    saved(folder / "tall.png", pixels(3, (500, 200)))
    saved(folder / "tiny.png", pixels(4, (100, 90)))
    found = inspected(folder, template)
    assert len(found) == 5
    (said,) = found.warnings
    assert said.startswith("tall.png, tiny.png are more than 2 times as large")


def test_size_in_the_patient_counts_where_it_is_known(tmp_path, template):
    image = template.image.with_spacing(0.4)
    known = Template.create(image, template.landmarks.with_geometry(None))
    saved(tmp_path / "finer.mha", pixels(1, (960, 800)), 0.1)
    assert inspected(tmp_path, known).warnings == ()
    saved(tmp_path / "wider.mha", pixels(1, (960, 800)), 0.4)
    warnings = inspected(tmp_path, known).warnings
    assert any("wider.mha is more than 2 times" in said for said in warnings)


def test_long_lists_are_cut_short(tmp_path, template):
    for index in range(1, 8):
        saved(tmp_path / f"{index}.png", pixels(index, (100, 80)))
    (said,) = inspected(tmp_path, template).warnings
    assert said.startswith("1.png, 2.png, 3.png, 4.png, 5.png and 2 more are")


def test_nothing_to_train_on_is_an_error(tmp_path, template):
    saved(tmp_path / "me.png", pixels(0))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    said = "^there is no image to train on.*broken.png.*me.png is the template itself"
    with pytest.raises(UsageError, match=said):
        inspected(tmp_path, template)
    with pytest.raises(UsageError, match="no image to train on; name images"):
        Inspection(template).result()


def test_changed_lost_and_new_images_are_told_apart(folder, template):
    before = inspected(folder, template)
    saved(folder / "1.png", pixels(5))
    (folder / "2.png").unlink()
    saved(folder / "20.png", pixels(6))
    after = inspected(folder, template)
    assert after.changed_since(before.usable) == ["1.png", "2.png"]
    assert before.changed_since(after.usable) == ["1.png", "20.png"]
    assert [i.name for i in after.only(["20.png", "10.png"]).usable] == ["20.png", "10.png"]


def test_file_written_anew_with_the_same_pixels_is_no_change(folder, template):
    before = inspected(folder, template)
    file = folder / "1.png"
    content = file.read_bytes()
    image = SimpleITK.ReadImage(str(file))
    SimpleITK.WriteImage(image, str(file), useCompression=True, compressionLevel=1)
    assert file.read_bytes() != content
    assert inspected(folder, template).changed_since(before.usable) == []


def test_other_spacing_is_a_change(folder, template):
    before = inspected(folder, template, spacing_mm_yx=0.3)
    after = inspected(folder, template, spacing_mm_yx=0.1)
    unknown = inspected(folder, template)
    assert len(after.changed_since(before.usable)) == 3
    assert len(unknown.changed_since(before.usable)) == 3


def test_single_images_may_have_a_spacing_of_their_own(folder, template):
    def spacings(**given):
        inspection = Inspection(template, **given)
        for file in find_images([folder]):
            inspection.inspect(file)
        return {i.name: i.spacing_mm_yx for i in inspection.result().usable}

    own = {"1.png": (0.2, 0.2), "2.png": (0.4, 0.3)}
    each = spacings(spacings_mm_yx=own)
    assert each.pop("10.png") is None
    assert each == own
    assert set(spacings(spacing_mm_yx=0.1, spacings_mm_yx=own).values()) == {(0.1, 0.1)}


def test_image_is_read_again_as_it_was(folder, template):
    found = inspected(folder, template, spacing_mm_yx=0.3)
    image = found.read(found.usable[1])
    expected = read_image(folder / "2.png", spacing_mm_yx=0.3)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    assert image.geometry == expected.geometry
    assert image.name == "2.png"
    saved(folder / "2.png", pixels(7))
    with pytest.raises(UsageError, match=r"2\.png: the image has changed"):
        found.read(found.usable[1])
    (folder / "2.png").unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        found.read(found.usable[1])
