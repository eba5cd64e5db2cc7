"""A window with a project under review: random actions, and the oracle that is told of them."""

from pathlib import Path
from typing import Any

import numpy as np
from clinic_scene import project_clinic
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from random_project import Point, Study
from random_project_folder import LIMIT_MS, FolderActions, SenselessError, need
from widget_scene import drag, press_key

from napari_oneshot_lmk.review.status import status_of

KEY = Qt.Key
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
IMAGES = [f"image_{n}.png" for n in range(5)]
SHAPE_YX = (240, 200)

_TABLE = """
accept_point 8, accept_image 3, absent 4, skip 3, reset 5, undo 9, redo 6, landmark 7,
next_unsure 4, nudge 8, drag 5, delete 3, settle 6, next_image 6, next_corrected 2, row 4,
show_filter 4, spacing 2, spacing_for_all 1, detect_new 3, detect_again 3, detect_here 2,
reopen 2, kill 2, move_folder 1, display 2, learn 3, forget 2, remove 2, add 2, measure 3
"""
WEIGHTS = {name: int(weight) for name, weight in map(str.split, _TABLE.split(","))}
"""How often each action is tried."""
Action = tuple[str, int, int]


class Review(FolderActions):
    """A window with a project of a few images, and what is done with points and images."""

    def __init__(self, viewer: Any, qtbot: Any, folder: Path) -> None:
        self.clinic = clinic = project_clinic(viewer, qtbot, folder, len(IMAGES))
        # A small canvas is drawn in less time.
        viewer.window.resize(1300, 700)
        self.viewer, self.qtbot, self.root = viewer, qtbot, folder
        self.session, self.review, self.bench = clinic.session, clinic.review, clinic.bench
        self.bar, self.form = clinic.project, clinic.review.form
        self.films, self.folder = folder / "images", folder / "study"
        self.study = Study(IMAGES)
        self.pixels = {n: self.images.project.read(k).pixels for n, k in self.keys().items()}
        self._follow()
        self._copies = iter(range(10_000))

    def do(self, action: Action) -> bool:
        """Do one action; returns whether it made sense here."""
        name, *numbers = action
        try:
            getattr(self, f"do_{name}")(*numbers)
        except SenselessError:
            return False
        finally:
            QApplication.processEvents()
        if self.study.shown is None:
            # The list had no image to show when the project was opened.
            self._follow()
        return True

    def close(self) -> None:
        self.bar.close_project()

    def _press(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        need(self.study.shown)
        press_key(self.viewer, key, modifier)

    def _placed(self) -> dict[str, tuple[float, float]]:
        return {n: p.yx for n, p in self.study.here.points.items() if p.yx is not None}

    # -- points --------------------------------------------------------------------

    def do_accept_point(self, *_: int) -> None:
        name = self.study.here.current
        self._press(KEY.Key_Return)
        if name and self.study.here.points[name].yx is not None:
            self.study.accept([name])
        self._next_to_look_at()

    def do_next_unsure(self, *_: int) -> None:
        self._press(KEY.Key_U)
        self._next_to_look_at()

    def _next_to_look_at(self) -> None:
        """The next point with a reason is current; which have one, other tests say."""
        reasons = status_of(self.session.landmarks(), self.session.template).reasons
        named = [name for name in self.study.here.after(self.study.here.current) if name in reasons]
        if named:
            self.study.go_to(named[0])

    def do_absent(self, *_: int) -> None:
        self._press(KEY.Key_X)
        self.study.mark_absent()

    def do_skip(self, *_: int) -> None:
        self._press(KEY.Key_K)
        self.study.skip()

    def do_reset(self, *_: int) -> None:
        self._press(KEY.Key_R)
        self.study.reset()

    def do_undo(self, *_: int) -> None:
        self._press(KEY.Key_Z, CONTROL)
        self.study.undo()

    def do_redo(self, *_: int) -> None:
        self._press(KEY.Key_Y, CONTROL)
        self.study.redo()

    def do_landmark(self, which: int, *_: int) -> None:
        """Go to the next or previous landmark of the list."""
        self._press(KEY.Key_N if which % 2 else KEY.Key_B)
        self.study.step(1 if which % 2 else -1)

    def do_nudge(self, which: int, how: int) -> None:
        """Move the current point with an arrow, as far as the image goes."""
        arrows = (KEY.Key_Up, KEY.Key_Down, KEY.Key_Left, KEY.Key_Right)
        step = np.array(((-1, 0), (1, 0), (0, -1), (0, 1))[which % 4], dtype=float)
        fine = how % 2 == 1
        self._press(arrows[which % 4], SHIFT if fine else Qt.KeyboardModifier.NoModifier)
        name = self.study.here.current
        if name in self._placed():
            y, x = np.add(self._placed()[name], step * (0.1 if fine else 1.0))
            if -0.5 <= y <= SHAPE_YX[0] - 0.5 and -0.5 <= x <= SHAPE_YX[1] - 0.5:
                self.study.place(name, (float(y), float(x)))

    def _look_for(self, which: int) -> str:
        names = list(need(self._placed()))
        name = names[which % len(names)]
        self.bench.look_for(name)
        self.study.go_to(name)
        return name

    def do_drag(self, which: int, where: int) -> None:
        """Drag a point that stands alone."""
        placed = need(self._placed())
        name = list(placed)[which % len(placed)]
        y, x = placed[name]
        apart = [np.hypot(y - v, x - u) for n, (v, u) in placed.items() if n != name]
        need(all(far > 25 for far in apart))
        end = (20.0 + where % 190, 20.0 + where % 160)
        need(np.hypot(end[0] - y, end[1] - x) > 10)
        self._look_for(list(placed).index(name))
        self.viewer.reset_view()
        QApplication.processEvents()
        drag(self.viewer, self.session.target.layer, (y, x), end)
        at = self.clinic.at(name)
        per_pixel = 1 / (self.viewer.scene.camera.zoom * self.session.target.layer.scale[-1])
        assert at is not None
        assert np.allclose(at, end, atol=3 * per_pixel), f"{name} is at {at}, not {end}"
        self.study.place(name, at)

    def do_delete(self, which: int, *_: int) -> None:
        name = self._look_for(which)
        self._press(KEY.Key_Delete)
        self.study.clear(name)

    def do_settle(self, which: int, how: int) -> None:
        """Correct a point, and let the others follow."""
        need(self.study.here.points)
        name = self._look_for(which)
        self.form.move_others.setChecked(True)
        for _ in range(1 + how % 4):
            self.do_nudge(how, 0)
        open_ = [p for p in self.study.here.points.values() if p.yx and not p.by_person]
        self.qtbot.waitUntil(lambda: not self.review.settle.waiting, timeout=LIMIT_MS)
        QApplication.processEvents()
        self.form.move_others.setChecked(False)
        edited = self.study.here.points[name].source in ("corrected", "placed")
        if open_ and edited and any(p.by_detector for p in self.study.here.points.values()):
            found = self._found()
            moves = [
                np.subtract(p.yx, found[n].yx)
                for n, p in self.study.here.points.items()
                if p.by_person and p.yx is not None
            ]
            by = np.mean(moves, 0)
            moved = {n: tuple(float(v) for v in np.add(p.yx, by)) for n, p in found.items()}
            self.study.settle(
                {n: Point("placed", moved[n], "detected", p.unsure) for n, p in found.items()}
            )

    # -- images --------------------------------------------------------------------

    def do_accept_image(self, *_: int) -> None:
        before, moment = self.study.shown, self.study.here
        self._press(KEY.Key_Return, SHIFT)
        if any(p.by_detector for p in moment.points.values()):
            self.study.accept(list(moment.points))
            left = [p for p in self.study.here.points.values() if p.yx and not p.by_person]
            assert not left
            self._follow()
            assert before is not None

    def do_next_image(self, which: int, *_: int) -> None:
        # In the list of now: it is drawn anew a moment after an edit.
        order = self.bench.review.order(self.images.keys)
        rows = [self.images.name(key) for key in order]
        shown, by = self.study.shown, 1 if which % 2 else -1
        self._press(KEY.Key_PageDown if which % 2 else KEY.Key_PageUp)
        self._follow()
        if shown in rows:
            wanted = rows[(rows.index(shown) + by) % len(rows)]
            assert self.study.shown == wanted, f"{self.study.shown} came, not {wanted}"

    def do_next_corrected(self, *_: int) -> None:
        self._press(KEY.Key_C)
        self._follow()

    def do_row(self, which: int, *_: int) -> None:
        """Click on a row of the list."""
        rows = need(self.form.table.rows)
        row = rows[which % len(rows)]
        self.form.table.picked.emit(row.key)
        self._follow()
        assert self.study.shown == row.name

    def do_show_filter(self, which: int, how: int) -> None:
        box = (self.form.filter, self.form.landmark, self.form.order)[which % 3]
        # Mostly all, so that there is something in the list.
        box.setCurrentIndex(how % box.count() if how % 3 == 0 else 0)

    def do_display(self, which: int, *_: int) -> None:
        """Contrast, inverted, or the loupe: nothing of the landmarks changes."""
        self._press((KEY.Key_G, KEY.Key_I, KEY.Key_L)[which % 3])
