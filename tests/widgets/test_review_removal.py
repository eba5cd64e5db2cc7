"""An image is taken out of a project in the dock: asked for, kept, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from clinic_scene import add, detect, names, project_clinic
from napari.layers import Image, Points
from qtpy.QtCore import QPoint, Qt
from widget_scene import canvas, press_key, spot

from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.widgets.review import image_removal

REDO = Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def clinic(make_napari_viewer_proxy, qtbot, tmp_path):
    """A window with a project of three images on which nothing was detected."""
    clinic = project_clinic(make_napari_viewer_proxy(show=True), qtbot, tmp_path, images=3)
    yield clinic
    clinic.project.close_project()


def choose_in_menu(clinic, name):
    """Click with the right button on an image of the list, and on the entry."""
    table = clinic.review.form.table
    row = next(n for n, row in enumerate(table.rows) if row.name == name)
    at = QPoint(5, table.rowViewportPosition(row) + 5)
    table.customContextMenuRequested.emit(at)
    removal = clinic.project.removal
    assert removal.menu.isVisible()
    assert removal.entry.isEnabled(), removal.entry.toolTip()
    removal.entry.trigger()
    removal.menu.close()
    clinic.qtbot.wait(20)


def test_an_image_fills_the_canvas_beside_layers_of_another_size(clinic):
    other = clinic.viewer.add_image(np.zeros((4000, 4000), np.uint8), name="other")
    clinic.project.images.set_spacing((0.1, 0.1))
    for key in clinic.project.images.keys[1:]:
        clinic.review.actions.turn_to(key)
        clinic.qtbot.wait(20)
        layer = clinic.session.target.layer
        assert layer is not other
        ends = [spot(clinic.viewer, layer, at) for at in ((0, 0), (240, 200))]
        size = canvas(clinic.viewer).size()
        shown = ends[1] - ends[0]
        assert 0.9 < max(shown.y() / size.height(), shown.x() / size.width()) <= 1


def test_an_image_leaves_the_project_and_its_landmarks_are_kept(clinic, tmp_path, monkeypatch):
    # While nothing is placed napari would turn to 3-D with this key.
    press_key(clinic.viewer, *REDO)
    assert clinic.viewer.dims.ndisplay == 2
    detect(clinic)
    asked = []
    answer = [image_removal.KEEP]
    monkeypatch.setattr(
        image_removal, "ask_one_of", lambda *about, **_: asked.append(about[2]) or answer[0]
    )
    choose_in_menu(clinic, "image_2.png")
    assert asked == []
    assert names(clinic) == ["image_0.png", "image_1.png"]
    assert "removed/image_2.png.json" in clinic.review.form.message.text()
    assert (tmp_path / "images/image_2.png").exists()
    # The one that is shown, on which somebody has decided.
    clinic.bench.look_for("b")
    press_key(clinic.viewer, Qt.Key.Key_Down)
    assert clinic.session.target.image_name == "image_0.png"
    clinic.project.actions_["remove"].trigger()
    assert "1 landmark of image_0.png" in asked[0]
    assert sorted(names(clinic)) == ["image_0.png", "image_1.png"]
    answer[0] = image_removal.REMOVE
    clinic.project.actions_["remove"].trigger()
    clinic.qtbot.wait(20)
    assert names(clinic) == ["image_1.png"]
    assert clinic.session.target.image_name == "image_1.png"
    press_key(clinic.viewer, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    choose_in_menu(clinic, "image_1.png")
    assert names(clinic) == []
    assert [la for la in clinic.viewer.layers if isinstance(la, Image | Points)] == []
    assert not clinic.project.actions_["remove"].isEnabled()
    assert Project.open(tmp_path / "study").images == ()
    kept = sorted(path.name for path in (tmp_path / "study/removed").iterdir())
    assert kept == [f"image_{n}.png.json" for n in range(3)]
    add(clinic, tmp_path / "images")
    assert "3 to do" in clinic.review.form.counters.text()
    clinic.project.close_project()
    press_key(clinic.viewer, *REDO)
    assert clinic.viewer.dims.ndisplay == 3
