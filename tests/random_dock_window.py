"""A window with the dock, and the oracle beside it: what all random actions use."""

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QApplication
from random_dock import Key, Oracle, Points
from widget_scene import FakeDetectors, textured

from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.layers.image_view import ImageView

Action = tuple[str, int, int, int]
FACTS = "name", "seed", "shape", "mm", "folder", "kind"
FILMS: tuple[dict[str, Any], ...] = tuple(
    dict(zip(FACTS, facts, strict=True))
    for facts in (
        ("film", 1, (120, 100), None, "", "grey"),
        ("film", 2, (120, 100), 0.5, "", "grey"),
        ("other", 3, (100, 120), None, "", "grey"),
        ("img.png", 4, (120, 100), None, "one", "grey"),
        ("img.png", 5, (120, 100), None, "two", "grey"),
        ("colour.png", 6, (110, 110), None, "one", "rgb"),
        ("stack", 7, (120, 100), 0.25, "", "stack"),
    )
)
MOST_IMAGES = 5
LISTS = (["a", "b", "c"], ["a", "b", "c", "d"], ["d", "b"], ["a"])
SHIFT_YX = (3.0, -2.0)
TEMPLATE = {"a": (30.0, 40.0), "b": (60.0, 80.0), "c": (15.5, 12.25)}
MODES = "pan_zoom", "add", "select", "add"
SPACINGS = "0.1", "0.2 x 0.3", "", "wrong", "0.1"


class SenselessError(Exception):
    """An action makes no sense in this window; it is left out."""


def need(sense: Any) -> Any:
    """Leave an action out unless something is there, or true; return it."""
    if sense is None or sense is False:
        raise SenselessError
    return sense


class Window:
    """A window with the dock, and the oracle beside it.

    ``viewer`` is empty and shown, ``folder`` for images and results; ``answer`` is called
    with the path that the next file dialog is to answer.
    """

    def __init__(self, viewer: Any, qtbot: Any, folder: Path, answer: Any) -> None:
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder
        self._answer = answer
        self.oracle = Oracle()
        viewer.window.resize(1100, 800)
        self.dock = OneshotDock(viewer)
        viewer.window.add_dock_widget(self.dock, area="right")
        self.annotate = self.dock.steps["Annotate"]
        self.detect = self.dock.steps["Detect"]
        # The oracle knows what a hand moves, not what follows a moment later.
        self.dock.steps["Review"].form.move_others.setChecked(False)
        self.detect.run._make = FakeDetectors(SHIFT_YX)
        self.session, self.bench = self.dock.session, self.detect.bench
        self.layers: dict[int, Any] = {}
        self.film: dict[int, int] = {}
        self.foreign: list[dict[str, Any]] = []
        self.left: list[Any] = []
        self.written: list[Points] = []
        self._numbers = iter(range(1, 10_000))
        qtbot.wait(50)

    # -- playing -------------------------------------------------------------------

    def do(self, action: Action) -> bool:
        """Do one action; returns whether it made sense here."""
        name, *numbers = action
        done = True
        try:
            getattr(self, f"do_{name}")(*numbers)
        except SenselessError:
            done = False
        QApplication.processEvents()
        QApplication.processEvents()
        return done

    # -- what is there -------------------------------------------------------------

    def key(self, number: int) -> Key:
        """Key of an image as the window shows it."""
        layer = self.layers[number]
        shown = () if layer.ndim == 2 else (int(self.viewer.dims.current_step[0]),)
        return number, shown

    def target_of(self, key: Key) -> ImageView:
        """The package's name for an image."""
        return ImageView(self.layers[key[0]], key[1])

    def number_of(self, layer: Any) -> int:
        """Number of an image whose layer is known."""
        return next(n for n, la in self.layers.items() if la == layer)

    def key_of(self, target: Any) -> Key | None:
        """The test's name for an image of the package."""
        return None if target is None else (self.number_of(target.layer), target.slice_index)

    def landmark_layer(self, key: Key | None) -> Any:
        """The layer that shows an image's landmarks, if there is one."""
        if key is None:
            return None
        return getattr(self.bench.layers.layer_of(self.target_of(key)), "layer", None)

    def owner(self, layer: Any) -> Key | None:
        """The image whose landmarks a layer shows."""
        return self.key_of(self.bench.layers.target_of(layer))

    @property
    def active(self) -> Any:
        return self.viewer.layers.selection.active

    @property
    def target(self) -> Key:
        """The image in the dock, which an action needs."""
        return need(self.oracle.target)

    def pick(self, things: Any, number: int) -> Any:
        """One of some things, of which an action needs one."""
        things = list(things)
        need(len(things) > 0)
        return things[number % len(things)]

    def listed(self) -> list[Any]:
        """All layers but those that removed images have left behind, hidden."""
        return [la for la in self.viewer.layers if self.owner(la) or la not in self.left]

    def landmark_layers(self) -> list[tuple[Key, Any]]:
        """All layers that show landmarks of open images, in the layer list's order."""
        owners = [(self.owner(layer), layer) for layer in self.viewer.layers]
        return [(key, layer) for key, layer in owners if key is not None]

    def chosen(self, number: int) -> None:
        self.oracle.turn_to(self.key(number))

    def follow_target(self) -> None:
        """Which image comes next is the dock's choice, but it must be an open one."""
        key = self.key_of(self.session.target)
        assert key is not None or not self.layers, "no image is chosen"
        assert key is None or key == self.key(key[0]), "not the slice that is shown"
        if key is not None and key != self.oracle.target:
            self.oracle.turn_to(key)
        self.oracle.target = key

    def covered(self, image: Any) -> bool:
        """Say whether another image lies on an image."""
        order = list(self.viewer.layers)
        above = order[order.index(image) + 1 :]
        return any(la.visible for la in above if la in self.layers.values())

    def blocked(self) -> bool:
        """Say whether the image cannot be worked on: hidden, or another lies on it."""
        if self.oracle.target is None:
            return False
        image = self.layers[self.oracle.target[0]]
        return self.covered(image) or not image.visible


def pixels_of(film: dict[str, Any]) -> np.ndarray:
    """Pixels of one of the images above."""
    seed, shape = film["seed"], film["shape"]
    if film["kind"] == "stack":
        return np.stack([textured(shape, seed + n) for n in range(3)])
    pixels = textured(shape, seed)
    if not film["folder"]:
        return pixels
    low, high = pixels.min(), pixels.max()
    grey = (255 * (pixels - low) / (high - low)).astype(np.uint8)
    return grey if film["kind"] == "grey" else np.stack([grey, grey // 2, grey], -1)
