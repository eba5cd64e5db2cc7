"""The list that says which image to annotate."""

from __future__ import annotations

import threading
from typing import Any

import torch
from clinic_scene import film
from napari.layers import Image

from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.widgets.annotate.widget import AnnotateWidget


class Encoders:
    """Lends the encoder that is shipped, in the worker's thread."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def encoder(self, wanted: Any, progress: Any) -> OrientationEncoder:
        self.threads.append(threading.get_ident())
        return OrientationEncoder(torch.device("cpu"))


def test_images_are_listed_with_reasons_and_opened_by_a_click(
    make_napari_viewer_proxy, qtbot, tmp_path
):
    folder = tmp_path / "images"
    for number in range(3):
        film(folder, f"image_{number}.png", seed=number)
    (folder / "broken.png").write_bytes(b"no image")
    viewer = make_napari_viewer_proxy(show=True)
    step = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(step)
    step.form.advise.click()
    dialog, encoders = step.adviser, Encoders()
    assert dialog.isVisible()
    assert "Choose a folder" in dialog.message.text()
    dialog.run._encoders = encoders
    dialog.count.setValue(2)
    with qtbot.waitSignal(dialog.run.ended, timeout=120_000):
        dialog.advise(folder)
        assert not dialog.folder.isEnabled()
        assert not dialog.cancel.isHidden()
    qtbot.wait(20)
    assert encoders.threads != [threading.get_ident()]
    assert dialog.folder.isEnabled()
    assert dialog.cancel.isHidden()
    assert "3 images compared" in dialog.message.text()
    assert "broken.png" in dialog.message.text()
    items = [dialog.list.item(row) for row in range(dialog.list.count())]
    assert len(items) == 3
    assert "(template 1)" in items[0].text()
    assert "most like all others" in items[0].text()
    assert "(template 2)" in items[1].text()
    assert all(not item.icon().isNull() for item in items)
    opened = []
    for item in (items[0], items[2], items[0]):
        dialog.list.itemClicked.emit(item)
        qtbot.wait(20)
        opened.append(step.session.target.layer)
    assert opened[0] is opened[2]
    assert len([layer for layer in viewer.layers if isinstance(layer, Image)]) == 2
    assert items[0].text().partition("\n")[0].endswith(f"{opened[0].name}.png (template 1)")
    dialog.close()
    with qtbot.waitSignal(dialog.run.ended, timeout=120_000):
        dialog.advise(tmp_path / "nowhere")
    assert "no such file or folder" in dialog.message.text()
