"""Which files a folder, a pattern or a list of files stands for."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.find import find_images, on_disk

DICOM = bytes(128) + b"DICM" + bytes(64)


def make(folder: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names(*sources: str | Path) -> list[str]:
    return [image.name for image in find_images(sources)]


def test_a_folder_gives_its_images_in_natural_order(tmp_path):
    make(tmp_path, "10.png", "2.JPG", "1.nii.gz", "6.JFIF", "7.jpe", "8.NII.GZ", "9.MHA")
    make(tmp_path, "3.dcm", "4.mha", "5.tiff", "notes.txt", ".hidden.png", "5.raw", "a.csv")
    found = ["1.nii.gz", "2.JPG", "3.dcm", "4.mha", "5.tiff", "6.JFIF", "7.jpe", "8.NII.GZ"]
    assert names(tmp_path) == [*found, "9.MHA", "10.png"]


def test_dicom_files_are_found_without_a_suffix(tmp_path):
    make(tmp_path, "IM000001", "1.2.840.10008.5", "DICOMDIR", content=DICOM)
    make(tmp_path, "README", "version.2", content=b"text")
    assert names(tmp_path) == ["1.2.840.10008.5", "IM000001"]


def test_names_that_repeat_become_paths_below_the_given_folder(tmp_path):
    make(tmp_path, "left/1.png", "right/1.png", "right/a/2.png", ".cache/3.png")
    assert names(tmp_path) == ["2.png", "left/1.png", "right/1.png"]


def test_names_that_repeat_in_several_folders_become_paths_below_their_common_folder(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png", "b/c/2.png")
    assert names(tmp_path / "a", tmp_path / "b") == ["2.png", "a/1.png", "b/1.png"]
    assert names(tmp_path / "a/1.png", tmp_path / "b/1.png") == ["a/1.png", "b/1.png"]


def test_images_of_a_format_that_is_not_read_are_named(tmp_path):
    make(tmp_path, "1.png", "2.webp", "sub/3.GIF", "notes.txt", ".4.webp")
    told: list[str] = []
    assert [image.name for image in find_images([tmp_path], tell=told.append)] == ["1.png"]
    assert told == [
        "Passed over, since files of this kind are not read: 2.webp, 3.GIF; "
        "save them as PNG or TIFF to use them."
    ]
    with pytest.raises(UsageError, match="there is no image in"):
        find_images([str(tmp_path / "*.webp")], tell=told.append)
    assert "2.webp" in told[1]


def test_patterns(tmp_path):
    make(tmp_path, "a1.png", "a2.png", "b1.png", "a.csv", "sub/a3.png", "[1].png")
    assert names(str(tmp_path / "a*")) == ["a1.png", "a2.png"]
    assert names(str(tmp_path / "?1.png")) == ["a1.png", "b1.png"]
    assert names(str(tmp_path / "**" / "a*.png")) == ["a1.png", "a2.png", "a3.png"]
    assert names(str(tmp_path / "s*")) == ["a3.png"]
    # A file with such a name goes before the pattern.
    assert names(str(tmp_path / "[1].png")) == ["[1].png"]


def test_a_relative_pattern(tmp_path, monkeypatch):
    make(tmp_path, "a1.png", "sub/a2.png")
    monkeypatch.chdir(tmp_path)
    assert names("*.png") == ["a1.png"]
    assert names("*/*.png") == ["a2.png"]
    assert names(".") == ["a1.png", "a2.png"]


def test_each_file_once_and_a_named_file_whatever_its_name(tmp_path):
    make(tmp_path, "1.png", "scan.xyz")
    assert names(tmp_path / "1.png", tmp_path, tmp_path / "." / "1.png") == ["1.png"]
    assert names(tmp_path / "scan.xyz") == ["scan.xyz"]


def test_a_link_keeps_its_own_name(tmp_path):
    make(tmp_path, "store/8f3a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "001.png").symlink_to(tmp_path / "store" / "8f3a.png")
    assert names(tmp_path / "data") == ["001.png"]


def test_nothing_there_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"missing\.png: there is no such file"):
        find_images([tmp_path / "missing.png"])
    for sources in ([tmp_path], [str(tmp_path / "*.png")]):
        with pytest.raises(UsageError, match="there is no image in"):
            find_images(sources)
    with pytest.raises(UsageError, match="there is no image in nothing"):
        find_images([])


def test_a_large_folder_is_listed_without_opening_a_file(tmp_path, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number}.png").touch()

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert names(tmp_path) == [f"{n}.png" for n in range(200)]


@pytest.mark.parametrize(("typed", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_in_the_other_unicode_form(tmp_path, typed, stored):
    """macOS writes "ä" as two characters, keyboards as one."""
    name = "Röntgen/Schädel größer.png"
    make(tmp_path, unicodedata.normalize(stored, name))
    asked = tmp_path / unicodedata.normalize(typed, name)
    assert find_images([asked])[0].path.exists()
    assert on_disk(asked) == tmp_path / unicodedata.normalize(stored, name)
    assert on_disk(tmp_path / "nothing.png") == tmp_path / "nothing.png"


def test_names_that_are_long_or_not_ascii(tmp_path):
    long = f"{'ä' * 125}.png"
    make(tmp_path, "Röntgen/Schädel 1.png", "Röntgen/頭部.png", long)
    assert names(tmp_path) == ["Schädel 1.png", long, "頭部.png"]
    with pytest.raises(UsageError, match=r"File name too long|no such file"):
        find_images([tmp_path / ("x" * 300 + ".png")])


def test_pairs_of_header_and_pixels_are_found_once(tmp_path):
    header = (348).to_bytes(4, "little") + bytes(340) + b"ni1\0" + bytes(4)
    make(tmp_path, "film.hdr", content=header)
    make(tmp_path, "film.img", "camera.hdr")
    assert names(tmp_path) == ["film.hdr"]
