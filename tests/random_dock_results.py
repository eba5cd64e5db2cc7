"""Random actions with programs, detectors, other layers and files."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from random_dock import Key, Points, detected_in, is_manual, nothing_decided, point
from random_dock_checks import as_read, compare_rows, rows_of_file, write_found
from random_dock_hand import HandActions
from random_dock_window import SHIFT_YX, TEMPLATE, need
from widget_scene import textured

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template


class ResultActions(HandActions):
    """What scripts, detectors and files bring, and what is saved."""

    def do_program(self, what: int, row: int, column: int) -> None:
        """Change the data of a landmark layer from a script."""
        key, layer = self.pick(self.landmark_layers(), row)
        kind = what % 6
        need(len(layer.data) >= (0, 1, 1, 2, 0, 1)[kind])
        foreign_slice = bool(key[1]) and key != self.oracle.target
        if kind != 5 and not foreign_slice and key != self.oracle.target:
            # What a script changes is about its own image, which is turned to.
            self.oracle.turn_to(key)
        refused = foreign_slice or self._blocked(key)
        at = self._spot(row, column, key)
        full = (*key[1], *at)
        names = self._names(key, range(len(layer.data)))
        if kind == 0:
            layer.add(full)
            expected = self.oracle.place, [at]
        elif kind == 1:
            data = np.array(layer.data)
            data[0] = full
            layer.data = data
            expected = self.oracle.move, {names[0]: at}
        elif kind == 2:
            layer.remove([len(names) - 1])
            expected = self.oracle.clear, [names[-1]]
        elif kind == 3:
            layer.data = np.array(layer.data)[:-1]
            expected = self.oracle.clear, [names[-1]]
        elif kind == 4:
            layer.data = np.vstack([np.array(layer.data), [full, full]])
            expected = self.oracle.place, [at, at]
        else:
            # Names belong to the list: typing over them changes nothing.
            features = pd.DataFrame(layer.features)
            features["label"] = list(reversed(names))
            layer.features = features
            return
        if not refused:
            edit, what = expected
            edit(key, what)

    def _blocked(self, key: Key) -> bool:
        """Say whether an image that is turned to would still be covered."""
        if key[0] == (self.key_of(self.session.target) or (None,))[0]:
            return self.blocked()
        return not self.oracle.only_this and self.covered(self.layers[key[0]])

    # -- detection and templates ---------------------------------------------------

    def do_template(self, *_: int) -> None:
        """Make a template of the image."""
        button = self.annotate.form.use_template
        key = self.target
        need(button.isEnabled())
        self._tab(self.annotate)
        button.click()
        self.oracle.template = self.oracle.points(key)
        self.oracle.template_key = key

    def do_load_template(self, *_: int) -> None:
        image = GrayImage.from_array(textured((120, 100), 99), 0.5, "template.png")
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

    def do_detect_here(self, *_: int) -> None:
        self._detect(self.detect.form.here, [self.target])

    def do_detect_all(self, *_: int) -> None:
        """Detect on all images but the template's."""
        order = [la for la in self.viewer.layers if la in self.layers.values()]
        keys = [self.key(self.number_of(la)) for la in order]
        others = [key for key in keys if key != self.oracle.template_key]
        self._detect(self.detect.form.everywhere, others)

    def _detect(self, button: Any, keys: list[Key]) -> None:
        need(button.isEnabled())
        self._tab(self.detect)
        with self.qtbot.waitSignal(self.detect.finished, timeout=20_000):
            button.click()
        for key in keys:
            self.oracle.detect(key, self._found())

    def do_reset(self, whole: int, *_: int) -> None:
        """Take back what a person did to a point, or to the image."""
        form, key = self.detect.form, self.target
        button = form.reset_image if whole % 3 == 0 else form.reset_point
        need(button.isEnabled())
        self._tab(self.detect)
        now = self.oracle.state(key)
        names = [now["current"]]
        if whole % 3 == 0:
            names = [n for n in now["points"] if is_manual(now["points"], n)]
        button.click()
        self.oracle.reset(key, names)

    def do_detect_button(self, which: int, *_: int) -> None:
        """Press Undo or Redo in the tab "Detect"."""
        form = self.detect.form
        action = self.pick(("undo", "redo"), which)
        button = getattr(form, action)
        need(button.isEnabled())
        self._tab(self.detect)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self._acted(action)

    # -- other points layers and files ---------------------------------------------

    def do_foreign(self, row: int, column: int, kind: int) -> None:
        """Add a points layer that has nothing to do with the dock."""
        need(len(self.foreign) < 3 and len(self.layers) > 0)
        yx = np.array([(20 + row % 50, 20 + column % 50), (75.0, 15.0)])
        labels = ["a", "q"] if kind % 2 else None
        features = labels and {"label": labels}
        layer = self.viewer.add_points(yx, features=features, name="foreign")
        self.foreign.append({"layer": layer, "data": np.array(layer.data), "labels": labels})

    def do_adopt(self, which: int, *_: int) -> None:
        """Go on with another points layer, through the list's menu."""
        key = self.target
        others = [(None, f["layer"], f) for f in self.foreign]
        others += [(k, la, None) for k, la in self.landmark_layers() if len(la.data)]
        owner, layer, mine = self.pick(others, which)
        image = self.layers[key[0]]
        if owner is not None or "points" in mine:
            theirs = layer if owner is None else self.layers[owner[0]]
            need(np.allclose(theirs.scale[-2:], image.scale[-2:]))
            points = mine["points"] if owner is None else self.oracle.points(owner)
        else:
            names = mine["labels"] or ["01", "02"]
            here = [image.world_to_data(layer.data_to_world(p)) for p in mine["data"]]
            points = {
                n: point("placed", tuple(map(float, yx[-2:])), "placed", about=1e-6)
                for n, yx in zip(names, here, strict=True)
            }
        rows, columns = self.oracle.images[key[0]]["shape"]
        places = [p["yx"] for p in points.values() if p["yx"]]
        need(all(0 <= y < rows and 0 <= x < columns for y, x in places))
        self.annotate.adopt(layer)
        if owner == key:
            return
        self.oracle.adopt(key, points)
        if mine is not None and self.owner(layer) == key:
            # Only a layer that says that it is about this image may be taken.
            assert mine.get("about") == self.oracle.name(key), "a layer was taken"
            self.foreign.remove(mine)

    def do_offer(self, take: int, *_: int) -> None:
        """Answer the offer of earlier work."""
        offer, key = self.annotate.form.offer, self.target
        need(not offer.isHidden())
        if take % 4 == 0:
            offer.leave.click()
            return
        need(not offer.text.text().startswith("Layer"))
        ((_, rows),) = rows_of_file(self.bench.autosave.sidecar.path)
        offer.take.click()
        points, identity = as_read(rows), self.oracle.identity(key)
        self.oracle.adopt(key, points)
        mm = self.oracle.sidecar_spacing.get(identity)
        if mm is not None:
            self.oracle.set_spacing(mm, key)
        # The file is this session's again.
        self.oracle.sidecars[identity] = points
        self.oracle.sidecar_spacing[identity] = self.oracle.spacing(key)

    def do_save_all(self, *_: int) -> None:
        path = self._save(self.detect.form.save, self.detect)
        self.check_saved(path, self.oracle.results())
        self.oracle.saved_all()

    def do_save_this(self, tab: int, *_: int) -> None:
        step = self.annotate if tab % 2 else self.detect
        button = step.form.save_landmarks if tab % 2 else step.form.save_this
        key = self.target
        path = self._save(button, step)
        result = self.oracle.name(key), self.oracle.points(key)
        self.check_saved(path, [(*result, self.oracle.spacing(key))])
        self.oracle.in_files[key] = self.oracle.points(key)

    def _save(self, button: Any, step: Any) -> Path:
        need(button.isEnabled())
        path = self.folder / "results" / f"save {next(self._numbers)}.csv"
        path.parent.mkdir(exist_ok=True)
        self._tab(step)
        self._answer(path)
        button.click()
        assert path.is_file(), f"not saved: {step.form.message.text()}"
        return path

    def check_saved(self, path: Path, wanted: list[Any]) -> None:
        """Compare a file with what should stand in it."""
        left = rows_of_file(path)
        found = sorted(name for name, _ in left)
        names = sorted(name for name, _, _ in wanted)
        assert found == names, f"{path.name} is about {found}, not {names}"
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

    def do_open_found(self, which: int, detected: int, *_: int) -> None:
        """Open a landmark file of one image that is open."""
        number = self.pick(self.layers, which)
        need(len(self.foreign) < 4)
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
            labels = [str(label) for label in new.features["label"]]
            mine = {"layer": new, "data": np.array(new.data), "labels": labels}
            self.foreign.append({**mine, "points": points, "about": name})
        self.follow_target()
