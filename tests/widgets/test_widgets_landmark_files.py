"""Landmark files of other tools, opened in napari over their image."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from napari.errors import MultipleReaderError
from napari.layers import Image, Points
from oblique_image import SHAPE_YX, cephalogram, geometry, on, write_dicom
from qtpy.QtWidgets import QWidget
from widget_scene import PLUGIN

from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark
from napari_oneshot_lmk.widgets.contributions.readers import get_reader
from napari_oneshot_lmk.widgets.layers import points
from napari_oneshot_lmk.widgets.qt import save_dialogs

pytestmark = pytest.mark.usefixtures("plugin")


def saved_image(path: Path) -> Path:
    pixels = np.arange(np.prod(SHAPE_YX)).reshape(SHAPE_YX) % 251
    imageio.imwrite(path, pixels.astype(np.uint8))
    return path


def saved_marks(path: Path, image: str) -> Path:
    write_landmarks(path, [on(image)], overwrite=True)
    return path


def place(viewer: Any) -> tuple[Image, Points]:
    """Return the only image and the only points of a viewer."""
    (image,) = (layer for layer in viewer.layers if isinstance(layer, Image))
    (marks,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert list(viewer.layers).index(image) < list(viewer.layers).index(marks)
    return image, marks


@pytest.mark.parametrize("suffix", [".json", ".tps", ".csv"])
def test_the_image_beside_is_opened_too(viewer, tmp_path, suffix):
    saved_image(tmp_path / "image.png")
    viewer.open(saved_marks(tmp_path / f"found{suffix}", "image.png"), plugin=PLUGIN)
    image, marks = place(viewer)
    assert image.source.path == str(tmp_path / "image.png")
    placed = points.placed_yx(on())
    assert np.allclose(marks.data, placed)
    worlds = ([layer.data_to_world(p) for p in placed] for layer in (marks, image))
    assert np.allclose(*worlds)


@pytest.mark.parametrize("name", ["image.txt", "found.sr.dcm", "image.fcsv"])
def test_the_dicom_image_beside_is_opened_too(viewer, tmp_path, name):
    source = write_dicom(tmp_path / "image.dcm")
    landmarks = cephalogram("image.dcm")
    path = tmp_path / name
    if name == "image.fcsv":
        places = geometry().points_to_lps(landmarks.positions_yx).tolist()
        rows = [
            ",".join([str(n), *map(repr, lps), point.name])
            for n, (point, lps) in enumerate(zip(landmarks, places, strict=True))
        ]
        header = "# CoordinateSystem = LPS\n# columns = id,x,y,z,label\n"
        path.write_text(header + "\n".join(rows) + "\n")
    else:
        write_landmarks(path, [landmarks], source=source)
    viewer.open(path, plugin=PLUGIN)
    image, marks = place(viewer)
    assert image.name == "image.dcm"
    assert np.allclose(image.scale, (0.2, 0.35))
    assert np.array_equal(marks.scale, image.scale)
    found = dict(zip(marks.features["label"], marks.data.tolist(), strict=True))
    for point in landmarks:
        assert found[point.name] == pytest.approx(point.position_yx, abs=1e-6)


def test_the_image_that_is_open_is_taken_by_its_path(viewer, tmp_path):
    (tmp_path / "other").mkdir()
    viewer.open(saved_image(tmp_path / "image.png"), plugin="napari", translate=(5, 6))
    viewer.open(saved_image(tmp_path / "other" / "image.png"), plugin="napari")
    (marks,) = viewer.open(saved_marks(tmp_path / "found.json", "image.png"), plugin=PLUGIN)
    assert np.array_equal(marks.translate, (5, 6))
    assert len(viewer.layers) == 3


def test_heights_for_tps_come_from_the_image(viewer, tmp_path):
    (tmp_path / "fish.tps").write_text("LM=1\n10.5 89.5\nIMAGE=fish.png\nID=0\n")
    saved_image(tmp_path / "fish.png")
    viewer.open(tmp_path / "fish.tps", plugin=PLUGIN)
    _, marks = place(viewer)
    assert marks.data.tolist() == [[0.0, 10.0]]


def test_a_name_does_not_lead_out_of_the_folder(viewer, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    saved_image(tmp_path / "image.png")
    for name in ("../image.png", str(tmp_path / "image.png"), "found.json"):
        viewer.open(saved_marks(folder / "found.json", name), plugin=PLUGIN)
        assert not [la for la in viewer.layers if isinstance(la, Image)]


def test_a_damaged_image_beside_does_not_cost_the_points(viewer, tmp_path, capsys):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (marks,) = viewer.open(saved_marks(tmp_path / "found.json", "image.png"), plugin=PLUGIN)
    assert len(marks.data) == 4
    assert "image.png: the PNG file is cut short" in capsys.readouterr().out


def test_points_of_napari_are_left_to_napari_unless_we_are_chosen(viewer, tmp_path):
    path = tmp_path / "Points.csv"
    Points([[1.25, 2.5]]).save(str(path), plugin="napari")
    with pytest.raises(MultipleReaderError):
        viewer.open(path, plugin=None)
    viewer.open(path, plugin="napari")
    (marks,) = viewer.open(path, plugin=PLUGIN)
    assert marks.data.tolist() == [[1.25, 2.5]]
    assert list(marks.features["label"]) == ["1"]


@pytest.mark.parametrize("suffix", [".json", ".tps"])
def test_layers_are_saved_for_other_tools(viewer, tmp_path, suffix, capsys):
    for name in ("one.png", "two.png"):
        viewer.open(saved_marks(tmp_path / "a.csv", name), plugin=PLUGIN)
    path = tmp_path / f"both{suffix}"
    assert viewer.layers.save(str(path), plugin=PLUGIN) == [str(path)]
    assert [la.image for la in read_landmarks(path)] == ["one.png", "two.png"]
    said = capsys.readouterr().out
    assert ("both.tps does not hold scores" in said) == (suffix == ".tps")
    single = tmp_path / f"one{suffix}"
    assert viewer.layers[0].save(str(single), plugin=PLUGIN) == [str(single)]
    (back,) = read_landmarks(single)
    assert np.allclose(back.positions_yx, on().positions_yx, equal_nan=True)


def test_images_and_reports_are_told_apart(tmp_path):
    source = write_dicom(tmp_path / "image.dcm")
    assert get_reader(str(source)) is None
    one = replace(on(source), points=(Landmark("a", (1, 2)),))
    write_landmarks(tmp_path / "image.sr.dcm", [one], source=source)
    assert get_reader(str(tmp_path / "image.sr.dcm")) is not None


@pytest.mark.parametrize("ending", [".csv", ".mrk.json", ".json", ".tps", ".txt"])
def test_the_chosen_filter_gives_the_ending(tmp_path, monkeypatch, qtbot, ending):
    # A DICOM report needs the image file, which a layer may not have.
    offered = save_dialogs.save_filters(report=False)
    assert not any(".sr.dcm" in each for each in offered)
    (kind,) = (each for each in offered if f"(*{ending})" in each)
    answer = (str(tmp_path / "found"), kind)
    monkeypatch.setattr(save_dialogs.QFileDialog, "getSaveFileName", lambda *_: answer)
    parent = QWidget()
    qtbot.addWidget(parent)
    said = save_dialogs.ask_save_landmarks(parent, [cephalogram("image.png")])
    assert ("found.txt does not hold pixel spacing" in said) == (ending == ".txt")
    assert [p.name for p in tmp_path.iterdir()] == [f"found{ending}"]
