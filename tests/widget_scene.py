"""A window to work in: pictures, a user's mouse, a detector that knows the answer."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

import napari_oneshot_lmk
from napari_oneshot_lmk.detection.similarity_maps import SimilarityMaps
from napari_oneshot_lmk.encoders.encoder import EncoderCard, Level
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance, Source
from napari_oneshot_lmk.landmarks.lists import parse_landmark_list
from napari_oneshot_lmk.landmarks.template import Template

PLUGIN = "napari-oneshot-lmk"
MANIFEST = Path(napari_oneshot_lmk.__file__).with_name("napari.yaml")
LEFT = Qt.MouseButton.LeftButton
CARD = EncoderCard("fake", "Fake encoder", "0" * 64, (Level("one", 2, 4),), "for tests")


def textured(shape_yx: tuple[int, int] = (240, 200), seed: int = 1) -> np.ndarray:
    """Smooth noise: something to look at and to match."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape_yx)
    return gaussian_filter(noise, 3).astype(np.float32)


@cache
def manifests() -> tuple[PluginManifest, PluginManifest]:
    """napari's and this plugin's, read once: each is a long file."""
    return PluginManifest.from_distribution("napari"), PluginManifest.from_file(MANIFEST)


# -- the docks -----------------------------------------------------------------


def begin(step: Any, names: str = "a,b,c", *points: tuple[float, ...]) -> Any:
    """Follow a list in the tab "Annotate" and place its first landmarks; return their layer."""
    step.follow_list(parse_landmark_list(names))
    step.place()
    layer = step.bench.placing.layer
    for point in points:
        layer.add(point)
    return layer


def placed(dock: Any) -> dict[str, Any]:
    """Names and positions (row, column) of what is placed on the chosen image."""
    return {p.name: p.position_yx for p in dock.session.annotation.landmarks.placed}


def type_spacing(dock: Any, text: str) -> None:
    """Type into the spacing field of a dock's header."""
    dock.header.spacing.setText(text)
    dock.header.spacing.editingFinished.emit()


# -- the mouse ------------------------------------------------------------------


def canvas(viewer: Any) -> QWidget:
    """The widget that the image is drawn in."""
    shown = [w for w in QApplication.allWidgets() if w.isVisible()]
    (found,) = (w for w in shown if type(w).__name__.startswith("CanvasBackend"))
    return found


def spot(viewer: Any, layer: Any, position_yx: tuple[float, float]) -> QPoint:
    """Where a point of an image lies on the canvas."""
    full = [*viewer.dims.point[: max(0, layer.ndim - 2)], *position_yx]
    world = np.asarray(layer.data_to_world(full))[-2:]
    camera = viewer.scene.camera
    size = canvas(viewer).size()
    middle = np.array([size.height(), size.width()]) / 2
    y, x = middle + (world - np.array(camera.center[-2:])) * camera.zoom
    return QPoint(round(x), round(y))


def click(viewer: Any, layer: Any, position_yx: Any, button: Any = LEFT) -> None:
    """Press and release a button on a point of an image."""
    widget, at = canvas(viewer), spot(viewer, layer, position_yx)
    QTest.mouseMove(widget, at)
    QTest.mouseClick(widget, button, pos=at)
    # Two quick clicks at one place would be a double click.
    QTest.qWait(10)


def drag(viewer: Any, layer: Any, *stations_yx: tuple[float, float]) -> None:
    """Drag with the left button from one point of an image to the next."""
    widget = canvas(viewer)
    stations = [spot(viewer, layer, at_yx) for at_yx in stations_yx]
    start, end = stations[0], stations[-1]
    QTest.mouseMove(widget, start)
    QTest.mousePress(widget, LEFT, pos=start)
    for here, there in pairwise(stations):
        for part in np.linspace(0, 1, 6)[1:]:
            _move_pressed(widget, here + (there - here) * float(part))
    # napari leaves out movements that come within a few milliseconds.
    QTest.qWait(15)
    _move_pressed(widget, end)
    QTest.qWait(15)
    QTest.mouseRelease(widget, LEFT, pos=end)
    QTest.qWait(10)


