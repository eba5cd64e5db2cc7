"""Random actions on a project as a whole: detection, learning, images, folder, measurements."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from clinic_scene import POINTS, Clinic
from napari.layers import Image
from napari.layers import Points as PointsLayer
from qtpy.QtWidgets import QApplication, QFileDialog
from random_project import Point, Study

from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING
from napari_oneshot_lmk.review.status import ReviewState
from napari_oneshot_lmk.widgets.review import image_removal

SHIFTS_YX = ((3.0, -2.0), (5.0, 4.0), (-4.0, 6.0), (0.0, 9.0))
UNSURE = ((), ("b",), ("a", "c"), ())
SPACINGS = ((0.1, 0.1), (0.2, 0.25), (0.5, 0.5))
LEAST_IMAGES = 3
TABLE = "measured.csv"
LIMIT_MS = 60_000


class SenselessError(Exception):
    """An action makes no sense now; it is left out."""


def need(sense: Any) -> Any:
    """Leave an action out unless something is there, or true; return it."""
    if not sense:
        raise SenselessError
    return sense


class FolderActions:
    """What is done with a project as a whole; the window itself is `random_project_window`."""

    clinic: Clinic
    session: Any
    viewer: Any
    qtbot: Any
    bar: Any
    form: Any
    study: Study
    root: Path
    folder: Path
    films: Path
    """Where the images are."""
    _copies: Any
    asked: list[Any]
    answer: str

    def answer_dialogs(self, monkeypatch: Any) -> None:
        """Answer what an image's removal and a table's place ask."""
        self.asked, self.answer = [], image_removal.KEEP
        place = str(self.root / TABLE), ""
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: place)
        monkeypatch.setattr(image_removal, "ask_one_of", self._ask)

    def _ask(self, *about: Any, **_: Any) -> str:
        self.asked.append(about[2])
        return self.answer

    @property
    def images(self) -> Any:
        """What the window knows of the project's images."""
        return self.bar.images

    def keys(self) -> dict[str, str]:
        return {self.images.name(key): key for key in self.images.keys}

    def _follow(self) -> None:
        """Which image comes is the dock's choice, but it must be one."""
        key = self.images.current
        self.study.shown = None if key is None else self.images.name(key)

    # -- spacing -------------------------------------------------------------------

    def do_spacing(self, which: int, *_: int) -> None:
        image = need(self.study.shown)
        mm = SPACINGS[which % len(SPACINGS)]
        self.session.set_spacing(mm)
        if self.study.mm(image) != mm:
            self.study.own_spacing[image] = mm

    def do_spacing_for_all(self, *_: int) -> None:
        need(self.study.shown and self.bar.actions_["spacing"].isEnabled())
        self.bar.actions_["spacing"].trigger()
        self.study.set_spacing_for_all(need(self.study.mm(self.study.shown)))

    # -- detection -----------------------------------------------------------------

    def _found(self) -> dict[str, Point]:
        """What the detector finds on any image now."""
        by, unsure = self.clinic.fake.shift_yx, self.clinic.fake.unsure
        return {
            name: Point("placed", (y + by[0], x + by[1]), "detected", name in unsure)
            for name, (y, x) in POINTS.items()
        }

    def _turn_detector(self, which: int) -> None:
        self.clinic.fake.shift_yx = SHIFTS_YX[which % len(SHIFTS_YX)]
        self.clinic.fake.unsure = UNSURE[which // 4 % len(UNSURE)]

    def _detect(self, which: int, *states: ReviewState) -> None:
        """Detect anew on all images in these states."""
        self._turn_detector(which)
        chosen = [image for image in self.study.names if self.study.state(image) in states]
        with self.qtbot.waitSignal(self.bar.detecting.ended, timeout=LIMIT_MS):
            self.bar.detect(*states)
        QApplication.processEvents()
        for image in chosen:
            self.study.detect(image, self._found())

    def do_detect_new(self, which: int, *_: int) -> None:
        self._detect(which, ReviewState.TO_DO)

    def do_detect_again(self, which: int, *_: int) -> None:
        self._detect(which, *[state for state in ReviewState if state is not ReviewState.ACCEPTED])

    def do_detect_here(self, which: int, *_: int) -> None:
        """Detect on the image that is shown, in the tab "Detect"."""
        image, button = need(self.study.shown), self.clinic.detect.form.here
        need(button.isEnabled())
        self.clinic.fake.shift_yx = SHIFTS_YX[which % len(SHIFTS_YX)]
        self.clinic.run(button)
        self.study.detect(image, self._found())

    # -- learning ------------------------------------------------------------------

    def do_learn(self, which: int, how: int) -> None:
        """Measure what corrections gain; mostly, let the others be detected with their help."""
        learn, entry = self.bar.learn, self.bar.actions_["learn"]
        need(entry.isEnabled())
        self._turn_detector(which)
        with self.qtbot.waitSignal(learn.run.ended, timeout=LIMIT_MS):
            entry.trigger()
        QApplication.processEvents()
        able = len(self.study.corrected()) > 1
        # isHidden, not isVisible: another tab may be in front.
        assert learn.apply.isHidden() != able, self.form.message.text()
        if not able or how % 4 == 0:
            return
        way = WITHOUT_TRAINING[how % 3]
        learn.ways[way].setChecked(True)
        self._turn_detector(which // 16)
        with self.qtbot.waitSignal(self.bar.detecting.ended, timeout=LIMIT_MS):
            learn.apply.click()
        QApplication.processEvents()
        self.study.learn(str(way), self._found())

    def do_forget(self, *_: int) -> None:
        need(self.bar.learn.forget.isEnabled())
        self.bar.learn.forget.click()
        self.study.forget()

    # -- images --------------------------------------------------------------------

    def do_remove(self, which: int, how: int) -> None:
        """Take an image out of the project, in the menu of the list or of the project."""
        need(len(self.study.names) > LEAST_IMAGES)
        removal, keep = self.bar.removal, how % 3 == 0
        self.asked.clear()
        self.answer = image_removal.KEEP if keep else image_removal.REMOVE
        rows = self.form.table.rows
        if which % 2 and rows:
            row = rows[which // 2 % len(rows)]
            removal.show_menu(row.key, self.form.mapToGlobal(self.form.rect().center()))
            removal.entry.trigger()
            removal.menu.close()
            image = row.name
        else:
            image = need(self.study.shown)
            self.bar.actions_["remove"].trigger()
        self._let_read()
        decided = any(p.by_person for p in self.study.now[image].points.values())
        assert bool(self.asked) == decided, f"{image}: asked {self.asked}"
        if not (decided and keep):
            self.study.remove(image)
        self._follow()

    def do_add(self, *_: int) -> None:
        """Add all images of the folder again: those that were removed begin anew."""
        with self.qtbot.waitSignal(self.bar.adding.ended, timeout=LIMIT_MS):
            self.bar.add(self.films)
        QApplication.processEvents()
        self.study.add()

    # -- measurements --------------------------------------------------------------

    def do_measure(self, which: int, how: int) -> None:
        """Define a distance in the tab "Measure", or take one out; look at its value."""
        need(self.study.shown and self.study.here.points)
        measure, tabs = self.clinic.dock.steps["Measure"], self.clinic.dock.tabs
        tabs.setCurrentWidget(measure)
        try:
            self._measure(measure.form, which, how)
        finally:
            tabs.setCurrentWidget(self.clinic.review)

    def _measure(self, form: Any, which: int, how: int) -> None:
        named = self.study.measured
        placed = [name for name, p in self.study.here.points.items() if p.yx is not None]
        if which % 3 == 0 and named:
            name = list(named)[how % len(named)]
            form.table.picked.emit(name)
            form.remove.click()
            del named[name]
        elif len(placed) > 1:
            first = how % len(placed)
            ends = placed[first], placed[(first + 1) % len(placed)]
            name = f"{'-'.join(ends)} {which}"
            form.define.click()
            definition = form.definition
            definition.kind.setCurrentIndex(definition.kind.findData("distance"))
            for end in ends:
                definition.list.picked.emit(end)
            definition.name.setText(name)
            definition.add.click()
            named.setdefault(name, ends)
        shown = {row.name: row.value for row in form.table.rows}
        assert list(shown) == list(named), f"{list(shown)} is measured, not {list(named)}"
        for name, text in shown.items():
            value = self.study.distance(need(self.study.shown), name)
            if value is None:
                assert not text[:1].isdigit(), f"{name} is {text}"
                continue
            number, unit = text.split()
            assert abs(float(number) - value[0]) < 0.051, f"{name} is {text}, not {value}"
            assert unit == value[1], f"{name} is {text}, not {value}"
        if how % 3 == 0 and form.all_images.isEnabled():
            self._compare_table(form)

    def _compare_table(self, form: Any) -> None:
        """Write the table of all images, and read it."""
        run = self.clinic.dock.steps["Measure"].run
        with self.qtbot.waitSignal(run.ended, timeout=LIMIT_MS):
            form.all_images.click()
        table = pd.read_csv(self.root / TABLE, index_col="image")
        for image in self.study.names:
            if not any(p.yx is not None for p in self.study.now[image].points.values()):
                assert image not in table.index
                continue
            for name in self.study.measured:
                value = self.study.distance(image, name)
                if value is None:
                    continue
                found = table.loc[image, f"{name} [{value[1]}]"]
                assert abs(found - value[0]) < 1e-3, f"{image}: {name} is {found}, not {value}"

    # -- the folder ----------------------------------------------------------------

    def _let_read(self) -> None:
        """Let the window read what the project has learnt."""
        self.qtbot.waitUntil(lambda: not self.bar.busy, timeout=LIMIT_MS)
        QApplication.processEvents()

    def _open(self, folder: Path) -> None:
        self.folder = folder
        self.bar.open(folder)
        assert self.images is not None, self.form.message.text()
        self.study.reopened()
        self._let_read()
        self._follow()

    def do_reopen(self, *_: int) -> None:
        self.bar.close_project()
        assert self.images is None
        assert not [la for la in self.viewer.layers if isinstance(la, Image | PointsLayer)]
        self._open(self.folder)

    def do_kill(self, *_: int) -> None:
        """Go on with what lay on the disk at this moment: nothing is said to be over."""
        copy = self.root / f"after kill {next(self._copies)}"
        shutil.copytree(self.folder, copy)
        self.bar.close_project()
        shutil.rmtree(self.folder)
        self._open(copy)

    def do_move_folder(self, *_: int) -> None:
        """Move project and images to another folder."""
        self.bar.close_project()
        there = self.root / f"moved {next(self._copies)}"
        there.mkdir()
        shutil.move(self.folder, there / "study")
        shutil.move(self.films, there / "images")
        self.films = there / "images"
        self._open(there / "study")
