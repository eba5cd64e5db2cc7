"""A window as a clinic has it: the composed dock, images, a detector that is known."""

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from qtpy.QtWidgets import QFileDialog
from widget_scene import FakeDetectors, textured

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.workbench import workbench_of

POINTS = {"a": (30.0, 40.0), "b": (60.0, 120.0), "c": (150.0, 90.0)}


def template(pixels: np.ndarray | None = None, name: str = "template.png") -> Template:
    image = GrayImage.from_array(textured() if pixels is None else pixels, 0.5, name)
    return Template.create(image, Landmarks.from_positions(POINTS, name), "template")


def film(folder: Path, name: str, seed: int) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = textured(seed=seed)
    low, high = pixels.min(), pixels.max()
    imageio.imwrite(folder / name, (255 * (pixels - low) / (high - low)).astype(np.uint8))
    return folder / name


class Clinic:
    """A window with the composed dock, and a detector that is known."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1300, 900)
        self.dock = OneshotDock(viewer)
        viewer.window.add_dock_widget(self.dock, area="right")
        self.session = self.dock.session
        self.detect = self.dock.steps["Detect"]
        self.annotate = self.dock.steps["Annotate"]
        self.fake = FakeDetectors()
        self.review = self.dock.steps["Review"]
        self.project = self.review.project
        self.detect.run._make = self.fake
        self.project.detecting._make = self.project.learn.run._make = self.fake
        self.review.settle.settler._make = self.fake
        # What is dragged in a test moves alone, unless the test is about that.
        self.review.form.move_others.setChecked(False)
        self.bench = workbench_of(viewer, self.session)

    @property
    def marks(self) -> Any:
        """The landmark layer of the chosen image."""
        return self.bench.placing.layer

    def open(self, *paths: Path) -> list[Any]:
        """Open image files as napari does."""
        return [self.viewer.open(path, plugin="napari")[0] for path in paths]

    def add(self, seed: int = 4, name: str = "image", **about: Any) -> Any:
        return self.viewer.add_image(textured(seed=seed), name=name, **about)

    def detected(self) -> Any:
        """Add an image and detect on it; return its layer."""
        self.session.load_template(template())
        image = self.add()
        self.run(self.detect.form.here)
        return image

    def run(self, button: Any) -> None:
        with self.qtbot.waitSignal(self.detect.finished, timeout=20_000):
            button.click()
        self.qtbot.wait(20)

    def at(self, name: str) -> tuple[float, float] | None:
        return self.session.annotation.landmarks[name].position_yx

    def source(self, name: str) -> Source | None:
        return self.session.annotation.landmarks[name].source

    def rows(self) -> dict[str, tuple[str, ...]]:
        return {row.name: row.cells for row in self.detect.form.table.rows}


def project_clinic(viewer: Any, qtbot: Any, folder: Path, images: int) -> Clinic:
    """Open a window with a project of some images on which nothing was detected."""
    for number in range(images):
        film(folder / "images", f"image_{number}.png", seed=number)
    clinic = Clinic(viewer, qtbot)
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    assert "template" in clinic.project.actions_["new"].toolTip()
    clinic.session.load_template(template())
    clinic.project.create(folder / "study")
    add(clinic, folder / "images")
    return clinic


def add(clinic: Clinic, folder: Path) -> None:
    """Add the images of a folder to the project."""
    with clinic.qtbot.waitSignal(clinic.project.adding.ended, timeout=120_000):
        clinic.project.add(folder)
    clinic.qtbot.wait(20)


def detect(clinic: Clinic) -> None:
    """Detect on all images of the project on which nothing was detected yet."""
    with clinic.qtbot.waitSignal(clinic.project.detecting.ended, timeout=120_000):
        clinic.project.actions_["detect"].trigger()
    clinic.qtbot.wait(20)


def show(clinic: Clinic, number: int) -> Any:
    """Turn to an image of the project; return its key."""
    key = next(r.key for r in clinic.review.form.table.rows if r.name == f"image_{number}.png")
    clinic.review.actions.turn_to(key)
    clinic.qtbot.wait(20)
    return key


def names(clinic: Clinic) -> list[str]:
    """Return the images of the project, as they are listed."""
    return [row.name for row in clinic.review.form.table.rows]


def saves_to(monkeypatch: Any, path: Path, kind: str = "Table (*.csv)") -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), kind))