def _move_pressed(widget: QWidget, at: QPoint) -> None:
    """Move with the button held: QTest.mouseMove lets go of it."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent

    places = QPointF(at), QPointF(widget.mapToGlobal(at))
    held = Qt.MouseButton.NoButton, LEFT, Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(QEvent.Type.MouseMove, *places, *held)
    QApplication.sendEvent(widget, event)
    QApplication.processEvents()


def press_key(viewer: Any, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key while the canvas has the focus."""
    widget = canvas(viewer)
    widget.setFocus()
    QTest.keyClick(widget, key, modifier)
    QTest.qWait(10)


# -- a detector -------------------------------------------------------------------


@dataclass
class FakeDetectors:
    """Makes detectors that find the template's points, moved by ``shift_yx``.

    It remembers what it was given and in which thread. Each image takes one
    permit of the ``gate``, where there is one.
    """

    shift_yx: tuple[float, float] = (3.0, -2.0)
    error: Exception | None = None
    gate: threading.Semaphore | None = None
    unsure: tuple[str, ...] = ()
    orientation: str = ""
    images: list[GrayImage] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    made: int = 0
    further: tuple[Template, ...] = ()
    offsets: dict[str, tuple[float, float]] = field(default_factory=dict)
    download_failed: bool = False

    def retry_download(self) -> None:
        self.download_failed = False

    def __call__(
        self, template: Template, preferences: Any, progress: Any, further: Sequence[Template] = ()
    ) -> Any:
        self.made += 1
        self.further = tuple(further)
        return FakeDetector(self, template)


@dataclass
class FakeDetector:
    """What :class:`FakeDetectors` makes."""

    maker: FakeDetectors
    template: Template
    encoder_card: EncoderCard = CARD
    device: str = "cpu"
    image: GrayImage | None = None

    def set_image(self, image: GrayImage) -> None:
        self.maker.threads.append(threading.get_ident())
        self.maker.images.append(image)
        self.image = image

    @property
    def further(self) -> tuple[Template, ...]:
        return self.maker.further

    def with_further(self, chosen: Sequence[Template]) -> "FakeDetector":
        return self

    def with_offsets(self, offsets: dict[str, tuple[float, float]]) -> "FakeDetector":
        self.maker.offsets = dict(offsets)
        return self

    def settle(self, decided: Landmarks) -> Landmarks:
        """Move what nobody has decided as far as the corrected points were moved on average."""
        found = self.detect()
        moves = [
            np.subtract(p.position_yx, found[p.name].position_yx)
            for p in decided.placed
            if p.is_manual
        ]
        by = np.mean(moves, 0) if moves else np.zeros(2)
        return found.with_points(
            decided[p.name]
            if decided[p.name].is_manual
            else p
            if p.position_yx is None
            else replace(p, position_yx=tuple(np.array(p.position_yx) + by))
            for p in found
        )

    def similarity_maps(self) -> SimilarityMaps:
        """Most similar in the middle of the image."""
        if self.maker.error is not None:
            raise self.maker.error
        assert self.image is not None
        self.maker.compared.append(self.image.name)
        rows, columns = np.indices((24, 24)) - 11.5
        one_map = -np.hypot(rows, columns).astype(np.float32)
        names = tuple(p.name for p in self.template.landmarks.placed)
        return SimilarityMaps(names, np.stack([one_map] * len(names)), self.image.geometry)

    def detect(self) -> Landmarks:
        if self.maker.gate is not None:
            assert self.maker.gate.acquire(timeout=30)
        if self.maker.error is not None:
            raise self.maker.error
        assert self.image is not None
        shift = np.array(self.maker.shift_yx)
        points = list(self.template.landmarks)
        for number, p in enumerate(points):
            if p.position_yx is not None:
                there = tuple(np.array(p.position_yx) + shift)
                about = {"unsure": p.name in self.maker.unsure, "shape_residual_mm": 0.5}
                about |= {"score": 1.0 - number / 20, "source": Source.DETECTED}
                points[number] = replace(p, position_yx=there, **about)
        about = {"orientation": self.maker.orientation}
        made_by = Provenance("instant", "fake", self.template.name, **about)
        return Landmarks(tuple(points), self.image.name, self.image.geometry, made_by)
