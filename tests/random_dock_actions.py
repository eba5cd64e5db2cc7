"""What a user does in the window, at random; each action tells the oracle of it.

An action is a name and three numbers, so that a list of them can be printed, cut
short and played again: what a number means depends on what is open at the time. One
that makes no sense then is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from random_dock import Key, Oracle, Points, detected_in, nothing_decided, point
from random_dock_files import as_read, rows_of_file, write_found
from widget_scene import (
    FakeDetectors,
    canvas,
    click,
    drag,
    press_key,
    spot,
    textured,
)

from napari_oneshot_lmk.imaging.radiograph import Radiograph
from napari_oneshot_lmk.landmarks.landmark import Landmarks
from napari_oneshot_lmk.landmarks.names import parse_names
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.layers import ImageTarget

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


class World:
    """A window with the dock, and the oracle beside it.

    Parameters
    ----------
    viewer : Viewer
        An empty one, shown.
    qtbot : QtBot
        Waits for runs.
    folder : Path
        Where images and results are put.
    answer : callable
        Called with the path that the next file dialog is to answer.
    """

    def __init__(
        self, viewer: Any, qtbot: Any, folder: Path, answer: Callable[[Path], None]
    ) -> None:
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder
        self._answer = answer
        self.oracle = Oracle()
        viewer.window.resize(1100, 800)
        self.dock = OneshotDock(viewer)
        viewer.window.add_dock_widget(self.dock, area="right")
        self.annotate = self.dock.steps["Annotate"]
        self.detect = self.dock.steps["Detect"]
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
        done = getattr(self, f"do_{name}")(*numbers) is not False
        QApplication.processEvents()
        QApplication.processEvents()
        return done

    # -- what is there -------------------------------------------------------------

    def key(self, number: int) -> Key:
        """Key of an image as the window shows it."""
        layer = self.layers[number]
        shown = () if layer.ndim == 2 else (int(self.viewer.dims.current_step[0]),)
        return number, shown

    def target_of(self, key: Key) -> ImageTarget:
        """The package's name for an image."""
        return ImageTarget(self.layers[key[0]], key[1])

    def key_of(self, target: Any) -> Key | None:
        """The test's name for an image of the package."""
        if target is None:
            return None
        number = next(n for n, la in self.layers.items() if la == target.layer)
        return number, target.slice_index

    def landmark_layer(self, key: Key | None) -> Any:
        """The layer that shows an image's landmarks, if there is one."""
        if key is None:
            return None
        shown = self.bench.layers.layer_of(self.target_of(key))
        return None if shown is None else shown.layer

    def owner(self, layer: Any) -> Key | None:
        """The image whose landmarks a layer shows."""
        return self.key_of(self.bench.layers.target_of(layer))

    @property
    def active(self) -> Any:
        """The layer that has the mouse."""
        return self.viewer.layers.selection.active

    def pick(self, things: Any, number: int) -> Any:
        """One of some things, or None."""
        things = list(things)
        return things[number % len(things)] if things else None

    def listed(self) -> list[Any]:
        """All layers but those that removed images have left behind, hidden."""
        layers = list(self.viewer.layers)
        return [la for la in layers if self.owner(la) or la not in self.left]

    def landmark_layers(self) -> list[tuple[Key, Any]]:
        """All layers that show landmarks of open images, in the layer list's order."""
        owners = [(self.owner(layer), layer) for layer in self.viewer.layers]
        return [(key, layer) for key, layer in owners if key is not None]

    def chosen(self, number: int) -> None:
        """The user has chosen an image."""
        self.oracle.turn_to(self.key(number))

    def follow_target(self) -> None:
        """Which image comes next is the dock's choice, but it must be an open one."""
        key = self.key_of(self.session.target)
        assert key is not None or not self.layers, "no image is chosen"
        assert key is None or key == self.key(key[0]), "not the slice that is shown"
        if key is not None and key != self.oracle.target:
            self.oracle.turn_to(key)
        self.oracle.target = key

    def obstacle(self) -> bool:
        """Say whether the image cannot be worked on: hidden, or another lies on it."""
        if self.oracle.target is None:
            return False
        image = self.layers[self.oracle.target[0]]
        order = list(self.viewer.layers)
        above = order[order.index(image) + 1 :]
        covered = any(la.visible for la in above if la in self.layers.values())
        return covered or not image.visible

    # -- images --------------------------------------------------------------------

    def do_open(self, which: int, *_: int) -> Any:
        """Open one of the films that is not open."""
        shut = [n for n in range(len(FILMS)) if n not in self.film.values()]
        if not shut or len(self.layers) >= MOST_IMAGES:
            return False
        film = FILMS[self.pick(shut, which)]
        number = next(self._numbers)
        pixels = pixels_of(film)
        identity = (film["folder"], film["name"], film["seed"])
        mm = None if film["mm"] is None else (film["mm"],) * 2
        facts = {"identity": identity, "spacing": mm, "shape": film["shape"]}
        kept = self.oracle
        before = set(self.viewer.layers)
        if film["folder"]:
            path = self.folder / film["folder"] / film["name"]
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                imageio.imwrite(path, pixels)
            self.viewer.open(path, plugin="napari")
            stem = film["name"]
        else:
            scale = {} if mm is None else {"scale": mm, "units": "mm"}
            if film["kind"] == "stack":
                scale = {"scale": (1, *mm), "units": "mm"}
            self.viewer.add_image(pixels, name=film["name"], **scale)
            # napari tells two layers of one name apart by a number.
            stem = None
        (layer,) = (
            la
            for la in self.viewer.layers
            if la not in before and la.as_layer_data_tuple()[2] == "image"
        )
        self.layers[number] = layer
        self.film[number] = FILMS.index(film)
        kept.open_image(number, name=stem or layer.name, **facts)
        self.chosen(number)
        return None

    def do_remove_image(self, which: int, *_: int) -> Any:
        """Remove an image, as the bin of the layer list does."""
        number = self.pick(self.layers, which)
        if number is None:
            return False
        self._remove_images([number], [self.layers[number]])
        return None

    def do_remove_both(self, which: int, *_: int) -> Any:
        """Remove an image and its landmarks in one go."""
        number = self.pick(self.layers, which)
        if number is None:
            return False
        marks = [la for key, la in self.landmark_layers() if key[0] == number]
        self._remove_images([number], [self.layers[number], *marks])
        return None

    def _remove_images(self, numbers: list[int], layers: list[Any]) -> None:
        selection = self.viewer.layers.selection
        # What is selected on the way is turned to.
        selection.active = None
        selection.clear()
        selection.update(layers)
        QApplication.processEvents()
        self.follow_target()
        # A hidden image that is selected is shown, and its landmark layer selected.
        selection.clear()
        selection.update(layers)
        QApplication.processEvents()
        assert set(selection) == set(layers), "the selection is not the user's"
        left = [la for key, la in self.landmark_layers() if key[0] in numbers]
        self.viewer.layers.remove_selected()
        QApplication.processEvents()
        self.left += [layer for layer in left if layer in self.viewer.layers]
        for number in numbers:
            self.oracle.remove_image(number)
            del self.layers[number], self.film[number]
        self.follow_target()

    def do_remove_landmarks(self, which: int, *_: int) -> Any:
        """Remove a landmark layer: the landmarks come off their image."""
        key, layer = self.pick(self.landmark_layers(), which) or (None, None)
        if key is None:
            return False
        self.viewer.layers.remove(layer)
        QApplication.processEvents()
        self.oracle.take_off(key)
        self.follow_target()
        return None

    def do_remove_foreign(self, which: int, *_: int) -> Any:
        """Remove a points layer that is nobody's."""
        mine = self.pick(self.foreign, which)
        if mine is None:
            return False
        self.viewer.layers.remove(mine["layer"])
        self.foreign.remove(mine)
        self.follow_target()
        return None

    def do_drop_removed(self, *_: int) -> Any:
        """Let go of the results of removed images."""
        if not self.detect.session.removed.results():
            return False
        self.detect.form.removed.linkActivated.emit("drop")
        for identity in self.oracle.removed:
            # Their file is earlier work from now on.
            self.oracle.sidecars.pop(identity, None)
        self.oracle.removed.clear()
        return None

    def do_rename(self, which: int, text: int, *_: int) -> Any:
        """Give an image or a landmark layer another name."""
        number = self.pick(self.layers, which)
        if number is None:
            return False
        if which % 3 == 0:
            layer = self.landmark_layer(self.key(number))
            if layer is None:
                return False
            layer.name = f"my points {text % 5}"
            return None
        self.layers[number].name = f"renamed {text % 5}"
        if not FILMS[self.film[number]]["folder"]:
            self.oracle.images[number]["name"] = self.layers[number].name
        return None

    def do_combo(self, which: int, *_: int) -> Any:
        """Choose an image in the dock."""
        chooser = self.dock.header.chooser
        if not chooser.count():
            return False
        index = which % chooser.count()
        chooser.setCurrentIndex(index)
        chooser.activated.emit(index)
        images = [la for la in self.viewer.layers if la in self.layers.values()]
        self.chosen(next(n for n, la in self.layers.items() if la == images[index]))
        return None

    def do_select(self, which: int, *_: int) -> Any:
        """Choose a layer in the layer list."""
        layer = self.pick(self.listed(), which)
        if layer is None:
            return False
        self.viewer.layers.selection.active = layer
        if layer in self.layers.values():
            self.chosen(next(n for n, la in self.layers.items() if la == layer))
        elif self.owner(layer) is not None:
            key = self.owner(layer)
            assert key is not None
            self.chosen(key[0])
        return None

    def do_select_several(self, one: int, other: int, *_: int) -> Any:
        """Select two layers at once, or none."""
        layers = {self.pick(self.listed(), n) for n in (one, other)} - {None}
        self.viewer.layers.selection.clear()
        self.viewer.layers.selection.update(layers)
        QApplication.processEvents()
        self.follow_target()

    def do_eye(self, which: int, *_: int) -> Any:
        """Show or hide a layer with its eye."""
        layer = self.pick(self.listed(), which)
        if layer is None:
            return False
        layer.visible = not layer.visible
        if layer in self.layers.values() and layer.visible and self.oracle.only_this:
            self.chosen(next(n for n, la in self.layers.items() if la == layer))
        return None

    def do_only_this(self, *_: int) -> Any:
        """Tick or untick "show only this image"."""
        if len(self.layers) < 2:
            return False
        self.dock.header.only_this.click()
        self.oracle.only_this = not self.oracle.only_this
        return None

    def do_reorder(self, one: int, other: int, *_: int) -> Any:
        """Drag a layer to another place in the list."""
        count = len(self.viewer.layers)
        if count < 2:
            return False
        self.viewer.layers.move(one % count, other % count)
        return None

    def do_slice(self, which: int, *_: int) -> Any:
        """Go to another slice of a stack."""
        if self.viewer.dims.ndim < 3:
            return False
        self.viewer.dims.set_current_step(0, which % 3)
        self._on_slice()
        return None

    def _on_slice(self) -> None:
        target = self.oracle.target
        if target is not None and target[1]:
            self.chosen(target[0])

    def do_spacing(self, which: int, *_: int) -> Any:
        """Type a spacing."""
        field = self.dock.header.spacing
        text, target = self.pick(SPACINGS, which), self.oracle.target
        if target is None:
            return False
        field.setText(text)
        field.editingFinished.emit()
        if text == "wrong":
            # The field goes on showing it; what holds is unchanged.
            return None
        values = [float(part) for part in text.split(" x ")] if text else []
        self.oracle.set_spacing((values[0], values[-1]) if values else None, target)
        return None

    # -- the list and the buttons --------------------------------------------------

    def do_list(self, which: int, *_: int) -> Any:
        """Choose a list of landmarks."""
        if self.oracle.target is None:
            return False
        names = self.pick(LISTS, which)
        self.annotate.follow_list(parse_names("\n".join(names)))
        self.oracle.follow(self.oracle.target, names)
        return None

    def do_start(self, *_: int) -> Any:
        """Press Start or Continue."""
        button = self.annotate.form.start
        if button.isHidden() or not button.isEnabled():
            return False
        self._tab(self.annotate)
        button.click()
        return None

    def do_button(self, which: int, *_: int) -> Any:
        """Press a button of the tab "Annotate"."""
        names = ["undo", "redo", "undo", "skip", "absent", "next", "previous", "redo"]
        action = self.pick(names, which)
        button = self.annotate.form.buttons[action]
        if not button.isEnabled():
            return False
        self._tab(self.annotate)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self._acted(action)
        return None

    def _acted(self, action: str) -> None:
        key = self.oracle.target
        if key is None:
            return
        acts: dict[str, Callable[[], None]] = {
            "undo": lambda: self.oracle.undo(key),
            "redo": lambda: self.oracle.redo(key),
            "skip": lambda: self.oracle.skip(key),
            "absent": lambda: self.oracle.mark_absent(key),
            "next": lambda: self.oracle.step(key, 1),
            "previous": lambda: self.oracle.step(key, -1),
        }
        acts[action]()

    def do_key(self, which: int, *_: int) -> Any:
        """Press a key on the canvas."""
        keys = {
            "next": (Qt.Key.Key_N, None),
            "previous": (Qt.Key.Key_B, None),
            "skip": (Qt.Key.Key_K, None),
            "absent": (Qt.Key.Key_X, None),
            "undo": (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier),
            "redo": (Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier),
        }
        action = self.pick(keys, which)
        if self.active is None or self.owner(self.active) is None:
            return False
        press_key(self.viewer, *keys[action])
        self._acted(action)
        return None

    def do_delete_key(self, which: int, *_: int) -> Any:
        """Press Delete, or select points first."""
        key, layer = self._mine_is_active()
        if key is None or not len(layer.data):
            return False
        if which % 4:
            layer.selected_data = {which % len(layer.data)}
        names = self._names(key, layer.selected_data)
        press_key(self.viewer, Qt.Key.Key_Delete)
        if not self.obstacle():
            self.oracle.clear(key, names)
        return None

    def do_paste(self, which: int, *_: int) -> Any:
        """Copy points and paste them."""
        key, layer = self._mine_is_active()
        # napari 0.9 cannot paste into a layer of three dimensions.
        if key is None or not len(layer.data) or key[1]:
            return False
        layer.selected_data = {which % len(layer.data)}
        names = self._names(key, layer.selected_data)
        control = Qt.KeyboardModifier.ControlModifier
        press_key(self.viewer, Qt.Key.Key_C, control)
        press_key(self.viewer, Qt.Key.Key_V, control)
        if not self.obstacle():
            points = self.oracle.points(key)
            self.oracle.place(key, [points[name]["yx"] for name in names])
        return None

    def _mine_is_active(self) -> tuple[Key | None, Any]:
        """The image, where its landmark layer has the mouse."""
        key = self.oracle.target
        layer = self.landmark_layer(key)
        if layer is None or self.active is None or self.active != layer:
            return None, None
        return key, layer

    def _names(self, key: Key, rows: Any) -> list[str]:
        placed = [
            n for n, p in self.oracle.points(key).items() if p["state"] == "placed"
        ]
        return [placed[row] for row in sorted(rows)]

    def do_row(self, which: int, tab: int, *_: int) -> Any:
        """Click a row of a table."""
        key = self.oracle.target
        names = list(self.oracle.points(key))
        if key is None or not names:
            return False
        step = self.annotate if tab % 2 else self.detect
        self._tab(step)
        table = step.form.table
        item = table.item(which % len(names), 1)
        table.scrollToItem(item)
        at = table.visualItemRect(item).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
        self.oracle.go_to(key, names[which % len(names)])
        return None

    def _tab(self, step: Any) -> None:
        self.dock.tabs.setCurrentWidget(step)
        QApplication.processEvents()

    # -- the mouse -----------------------------------------------------------------

    def _to_see(self, layer: Any, *positions_yx: tuple[float, float]) -> bool:
        """Bring positions onto the canvas."""
        for _ in range(2):
            area = canvas(self.viewer).rect().adjusted(8, 8, -8, -8)
            places = [spot(self.viewer, layer, yx) for yx in positions_yx]
            if all(area.contains(place) for place in places):
                return True
            self.viewer.reset_view()
            QApplication.processEvents()
        return False

    def _pixel(self, layer: Any) -> float:
        return float(1 / (self.viewer.scene.camera.zoom * layer.scale[-1]))

    def _spot(self, row: int, column: int, key: Key) -> tuple[float, float]:
        rows, columns = self.oracle.images[key[0]]["shape"]
        return 8 + row % (rows - 20), 8 + column % (columns - 20)

    def do_click(self, row: int, column: int, button: int) -> Any:
        """Click on the image, sometimes with the right button or beside it."""
        key = self.oracle.target
        if key is None:
            return False
        layer = self.layers[key[0]]
        at = self._spot(row, column, key)
        if button % 12 == 0:
            at = (-6.0, at[1])
        if not self._to_see(layer, at):
            return False
        active, marks = self._mine_is_active()
        adds = active is not None and marks.mode == "add" and marks.visible
        right = button % 12 == 1
        places = adds and not right and at[0] >= 0 and not self.obstacle()
        which = Qt.MouseButton.RightButton if right else Qt.MouseButton.LeftButton
        click(self.viewer, layer, at, which)
        if right:
            QApplication.processEvents()
        if places:
            self.oracle.place(key, [at], about=2 * self._pixel(layer))
        return None

    def do_drag(self, which: int, row: int, column: int) -> Any:
        """Drag a point, where the active layer shows one that stands alone."""
        key = self.oracle.target
        if key is None:
            return False
        image, marks = self.layers[key[0]], self.landmark_layer(key)
        placed = {
            n: p["yx"]
            for n, p in self.oracle.points(key).items()
            if p["state"] == "placed"
        }
        name = self.pick(placed, which)
        if name is None or marks is None:
            return False
        start, end = placed[name], self._spot(row, column, key)
        clear = all(
            np.hypot(*np.subtract(yx, start)) > 14
            for other, yx in placed.items()
            if other != name
        )
        far = np.hypot(*np.subtract(end, start)) > 10
        if not clear or not far or not self._to_see(image, start, end):
            return False
        active, _ = self._mine_is_active()
        moves = active is not None and marks.mode in ("add", "select")
        moves = moves and marks.visible and not self.obstacle()
        moved = [name]
        if marks.mode == "select":
            selected = self._names(key, marks.selected_data)
            moved = selected if name in selected else [name]
        drag(self.viewer, image, start, end, end)
        if moves:
            by = np.subtract(end, start)
            there = {n: tuple(np.add(placed[n], by)) for n in moved}
            rows, columns = self.oracle.images[key[0]]["shape"]
            inside = {
                n: yx
                for n, yx in there.items()
                if 0 <= yx[0] < rows - 1 and 0 <= yx[1] < columns - 1
            }
            if inside:
                self.oracle.move(key, inside, about=3 * self._pixel(image))
        return None

    def do_pan(self, row: int, column: int, *_: int) -> Any:
        """Drag on the image beside all points."""
        key, marks = self._mine_is_active()
        if key is None or marks.mode == "select":
            return False
        image = self.layers[key[0]]
        start = self._spot(row, column, key)
        end = self._spot(row + 30, column + 17, key)
        placed = [p["yx"] for p in self.oracle.points(key).values() if p["yx"]]
        if any(np.hypot(*np.subtract(yx, start)) < 14 for yx in placed):
            return False
        if not self._to_see(image, start, end):
            return False
        drag(self.viewer, image, start, end, end)
        return None

    def do_mode(self, which: int, *_: int) -> Any:
        """Switch the mode of the landmark layer, as napari's buttons do."""
        layer = self.landmark_layer(self.oracle.target)
        if layer is None:
            return False
        layer.mode = self.pick(MODES, which)
        return None

    # -- a program -----------------------------------------------------------------

    def do_program(self, what: int, row: int, column: int) -> Any:
        """Change the data of a landmark layer from a script."""
        key, layer = self.pick(self.landmark_layers(), row) or (None, None)
        kind = what % 6
        needed = (0, 1, 1, 2, 0, 1)
        if key is None or len(layer.data) < needed[kind]:
            return False
        foreign_slice = bool(key[1]) and key != self.oracle.target
        if kind != 5 and not foreign_slice and key != self.oracle.target:
            self._turned(key)
        refused = foreign_slice or self._blocked(key)
        at = self._spot(row, column, key)
        full = (*key[1], *at)
        names = self._names(key, range(len(layer.data)))
        if kind == 0:
            layer.add(full)
            expect = lambda: self.oracle.place(key, [at])  # noqa: E731
        elif kind == 1:
            data = np.array(layer.data)
            data[0] = full
            layer.data = data
            expect = lambda: self.oracle.move(key, {names[0]: at})  # noqa: E731
        elif kind == 2:
            layer.remove([len(names) - 1])
            expect = lambda: self.oracle.clear(key, [names[-1]])  # noqa: E731
        elif kind == 3:
            layer.data = np.array(layer.data)[:-1]
            expect = lambda: self.oracle.clear(key, [names[-1]])  # noqa: E731
        elif kind == 4:
            layer.data = np.vstack([np.array(layer.data), [full, full]])
            expect = lambda: self.oracle.place(key, [at, at])  # noqa: E731
        else:
            import pandas as pd

            # Names belong to the list: typing over them changes nothing.
            features = pd.DataFrame(layer.features)
            features["label"] = list(reversed(names))
            layer.features = features
            return None
        if not refused:
            expect()
        return None

    def _turned(self, key: Key) -> None:
        """What a script changes is about its own image, which is turned to."""
        self.oracle.turn_to(key)

    def _blocked(self, key: Key) -> bool:
        """Say whether an image that is turned to would still be covered."""
        if key[0] == (self.key_of(self.session.target) or (None,))[0]:
            return self.obstacle()
        if self.oracle.only_this:
            return False
        image, order = self.layers[key[0]], list(self.viewer.layers)
        above = order[order.index(image) + 1 :]
        return any(la.visible for la in above if la in self.layers.values())

    # -- detection and templates ---------------------------------------------------

    def do_template(self, *_: int) -> Any:
        """Make a template of the image."""
        button = self.annotate.form.use_template
        key = self.oracle.target
        if key is None or not button.isEnabled():
            return False
        self._tab(self.annotate)
        button.click()
        self.oracle.template = self.oracle.points(key)
        self.oracle.template_key = key
        return None

    def do_load_template(self, *_: int) -> Any:
        """Take a template from disk."""
        image = Radiograph.from_array(textured((120, 100), 99), 0.5, "template.png")
        landmarks = Landmarks.from_positions(TEMPLATE, "template.png")
        self.session.load_template(Template.create(image, landmarks, "template"))
        self.oracle.template = {n: point("placed", yx) for n, yx in TEMPLATE.items()}
        self.oracle.template_key = None

    def _found(self) -> Points:
        """What the detectors of these tests find."""
        assert self.oracle.template is not None
        found = {}
        for number, (name, p) in enumerate(self.oracle.template.items()):
            yx = p["yx"]
            if yx is None:
                found[name] = point(p["state"])
                continue
            there = (yx[0] + SHIFT_YX[0], yx[1] + SHIFT_YX[1])
            found[name] = point("placed", there, "detected", 1.0 - number / 20)
        return found

    def do_detect_here(self, *_: int) -> Any:
        """Detect on the image in the dock."""
        key = self.oracle.target
        if key is None or not self.detect.form.here.isEnabled():
            return False
        self._detect(self.detect.form.here, [key])
        return None

    def do_detect_all(self, *_: int) -> Any:
        """Detect on all images but the template's."""
        if not self.detect.form.everywhere.isEnabled():
            return False
        order = [la for la in self.viewer.layers if la in self.layers.values()]
        numbers = [next(n for n, o in self.layers.items() if o == la) for la in order]
        keys = [self.key(n) for n in numbers]
        self._detect(
            self.detect.form.everywhere,
            [key for key in keys if key != self.oracle.template_key],
        )
        return None

    def _detect(self, button: Any, keys: list[Key]) -> None:
        self._tab(self.detect)
        with self.qtbot.waitSignal(self.detect.finished, timeout=20_000):
            button.click()
        for key in keys:
            self.oracle.detect(key, self._found())

    def do_reset(self, whole: int, *_: int) -> Any:
        """Take back what a person did to a point, or to the image."""
        form, key = self.detect.form, self.oracle.target
        button = form.reset_image if whole % 3 == 0 else form.reset_point
        if key is None or not button.isEnabled():
            return False
        self._tab(self.detect)
        now = self.oracle.state(key)
        names = [now["current"]]
        if whole % 3 == 0:
            names = [n for n in now["points"] if self._manual(key, n)]
        button.click()
        self.oracle.reset(key, names)
        return None

    def _manual(self, key: Key, name: str) -> bool:
        from random_dock import is_manual

        return is_manual(self.oracle.points(key), name)

    def do_detect_button(self, which: int, *_: int) -> Any:
        """Press Undo or Redo in the tab "Detect"."""
        form = self.detect.form
        action = self.pick(("undo", "redo"), which)
        button = getattr(form, action)
        if not button.isEnabled():
            return False
        self._tab(self.detect)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self._acted(action)
        return None

    # -- other points layers and files ---------------------------------------------

    def do_foreign(self, row: int, column: int, kind: int) -> Any:
        """Add a points layer that has nothing to do with the dock."""
        if len(self.foreign) > 2 or not self.layers:
            return False
        yx = np.array([(20 + row % 50, 20 + column % 50), (75.0, 15.0)])
        labels = ["a", "q"] if kind % 2 else None
        features = None if labels is None else {"label": labels}
        layer = self.viewer.add_points(yx, features=features, name="foreign")
        mine = {"layer": layer, "data": np.array(layer.data), "labels": labels}
        self.foreign.append(mine)

    def do_adopt(self, which: int, *_: int) -> Any:
        """Go on with another points layer, through the list's menu."""
        key = self.oracle.target
        if key is None:
            return False
        others = [(None, f["layer"], f) for f in self.foreign]
        others += [(k, la, None) for k, la in self.landmark_layers() if len(la.data)]
        picked = self.pick(others, which)
        if picked is None:
            return False
        owner, layer, mine = picked
        image = self.layers[key[0]]
        if owner is not None:
            theirs = self.layers[owner[0]]
            if not np.allclose(theirs.scale[-2:], image.scale[-2:]):
                return False
            points = self.oracle.points(owner)
        elif "points" in mine:
            if not np.allclose(layer.scale[-2:], image.scale[-2:]):
                return False
            points = mine["points"]
        else:
            names = mine["labels"] or ["01", "02"]
            here = [image.world_to_data(layer.data_to_world(p)) for p in mine["data"]]
            points = {
                n: point("placed", tuple(map(float, yx[-2:])), "placed", about=1e-6)
                for n, yx in zip(names, here, strict=True)
            }
        rows, columns = self.oracle.images[key[0]]["shape"]
        for p in points.values():
            if p["yx"] and not (0 <= p["yx"][0] < rows and 0 <= p["yx"][1] < columns):
                return False
        self.annotate.adopt(layer)
        if owner == key:
            return None
        self.oracle.adopt(key, points)
        if mine is not None and self.owner(layer) == key:
            # Only a layer that says that it is about this image may be taken.
            assert mine.get("about") == self.oracle.name(key), "a layer was taken"
            self.foreign.remove(mine)
        return None

    def do_offer(self, take: int, *_: int) -> Any:
        """Answer the offer of earlier work."""
        offer, key = self.annotate.form.offer, self.oracle.target
        if key is None or offer.isHidden():
            return False
        if take % 4 == 0:
            offer.leave.click()
            return None
        file = self.bench.autosave.sidecar.path
        if offer.text.text().startswith("Layer"):
            return False
        ((_, rows),) = rows_of_file(file)
        offer.take.click()
        taken = self._after_offer(key, rows)
        # The file is this session's again.
        self.oracle.sidecars[self.oracle.identity(key)] = taken
        self.oracle.sidecar_spacing[self.oracle.identity(key)] = self.oracle.spacing(
            key
        )
        return None

    def _after_offer(self, key: Key, rows: list[dict[str, str]]) -> Points:
        points = as_read(rows)
        self.oracle.adopt(key, points)
        mm = self.oracle.sidecar_spacing.get(self.oracle.identity(key))
        if mm is not None:
            self.oracle.set_spacing(mm, key)
        return points

    def do_save_all(self, *_: int) -> Any:
        """Save all results."""
        button = self.detect.form.save
        if not button.isEnabled():
            return False
        path = self._save(button, self.detect)
        self.check_saved(path, self.oracle.results())
        self.oracle.saved_all()
        return None

    def do_save_this(self, tab: int, *_: int) -> Any:
        """Save the landmarks of this image."""
        step = self.annotate if tab % 2 else self.detect
        form = step.form
        button = form.save_landmarks if tab % 2 else form.save_this
        key = self.oracle.target
        if key is None or not button.isEnabled():
            return False
        path = self._save(button, step)
        result = self.oracle.name(key), self.oracle.points(key)
        self.check_saved(path, [(*result, self.oracle.spacing(key))])
        self.oracle.in_files[key] = self.oracle.points(key)
        return None

    def _save(self, button: Any, step: Any) -> Path:
        path = self.folder / "results" / f"save {next(self._numbers)}.csv"
        path.parent.mkdir(exist_ok=True)
        self._tab(step)
        self._answer(path)
        button.click()
        assert path.is_file(), f"not saved: {step.form.message.text()}"
        return path

    def check_saved(self, path: Path, wanted: list[Any]) -> None:
        """Compare a file with what should stand in it."""
        from random_dock_checks import compare_rows

        images = rows_of_file(path)
        found = sorted(name for name, _ in images)
        names = sorted(name for name, _, _ in wanted)
        assert found == names, f"{path.name} is about {found}, not {names}"
        left = list(images)
        for name, points, mm in wanted:
            fitting = []
            for image in left:
                with contextlib.suppress(AssertionError):
                    if image[0] == name:
                        compare_rows(path, image[1], points, mm)
                        fitting.append(image)
            assert fitting, f"{path.name} does not hold {name}: {points}"
            left.remove(fitting[0])
        self.written += [points for _, points, _ in wanted]

    def do_open_found(self, which: int, detected: int, *_: int) -> Any:
        """Open a landmark file of one image that is open."""
        number = self.pick(self.layers, which)
        if number is None or len(self.foreign) > 3:
            return False
        key = self.key(number)
        name, shape = self.oracle.name(key), self.oracle.images[number]["shape"]
        path = self.folder / "results" / f"open {next(self._numbers)}.csv"
        path.parent.mkdir(exist_ok=True)
        points = write_found(path, name, shape, with_scores=bool(detected % 3))
        before = set(self.viewer.layers)
        self.viewer.open(path, plugin="napari-oneshot-lmk")
        QApplication.processEvents()
        self.written.append(points)
        (new,) = [la for la in self.viewer.layers if la not in before] or [None]
        same = [n for n in self.layers if self.oracle.name(self.key(n)) == name]
        taken = len(same) == 1 and not key[1] and detected_in(points)
        if taken and nothing_decided(self.oracle.points(key)):
            self.oracle.adopt(key, points, in_file=True)
            assert self.session.target == self.target_of(key), "not turned to"
            assert self.owner(new) == key or not new.visible, "shown twice"
        if self.owner(new) is None:
            self.foreign.append(
                {
                    "layer": new,
                    "data": np.array(new.data),
                    "labels": [str(n) for n in new.features["label"]],
                    "points": points,
                    "about": name,
                }
            )
        self.follow_target()
        return None


