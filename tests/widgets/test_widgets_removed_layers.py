"""What napari draws with stays while a removed layer may still be drawn."""

import gc
import weakref
from typing import Any

import pytest
from clinic_scene import Clinic
from vispy import gloo

from napari_oneshot_lmk.widgets.layers import napari_versions


@pytest.fixture
def clinic(make_napari_viewer_proxy: Any, qtbot: Any) -> Clinic:
    return Clinic(make_napari_viewer_proxy(show=True), qtbot)


def drawn_images() -> list[Any]:
    """The visuals of images that the canvas draws."""
    nodes, found = [gloo.get_current_canvas().scene], []
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        if type(node).__name__ == "Image":
            found.append(node)
    return found


def is_deleted(texture: Any) -> bool:
    return not hasattr(texture, "_glir")


def test_of_a_removed_image_the_pixels_go_and_the_program_stays(clinic, monkeypatch):
    monkeypatch.setattr(napari_versions, "PIXELS_KEPT_MS", 50)
    clinic.add(1, "one")
    clinic.qtbot.wait(50)
    before = drawn_images()
    removed = clinic.add(2, "two")
    clinic.qtbot.wait(50)
    [node] = [node for node in drawn_images() if node not in before]
    program, texture = weakref.ref(node._program), node._texture
    del node
    clinic.viewer.layers.remove(removed)
    clinic.qtbot.wait(200)
    gc.collect()
    # Whatever is drawn next may read its vertices: without them the process would end.
    assert program() is not None
    assert is_deleted(texture)
    assert before
    assert not any(is_deleted(node._texture) for node in before)
