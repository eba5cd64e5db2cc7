"""Reader, writer, autosave and samples, through napari as a user meets them."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import napari
import numpy as np
import pytest
from commands import succeed
from napari.layers import Image
from qtpy.QtCore import QTimer
from widget_scene import PLUGIN, textured

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.widgets.autosave import Sidecar
from napari_oneshot_lmk.widgets.contributions import samples
from napari_oneshot_lmk.widgets.contributions.readers import get_reader
from napari_oneshot_lmk.widgets.layers import points, style
from napari_oneshot_lmk.widgets.layers.image_view import ImageView
from napari_oneshot_lmk.widgets.qt.off_window import off_window

POINTS = {"a": (10.25, 20.5), "b": (30.0, 40.75)}
GREY = textured((60, 50))


def landmarks(image: str = "image.png", spacing: float | None = 0.5) -> Landmarks:
    geometry = Geometry((60, 50)).with_spacing(spacing)
    made = Landmarks.from_positions(POINTS, image, geometry)
    return made.with_landmark(Landmark("c", None, State.ABSENT, description="gone"))


def written(path: Path, *images: str) -> Path:
    write_landmarks(path, [landmarks(image) for image in images])
    return path


# -- the reader ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".mrk.json"])
def test_our_files_open_as_points(viewer, plugin, tmp_path, suffix):
    path = written(tmp_path / f"found{suffix}", "image.png")
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert np.allclose(layer.data, list(POINTS.values()))
    assert list(layer.features["label"]) == list(POINTS)
    # No image is open, so it lies in millimetres.
    assert np.allclose(layer.scale, 0.5)
    assert [str(unit) for unit in layer.units] == ["millimeter", "millimeter"]
    attributes = {"features": layer.features, "metadata": layer.metadata}
    read = points.from_layer(layer.data, attributes)
    assert read["c"].state is State.ABSENT
    assert read["c"].description == "gone"
    assert read.image == "image.png"


def test_points_are_put_onto_their_open_image(viewer, plugin, tmp_path):
    image = viewer.add_image(GREY, name="image", translate=(5, 6))
    viewer.add_image(GREY, name="another")
    path = written(tmp_path / "found.csv", "image.png", "other.png")
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert np.array_equal(layer.translate, image.translate)
    assert np.array_equal(layer.scale, image.scale)
    assert layer.units == image.units


def test_points_of_a_slice_are_put_into_their_stack(viewer, plugin, tmp_path):
    viewer.add_image(np.stack([GREY] * 4), name="stack")
    (layer,) = viewer.open(written(tmp_path / "found.csv", "stack [2]"), plugin=PLUGIN)
    assert layer.data[:, 0].tolist() == [2, 2]


def test_a_table_of_many_images_gives_one_layer_each(viewer, plugin, tmp_path):
    layers = viewer.open(written(tmp_path / "found.csv", *"abc"), plugin=PLUGIN)
    assert [layer.visible for layer in layers] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.csv", "index,shape-type,vertex-index,axis-0,axis-1\n"),
        ("table.csv", "a,b\n1,2\n"),
        ("settings.json", '{"keypoints": 1}'),
        ("boxes.json", '{"images": [], "annotations": [], "categories": []}'),
        ("names.txt", "sella\nnasion\n"),
        ("numbers.txt", "1,2\n" * 18),
        ("other.fcsv", "a,b\n"),
        ("other.tps", "thin plate splines\n"),
        ("other.dcm", "\0" * 128 + "DICM"),
        ("empty.csv", ""),
        ("binary.csv", "\udcff\udcfe"),
        ("other.mrk.json", '{"markups": []}'),
        ("image.png", "image,landmark,x_px,y_px"),
    ],
)
def test_files_of_others_are_left_alone(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert get_reader(str(path)) is None
    assert get_reader(str(tmp_path / "not there.csv")) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(path)]) is None


def test_a_byte_order_mark_and_other_columns_do_not_matter(tmp_path):
    path = tmp_path / "found.csv"
    path.write_bytes(b"\xef\xbb\xbf" + b"y_px,image,landmark,x_px,more\n1,f,a,2,3\n")
    reader = get_reader(str(path))
    ((data, _, kind),) = reader(str(path))
    assert data.tolist() == [[1, 2]]
    assert kind == "points"


def test_a_damaged_file_of_ours_says_so(tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("image,landmark,x_px,y_px\nf,a,two,1\n")
    reader = get_reader(str(path))
    with pytest.raises(LandmarkError, match=r"found\.csv"):
        reader(str(path))


# -- the writer ---------------------------------------------------------------------


def added(viewer: Any, image: str, **about: Any) -> Any:
    """A layer with the landmarks of an image."""
    whole = landmarks(image)
    look = style.landmark_style(whole, points.placed_yx(whole))
    return viewer.add_points(**look, name=image, **about)


@pytest.mark.parametrize("suffix", [".csv", ".mrk.json"])
def test_a_layer_is_saved_and_opened_again_without_loss(viewer, plugin, tmp_path, suffix):
    layer = added(viewer, "image.png", scale=(0.5, 0.5), units="mm")
    path = tmp_path / f"saved{suffix}"
    assert layer.save(str(path), plugin=PLUGIN) == [str(path)]
    assert read_landmarks(path) == (landmarks(),)
    (again,) = viewer.open(path, plugin=PLUGIN)
    assert np.allclose(again.data, layer.data)
    assert again.metadata == layer.metadata


def test_several_layers_go_into_one_table(viewer, plugin, tmp_path):
    for name in ("one.png", "two.png"):
        added(viewer, name)
    path = tmp_path / "both.csv"
    assert viewer.layers.save(str(path), plugin=PLUGIN) == [str(path)]
    assert [la.image for la in read_landmarks(path)] == ["one.png", "two.png"]


def test_slicer_needs_millimetres(viewer, plugin, tmp_path):
    layer = viewer.add_points([(1, 2)], name="plain")
    with pytest.raises(OneshotError, match="spacing"):
        layer.save(str(tmp_path / "saved.mrk.json"), plugin=PLUGIN)
    assert list(tmp_path.iterdir()) == []
    layer.save(str(tmp_path / "saved.csv"), plugin=PLUGIN)
    assert read_landmarks(tmp_path / "saved.csv")[0]["01"].position_yx == (1, 2)


# -- autosave -------------------------------------------------------------------------


def opened(path: Path) -> ImageView:
    """Open a layer from a file, as napari does."""
    imageio.imwrite(path, (50 * GREY + 128).astype(np.uint8))
    (layer,) = napari.components.ViewerModel().open(path, plugin="napari")
    return ImageView(layer)


def test_the_sidecar_lies_beside_the_image(plugin, tmp_path):
    target = opened(tmp_path / "image.png")
    sidecar = Sidecar.of(target, True, tmp_path / "elsewhere")
    assert sidecar.path == tmp_path / "image.png.landmarks.csv"
    assert sidecar.offer() is None
    sidecar.save(landmarks())
    # This session's own file is no news to it; another session is offered it.
    assert sidecar.offer() is None
    assert Sidecar.of(target, True, tmp_path / "elsewhere").offer() == landmarks()


def test_images_without_a_folder_go_by_their_content(plugin, tmp_path):
    one = ImageView(Image(textured(seed=1), name="img/1"))
    two = ImageView(Image(textured(seed=2), name="img/1"))
    paths = [Sidecar.of(t, True, tmp_path / "x").path for t in (one, one, two)]
    assert paths[0] == paths[1] != paths[2]
    assert all(path.parent == tmp_path / "x" for path in paths)
    assert all("/" not in path.name for path in paths)
    beside = opened(tmp_path / "image.png")
    assert Sidecar.of(beside, False, tmp_path / "x").path.parent == tmp_path / "x"


@pytest.mark.parametrize("length", [230, 231, 241, 242, 300])
def test_a_long_name_leaves_room_for_the_hash(plugin, tmp_path, length):
    target = ImageView(Image(textured(), name="x" * length))
    Sidecar.of(target, True, tmp_path).save(landmarks())
    assert Sidecar.of(target, True, tmp_path).offer() == landmarks()


def test_a_name_that_is_too_long_beside_the_image_lies_elsewhere(plugin, tmp_path):
    target = opened(tmp_path / f"a{' ' * 240}b.png")
    sidecar = Sidecar.of(target, True, tmp_path / "elsewhere")
    assert sidecar.path.parent == tmp_path / "elsewhere"
    sidecar.save(landmarks())


def test_a_file_that_somebody_else_left_is_never_overwritten(tmp_path):
    old, new = landmarks(), landmarks(spacing=0.25)
    path = tmp_path / "image.png.landmarks.csv"
    for number in range(3):
        write_landmarks(path, [old], overwrite=True)
        Sidecar(path).save(new)
        assert read_landmarks(path) == (new,)
        kept = sorted(p.name for p in tmp_path.glob("*previous*"))
        assert len(kept) == number + 1
    assert all(read_landmarks(p) == (old,) for p in tmp_path.glob("*previous*"))
    # What was accepted is one's own.
    sidecar = Sidecar(path)
    sidecar.accept()
    sidecar.save(old)
    assert read_landmarks(path) == (old,)
    assert len(list(tmp_path.glob("*previous*"))) == 3


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be made read-only so")
def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError):
        Sidecar(tmp_path / "file" / "image.landmarks.csv").save(landmarks())


# -- samples --------------------------------------------------------------------------


@pytest.mark.parametrize("anatomy", ["skull", "hand"])
def test_samples_are_read_as_the_users_images_are(anatomy):
    data_set = Dataset.load(sample_folder(anatomy))
    images = samples.sample(anatomy)[:-1]
    names = [*data_set.test[: samples.OTHER_IMAGES], data_set.template_image]
    assert {Path(name).suffix for name in names} == {".png", ".dcm"}
    for name, (pixels, about, kind) in zip(names, images, strict=True):
        file = data_set.file_of(name).path
        read = read_image(file, spacing_mm_yx=data_set.spacing_mm_yx(name))
        assert kind == "image"
        assert np.array_equal(pixels, read.pixels)
        assert about["scale"] == read.geometry.spacing_mm_yx


OPENED = """
import sys
from pathlib import Path
import napari
from napari_oneshot_lmk.widgets import dock
from napari_oneshot_lmk.widgets.contributions import readers, samples
folder = Path(sys.argv[1])
for anatomy in ("skull", "hand"):
    samples.sample(anatomy)