def pixels_of(film: dict[str, Any]) -> np.ndarray:
    """Pixels of one of the films."""
    seed, shape = film["seed"], film["shape"]
    if film["kind"] == "stack":
        return np.stack([textured(shape, seed + n) for n in range(3)])
    pixels = textured(shape, seed)
    if not film["folder"]:
        return pixels
    low, high = pixels.min(), pixels.max()
    grey = (255 * (pixels - low) / (high - low)).astype(np.uint8)
    return grey if film["kind"] == "grey" else np.stack([grey, grey // 2, grey], -1)


WEIGHTS = {
    "open": 6,
    "remove_image": 2,
    "remove_both": 1,
    "remove_landmarks": 2,
    "remove_foreign": 1,
    "drop_removed": 1,
    "rename": 2,
    "combo": 4,
    "select": 5,
    "select_several": 2,
    "eye": 4,
    "only_this": 2,
    "reorder": 2,
    "slice": 3,
    "spacing": 2,
    "list": 3,
    "start": 6,
    "button": 6,
    "key": 6,
    "delete_key": 3,
    "paste": 2,
    "row": 4,
    "click": 12,
    "drag": 9,
    "pan": 2,
    "mode": 3,
    "program": 4,
    "template": 3,
    "load_template": 1,
    "detect_here": 5,
    "detect_all": 2,
    "reset": 4,
    "detect_button": 4,
    "foreign": 1,
    "adopt": 3,
    "offer": 3,
    "save_all": 2,
    "save_this": 2,
    "open_found": 2,
}
"""How often each action is tried."""
