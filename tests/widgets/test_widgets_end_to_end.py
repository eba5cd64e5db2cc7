"""From a click to a file: the whole way, in a real window, with the real detector."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from widget_scene import PLUGIN, click, press_key

from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.lists import LandmarkList, ListedLandmark
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.widgets.layers.points import METADATA, from_layer


def test_annotate_detect_save_and_open_again(make_napari_viewer_proxy, plugin, qtbot, tmp_path):
    truth = Dataset.load(sample_folder("skull")).truth
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1400, 1000)
    marks = viewer.open_sample(PLUGIN, "skull")[-1]
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "One-shot landmarks")
    annotate, detect = dock.steps["Annotate"], dock.steps["Detect"]
    viewer.layers.remove(marks)
    qtbot.wait(200)

    # Annotate the template with the mouse, all but one that is "not there".
    image = dock.session.target.layer
    known = truth[image.name]
    names = tuple(ListedLandmark(point.name) for point in known)
    annotate.follow_list(LandmarkList("the sample's", names))
    annotate.form.start.click()
    missing = known.names[4]
    for point in known:
        if point.name == missing:
            press_key(viewer, Qt.Key.Key_X)
        else:
            click(viewer, image, point.position_yx)
    made = dock.session.annotation.landmarks
    assert len(made.placed) == len(known) - 1
    pixel = 1 / (viewer.scene.camera.zoom * image.scale[0])
    for point in made.placed:
        assert point.position_yx == pytest.approx(known[point.name].position_yx, abs=pixel)
    annotate.form.use_template.click()

    # Detect on the next image of the sample.
    dock.tabs.setCurrentWidget(detect)
    dock.header.chooser.activated.emit(0)
    other = dock.session.target
    assert other.layer.visible
    assert not image.visible
    with qtbot.waitSignal(detect.finished, timeout=240_000):
        detect.form.here.click()
    layer = viewer.layers[f"found – {other.image_name}"]
    found = dock.session.found[other.key]
    # Without weights and a network, the dock says which encoder it uses, and why.
    assert "shipped encoder" in detect.form.note.text()
    assert detect.form.encoder.text().endswith("on CPU")
    assert len(layer.data) == len(found.placed) >= len(known) - 1

    def median_mm(landmarks):
        places = [
            [marks[p.name].position_yx for p in made.placed]
            for marks in (landmarks, truth[other.image_name])
        ]
        return np.median(found.geometry.distances_mm(*places))

    # Far better than putting the template's points onto the other image.
    assert median_mm(found) < min(4.0, median_mm(known) / 2)

    # Save as napari saves, and open the files again.
    for suffix in (".csv", ".mrk.json"):
        path = tmp_path / f"found{suffix}"
        layer.save(str(path), plugin=PLUGIN)
        (read,) = read_landmarks(path)
        assert read.names == found.names
        assert np.allclose(read.positions_yx, found.positions_yx, equal_nan=True)
        assert read.image == other.image_name
        (again,) = viewer.open(path, plugin=PLUGIN)
        assert np.allclose(again.data, layer.data)
        assert np.array_equal(again.scale, layer.scale)
        assert again.metadata[METADATA]["image"] == other.image_name
        assert np.allclose(again.border_color, layer.border_color)
        attributes = {"features": again.features, "metadata": again.metadata}
        made = dock.session.annotation.landmarks
        assert from_layer(again.data, attributes).points == made.points
        viewer.layers.remove(again)

    # The second click needs no encoder to be loaded, and gives the same answer.
    with qtbot.waitSignal(detect.finished, timeout=120_000):
        detect.form.here.click()
    assert dock.session.found[other.key].points == found.points
