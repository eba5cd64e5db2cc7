"""Random actions on landmarks by hand: lists, buttons, keys and the mouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from random_dock import Key
from random_dock_window import LISTS, MODES, SenselessError, Window, need
from widget_scene import canvas, click, drag, press_key, spot

from napari_oneshot_lmk.landmarks.lists import parse_landmark_list

CONTROL = Qt.KeyboardModifier.ControlModifier


def far(one_yx: Any, other_yx: Any, distance: float) -> bool:
    return bool(np.hypot(*np.subtract(one_yx, other_yx)) > distance)


class HandActions(Window):
    """What a user does to the landmarks of an image."""

    def do_list(self, which: int, *_: int) -> None:
        key, names = self.target, self.pick(LISTS, which)
        self.annotate.follow_list(parse_landmark_list("\n".join(names)))
        self.oracle.follow(key, names)

    def do_start(self, *_: int) -> None:
        """Press Start or Continue."""
        button = self.annotate.form.start
        need(button.isEnabled() and not button.isHidden())
        self._tab(self.annotate)
        button.click()

    def do_button(self, which: int, *_: int) -> None:
        """Press a button of the tab "Annotate"."""
        names = ["undo", "redo", "undo", "skip", "absent", "next", "previous", "redo"]
        action = self.pick(names, which)
        button = self.annotate.form.buttons[action]
        need(button.isEnabled())
        self._tab(self.annotate)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self._acted(action)

    def _acted(self, action: str) -> None:
        key = self.oracle.target
        if key is None:
            return
        if action in ("next", "previous"):
            self.oracle.step(key, 1 if action == "next" else -1)
        else:
            getattr(self.oracle, "mark_absent" if action == "absent" else action)(key)

    def do_key(self, which: int, *_: int) -> None:
        keys = {"next": (Qt.Key.Key_N,), "previous": (Qt.Key.Key_B,), "skip": (Qt.Key.Key_K,)}
        keys |= {"absent": (Qt.Key.Key_X,), "undo": (Qt.Key.Key_Z, CONTROL)}
        keys |= {"redo": (Qt.Key.Key_Y, CONTROL)}
        action = self.pick(keys, which)
        need(self.owner(need(self.active)))
        press_key(self.viewer, *keys[action])
        self._acted(action)

    def do_delete_key(self, which: int, *_: int) -> None:
        """Press Delete, or select points first."""
        key, layer = self._mine_is_active()
        need(key is not None and len(layer.data) > 0)
        if which % 4:
            with self._choosing(key, layer):
                layer.selected_data = {which % len(layer.data)}
        names = self._names(key, layer.selected_data)
        press_key(self.viewer, Qt.Key.Key_Delete)
        if not self.blocked():
            self.oracle.clear(key, names)

    def do_paste(self, which: int, *_: int) -> None:
        key, layer = self._mine_is_active()
        need(key is not None and len(layer.data) > 0)
        with self._choosing(key, layer):
            layer.selected_data = {which % len(layer.data)}
        names = self._names(key, layer.selected_data)
        press_key(self.viewer, Qt.Key.Key_C, CONTROL)
        press_key(self.viewer, Qt.Key.Key_V, CONTROL)
        if layer.mode == "select" and self.oracle.state(key)["current"] in self._placed(key):
            self.oracle.go_to_next_open(key)
        if not self.blocked():
            points = self.oracle.points(key)
            self.oracle.place(key, [points[name]["yx"] for name in names])

    def _mine_is_active(self) -> tuple[Key | None, Any]:
        """The image, where its landmark layer has the mouse."""
        key = self.oracle.target
        layer = self.landmark_layer(key)
        if layer is None or self.active is None or self.active != layer:
            return None, None
        return key, layer

    def _placed(self, key: Key) -> dict[str, tuple[float, float]]:
        return {n: p["yx"] for n, p in self.oracle.points(key).items() if p["state"] == "placed"}

    @contextmanager
    def _choosing(self, key: Key | None, marks: Any) -> Iterator[None]:
        """A point that is selected alone in napari's select mode becomes the current one."""
        before = None if marks is None else set(marks.selected_data)
        yield
        if key is None or marks is None or marks.mode != "select":
            return
        rows = set(marks.selected_data)
        if rows != before and len(rows) == 1 and key == self.oracle.target:
            self.oracle.go_to(key, self._names(key, rows)[0])

    def _names(self, key: Key, rows: Any) -> list[str]:
        placed = list(self._placed(key))
        return [placed[row] for row in sorted(rows)]

    def do_row(self, which: int, tab: int, *_: int) -> None:
        key = self.target
        name = self.pick(self.oracle.points(key), which)
        step = self.annotate if tab % 2 else self.detect
        self._tab(step)
        table = step.form.table
        item = table.item(which % table.rowCount(), 1)
        table.scrollToItem(item)
        at = table.visualItemRect(item).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
        self.oracle.go_to(key, name)

    def _tab(self, step: Any) -> None:
        self.dock.tabs.setCurrentWidget(step)
        QApplication.processEvents()

    # -- the mouse -----------------------------------------------------------------

    def _to_see(self, layer: Any, *positions_yx: tuple[float, float]) -> None:
        """Bring positions onto the canvas."""
        for _ in range(2):
            area = canvas(self.viewer).rect().adjusted(8, 8, -8, -8)
            places = [spot(self.viewer, layer, yx) for yx in positions_yx]
            if all(area.contains(place) for place in places):
                return
            self.viewer.reset_view()
            QApplication.processEvents()
        raise SenselessError

    def _pixel(self, layer: Any) -> float:
        return float(1 / (self.viewer.scene.camera.zoom * layer.scale[-1]))

    def _spot(self, row: int, column: int, key: Key) -> tuple[float, float]:
        rows, columns = self.oracle.images[key[0]]["shape"]
        return 8 + row % (rows - 20), 8 + column % (columns - 20)

    def do_click(self, row: int, column: int, button: int) -> None:
        """Click on the image, sometimes with the right button or beside it."""
        key = self.target
        layer = self.layers[key[0]]
        at = self._spot(row, column, key)
        if button % 12 == 0:
            at = (-6.0, at[1])
        self._to_see(layer, at)
        active, marks = self._mine_is_active()
        adds = active is not None and marks.mode == "add" and marks.visible
        right = button % 12 == 1
        places = adds and not right and at[0] >= 0 and not self.blocked()
        which = Qt.MouseButton.RightButton if right else Qt.MouseButton.LeftButton
        with self._choosing(active, marks):
            click(self.viewer, layer, at, which)
        if right:
            QApplication.processEvents()
        if places:
            self.oracle.place(key, [at], about=2 * self._pixel(layer))

    def do_drag(self, which: int, row: int, column: int) -> None:
        """Drag a point, where the active layer shows one that stands alone."""
        key = self.target
        image, marks = self.layers[key[0]], self.landmark_layer(key)
        placed = self._placed(key)
        name = self.pick(placed, which)
        need(marks)
        start, end = placed[name], self._spot(row, column, key)
        clear = all(far(start, yx, 14) for other, yx in placed.items() if other != name)
        need(clear and far(start, end, 10))
        self._to_see(image, start, end)
        active, _ = self._mine_is_active()
        moves = active is not None and marks.mode in ("add", "select")
        moves = moves and marks.visible and not self.blocked()
        selected = self._names(key, marks.selected_data) if marks.mode == "select" else []
        moved = selected if name in selected else [name]
        with self._choosing(active, marks):
            drag(self.viewer, image, start, end, end)
        if moves:
            by = np.subtract(end, start)
            there = {n: tuple(np.add(placed[n], by)) for n in moved}
            rows, columns = self.oracle.images[key[0]]["shape"]
            inside = {
                n: (y, x)
                for n, (y, x) in there.items()
                if 0 <= y < rows - 1 and 0 <= x < columns - 1
            }
            if inside:
                self.oracle.move(key, inside, about=3 * self._pixel(image))

    def do_pan(self, row: int, column: int, *_: int) -> None:
        """Drag on the image beside all points."""
        key, marks = self._mine_is_active()
        need(key is not None and marks.mode != "select")
        image = self.layers[key[0]]
        start = self._spot(row, column, key)
        end = self._spot(row + 30, column + 17, key)
        placed = self._placed(key).values()
        need(all(far(start, yx, 14) for yx in placed))
        self._to_see(image, start, end)
        drag(self.viewer, image, start, end, end)

    def do_mode(self, which: int, *_: int) -> None:
        """Switch the mode of the landmark layer, as napari's buttons do."""
        _, layer = self._mine_is_active()
        need(layer).mode = self.pick(MODES, which)
