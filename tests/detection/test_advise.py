"""Which image of many to annotate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cli_scene import run

from napari_oneshot_lmk.detection.advise import (
    GRID,
    SMALL,
    ImageDescription,
    advise,
    describe_image,
    describe_images,
)
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.errors import ImageError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.samples import sample_folder


def described(name: str, direction: np.ndarray, clipped: float = 0.0) -> ImageDescription:
    """An image whose cells all look in one direction of a plane."""
    cells = np.tile(direction / np.linalg.norm(direction), (GRID * GRID, 1)).astype(np.float32)
    small = np.linspace(-1, 1, SMALL * SMALL, dtype=np.float32).reshape(SMALL, SMALL)
    small /= np.linalg.norm(small)
    return ImageDescription(ImageFile(Path(name), name), cells, small, clipped)


def at(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def test_the_most_central_image_comes_first_and_several_stand_for_all():
    images = [described(f"{d}", at(d)) for d in (0, 4, 9, 13, 17)]
    first, *rest = advise(images)
    assert (first.file.name, first.chosen, first.stands_for) == ("9", 1, 5)
    assert first.reasons == ("most like all others",)
    likeness = [each.likeness for each in rest]
    assert likeness == sorted(likeness, reverse=True)
    assert all(each.chosen is None and each.stands_for == 0 for each in rest)
    images += [described(f"{d}", at(d)) for d in (80, 84)]
    two = [each for each in advise(images, 2) if each.chosen]
    assert [each.stands_for for each in two] == [5, 2]
    assert two[1].file.name in ("80", "84")
    assert "nearest to 2 of 7 images" in two[1].reasons
    assert len({each.file.name for each in advise(images, 99)}) == 7


def test_a_badly_exposed_image_is_not_chosen_unless_all_are():
    images = [described(f"{d}", at(d), clipped=0.4 * (d == 8)) for d in (0, 7, 8, 9, 16)]
    order = advise(images)
    assert order[-1].file.name == "8"
    assert "40 % of it is black or white" in order[-1].reasons[0]
    assert order[0].file.name != "8"
    with pytest.raises(UsageError, match="too few"):
        advise(images[:2])


def test_an_image_that_lies_differently_comes_last():
    folder = sample_folder("skull") / "images"
    encoder = OrientationEncoder(torch.device("cpu"))
    names = [f"skull_0{n}.png" for n in (1, 2, 3, 5)]
    images = [read_image(folder / name) for name in names]
    turned = images[1].pixels[:, ::-1].copy()
    files = [ImageFile(folder / name, name) for name in (*names, "mirrored.png", "bad.png")]

    def read(file: ImageFile) -> GrayImage:
        if file.name == "bad.png":
            raise ImageError("is damaged")
        return GrayImage.from_array(turned) if file.name == "mirrored.png" else read_of[file.name]

    read_of = dict(zip(names, images, strict=True))
    *good, bad = describe_images(files, read, encoder)
    assert isinstance(bad, ImageError)
    assert "bad.png" in str(bad)
    last = advise([each for each in good if isinstance(each, ImageDescription)])[-1]
    assert last.file.name == "mirrored.png"
    assert last.reasons[0] == "mirrored, compared with most images"
    again = describe_image(files[0], images[0], encoder)
    assert np.array_equal(again.cells, good[0].cells)
    assert np.allclose(np.linalg.norm(again.cells, axis=1), 1, atol=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_the_command_writes_a_table_and_names_bad_files(tmp_path, monkeypatch):
    for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    images = tmp_path / "images"
    images.mkdir()
    for number in (1, 2, 3):
        shutil.copy(sample_folder("skull") / "images" / f"skull_0{number}.png", images)
    (images / "broken.png").write_bytes(b"no image")
    out = tmp_path / "advice.csv"
    result = run("advise", images, "--count", 2, "--out", out, "--device", "cpu", "--json")
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    content = json.loads(result.stdout)["images"]
    table = pd.read_csv(out)
    assert list(table["image"]) == [each["image"] for each in content]
    assert sorted(table["template"].dropna()) == [1, 2]
    assert table["stands_for"].sum() == 3
    assert content[0]["reason"].startswith("most like all others")