for name in ("found.csv", "found.mrk.json", "found.tps"):
    assert readers.get_reader(str(folder / name))(str(folder / name)), name
print(*(name for name in ("torch", "monai") if name in sys.modules))
"""


def test_samples_and_landmark_files_open_without_pytorch(tmp_path):
    for name in ("found.csv", "found.mrk.json", "found.tps"):
        write_landmarks(tmp_path / name, [landmarks()])
    assert succeed(sys.executable, "-c", OPENED, tmp_path).split() == []


def test_the_window_draws_while_an_image_is_read(viewer, plugin, qtbot, tmp_path, monkeypatch):
    grey = np.arange(3000, dtype=np.uint8).reshape(60, 50)
    imageio.imwrite(tmp_path / "image.png", grey)
    # A table that does not state the size of the image, which is read for that.
    write_landmarks(tmp_path / "found.csv", [Landmarks.from_positions(POINTS, "image.png")])
    threads, ticks = [], []

    def slowly(path: Path) -> Any:
        threads.append(threading.current_thread())
        time.sleep(0.3)
        return read_image(path)

    monkeypatch.setattr("napari_oneshot_lmk.imaging.reader.read_image", slowly)
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(10)
    viewer.open(tmp_path / "found.csv", plugin=PLUGIN)
    timer.stop()
    assert threads
    assert threading.main_thread() not in threads
    assert len(ticks) >= 10
    assert "image" in [layer.name for layer in viewer.layers]


def test_what_fails_off_the_window_is_raised_where_it_was_asked_for(qtbot):
    def refuses(text: str) -> None:
        raise OutputError(text)

    with pytest.raises(OutputError, match=r"^no room$"):
        off_window(refuses, "no room")
    assert off_window(threading.current_thread) is not threading.main_thread()


@pytest.mark.parametrize(("key", "count"), [("skull", 19), ("hand", 37)])
def test_a_sample_opens_with_its_template(viewer, plugin, key, count):
    layers = viewer.open_sample(PLUGIN, key)
    images, marks = layers[:-1], layers[-1]
    assert len(images) >= 2
    assert [layer.visible for layer in images] == [False] * (len(images) - 1) + [True]
    assert len(marks.data) == count
    template = images[-1]
    assert np.array_equal(marks.scale, template.scale)
    assert [str(unit) for unit in template.units] == ["millimeter", "millimeter"]
    assert 0.05 < template.scale[0] < 1
    assert ((marks.data >= 0) & (marks.data < template.data.shape)).all()
