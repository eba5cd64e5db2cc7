"""When two names mean the same image, and above all when they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_scene import refused, run, save_image, succeed

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.evaluation.errors import pair_images
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.image_names import image_key, is_uid, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.lookup import find_image

ONE, TWO = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
COMPOSED, APART = "Gr\u00f6\u00dfe.png", "Gro\u0308\u00dfe.png"


def of(*names: str) -> list[Landmarks]:
    return [Landmarks.from_positions({"a": (1.0, 2.0)}, name) for name in names]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a.png", "a"), ("films/a.PNG", "a"), ("films\\a.nii.gz", "a"), ("a.b.dcm", "a.b")),
        *((name, name) for name in (ONE, "scan.v2", "scan 2024.05.01", ".png", "")),
        (f"{ONE}.dcm", ONE),
    ],
)
def test_only_the_ending_of_an_image_is_an_ending(name, expected):
    assert stem(name) == expected


def test_spellings_of_one_path():
    assert image_key(f"a\\{APART}") == image_key(f"a/{COMPOSED}")
    assert image_key("a.png") != image_key("A.png")
    assert is_uid(ONE)
    assert is_uid(f"x/{ONE}.dcm")
    assert not is_uid("001.png")
    assert not is_uid("1.2")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["a.png", "a.jpg"], "a.png"),
        (["a.PNG", "a.jpg"], "a.png"),
        (["x/a.png", "b.png"], "a.png"),
        (["x\\a.png", "b.png"], "x/a.png"),
        ([APART], COMPOSED),
        ([f"films\\{APART}"], COMPOSED),
        (["a"], "a.nii.gz"),
        ([ONE, TWO], f"{ONE}.dcm"),
    ],
)
def test_the_first_name_is_found(given, wanted):
    found = find_image(of(*given), wanted)
    assert found is not None
    assert found.image == given[0]
    pairing = pair_images(of(given[0]), of(wanted))
    assert [pair.predicted.image for pair in pairing.pairs] == [given[0]]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(ONE, TWO), (f"{ONE}.dcm", TWO), ("scan.v1", "scan.v2"), ("a.1", "a.2.png")],
)
def test_other_images_are_not_found(given, wanted):
    assert find_image(of(given), wanted) is None
    with pytest.raises(UsageError, match="no image stands in both files"):
        pair_images(of(given), of(wanted))


def test_a_name_in_two_forms_is_one_image_on_either_side():
    with pytest.raises(UsageError, match="stand twice"):
        pair_images(of(COMPOSED, APART), of(COMPOSED))
    both = pair_images(of("a.png", "a.PNG"), of("a.PNG", "a.png"))
    assert [p.predicted.image for p in both.pairs] == ["a.PNG", "a.png"]


def test_two_that_share_a_stem_are_not_guessed():
    with pytest.raises(UsageError, match="could all be the image"):
        find_image(of("a.png", "a.jpg"), "a.tif")
    with pytest.raises(UsageError, match="could all be the image"):
        find_image(of("x/a.png", "y/a.png"), "a.png")


# -- on the command line ---------------------------------------------------------------


def table(path: Path, *names: str) -> Path:
    rows = [f"{name},s,12,8\n{name},n,30,20\n" for name in names]
    path.write_text("image,landmark,x_px,y_px\n" + "".join(rows))
    return path


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two films that are named by UID, without an ending."""
    folder = tmp_path / "films"
    folder.mkdir()
    grey = (np.arange(40 * 56) % 251).astype(np.uint8).reshape(40, 56)
    for name in (ONE, TWO):
        save_image(folder / "a.png", grey)
        (folder / "a.png").rename(folder / name)
    return folder


def test_landmarks_of_one_uid_are_never_taken_for_those_of_another(tmp_path, films):
    one, two = table(tmp_path / "1.csv", ONE), table(tmp_path / "2.csv", TWO)
    template = ("template", "--image", films / TWO, "--landmarks", one, "--out", tmp_path / "T")
    assert f"holds landmarks of {ONE}, but none of {TWO}" in refused(2, *template)
    refused(2, "evaluate", "--predicted", one, "--truth", two, "--spacing", "0.1")
    convert = ("convert", one, tmp_path / "o.json", "--image")
    assert "which is another image than" in refused(2, *convert, films / TWO)
    succeed(*convert, films / ONE)


def test_a_single_image_of_another_name_is_taken_and_that_is_said(tmp_path, films):
    (films / ONE).rename(films / "film.png")
    out = tmp_path / "o.json"
    call = ("convert", table(tmp_path / "a.csv", "b.png"), out, "--image", films / "film.png")
    assert "are on 'b.png' and are taken for those of film.png" in refused(0, *call)
    assert read_landmarks(out)[0].image == "film.png"


@pytest.mark.parametrize("ending", [".json", ".csv", ".mrk.json"])
def test_a_name_that_no_file_can_have_is_named_and_the_others_are_written(tmp_path, ending):
    long = f"{'L' * 252}.png"
    path = tmp_path / "a.csv"
    path.write_text(
        "image,landmark,x_px,y_px,height_px,width_px,spacing_mm_yx\n"
        f"{long},s,1,2,40,56,0.1 0.1\nb.png,s,3,4,40,56,0.1 0.1\n"
    )
    out = tmp_path / "out"
    result = run("convert", path, out, "--to", ending)
    assert result.exit_code == 1
    assert [each.name for each in out.iterdir()] == [f"b{ending}"]
    assert "LLL…: no file that ends in" in result.stderr
    assert "should not have happened" not in result.stderr
    # A name that fits is written, as long as it may be.
    path.write_text(path.read_text().replace("L" * 252, "ä" * 122).replace("b.", "c."))
    succeed("convert", path, tmp_path / "more", "--to", ending)
    said = refused(2, "convert", path, tmp_path / f"{long}{ending}.csv")
    assert "cannot be the name of a file" in said
    # None at all: nothing is left behind.
    path.write_text("image,landmark,x_px,y_px,height_px,width_px\n" + long + ",s,1,2,4,5")
    said = refused(1, "convert", path, tmp_path / "none", "--to", ".json")
    assert "rename the image" in said
    assert not (tmp_path / "none").exists()
