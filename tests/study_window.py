"""A study in a real window, played with clicks and keys, in parts that end with a kill.

Each part is a process of its own, which kills itself right after the last edit, as a crash
or a power cut would. Before that it writes what was entered, for the next one to compare.

    python study_window.py annotate|train FOLDER
    python study_window.py moved FOLDER
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from study_steps import compare_values, forget, held, learn, measure, wait_until
from widget_scene import click, drag, press_key

from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.lists import LandmarkList, ListedLandmark
from napari_oneshot_lmk.review.learnt import Way
from napari_oneshot_lmk.review.status import ReviewState
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.train.request import Phase

TRUTH = Dataset.load(sample_folder("skull")).truth
TEMPLATE = "skull_01.png"
NAMES = ("sella", "nasion", "menton", "gonion")
SMALL = {
    "training.epochs": 2,
    "training.batch": 1,
    "network.width": 0.1,
    "network.adapter_channels": 4,
    "network.embedding_channels": 16,
    "template_copies.count": 2,
}
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
RULER_PX, RULER_MM = 300, "90"


class Study:
    """The window of one part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1400, 1000)
        self.dock = OneshotDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, area="right")
        self.session = self.dock.session
        self.annotate, self.train, self.detect, self.review = (
            self.dock.steps[name] for name in ("Annotate", "Train", "Detect", "Review")
        )
        self.measure = self.dock.steps["Measure"]
        self.project = self.review.project
        self.dock.tabs.setCurrentWidget(self.review)
        QTest.qWait(300)

    # -- what a user does ----------------------------------------------------------

    def act(self, action: str, run: Any) -> None:
        """Choose an entry of the project's menu and wait for its work."""
        entry = self.project.actions_[action]
        assert entry.isEnabled(), entry.toolTip()
        entry.trigger()
        wait_until(lambda: not run.running, action)
        QTest.qWait(100)

    def turn_to(self, name: str) -> None:
        """Click an image in the list."""
        table = self.review.form.table
        row = next(n for n, row in enumerate(table.rows) if row.name == name)
        table.cellClicked.emit(row, 0)
        wait_until(lambda: self.shown() == name, name)
        QTest.qWait(300)

    def shown(self) -> str:
        """Return the name of the image on the canvas."""
        target = self.session.target
        return "" if target is None else target.image_name

    def at(self, name: str) -> tuple[float, float]:
        """Return where a landmark of the shown image is."""
        return self.session.annotation.landmarks[name].position_yx

    def drag_to_truth(self, name: str) -> None:
        """Correct a point by hand."""
        layer = self.review.bench.placing.layer
        drag(self.viewer, layer, self.at(name), TRUTH[self.shown()][name].position_yx)
        wait_until(lambda: not self.review.settle.waiting, "the others to move")

    # -- what must not differ ------------------------------------------------------

    def entered(self) -> dict[str, Any]:
        """Return everything that the project holds."""
        images = self.project.images
        points = {}
        for key in images.keys:
            landmarks = images.landmarks(key)
            geometry = landmarks.geometry
            points[images.name(key)] = {
                "points": {p.name: [p.position_yx, p.source, p.state] for p in landmarks},
                "spacing": None if geometry is None else geometry.spacing_mm_yx,
            }
        return json.loads(json.dumps({"images": points, **held(images.project)}))

    def compare(self, before: Path) -> None:
        """Stop where the project is not what the part before has entered."""
        was, now = json.loads(before.read_text()), self.entered()
        assert now == was, f"entered {was}\nfound {now}"


def annotate(study: Study) -> None:
    """Ruler, annotation with mistakes undone, project, detection, first corrections."""
    viewer, dock, session = study.viewer, study.dock, study.session
    dock.tabs.setCurrentWidget(study.annotate)
    (image,) = viewer.open(study.folder / "images" / TEMPLATE, plugin="napari")
    QTest.qWait(300)
    ruler = dock.header.ruler
    dock.header.measure.click()
    drag(viewer, image, (100, 200), (100, 200 + RULER_PX))
    QTest.keyClicks(ruler.length, RULER_MM)
    QTest.keyClick(ruler.length, Qt.Key.Key_Return)
    ruler.use.click()
    assert abs(session.spacing.mm_yx[0] - float(RULER_MM) / RULER_PX) < 0.003
    study.annotate.follow_list(LandmarkList("study", tuple(map(ListedLandmark, NAMES))))
    study.annotate.form.start.click()
    known = TRUTH[TEMPLATE]
    for number, name in enumerate(NAMES):
        y, x = known[name].position_yx
        if number % 2:
            click(viewer, image, (y - 60, x - 60))
            press_key(viewer, Qt.Key.Key_Z, CONTROL)
        click(viewer, image, (y, x))
    pixel = 1.5 / (viewer.scene.camera.zoom * image.scale[0])
    for point in session.annotation.landmarks.placed:
        off = [
            abs(a - b)
            for a, b in zip(point.position_yx, known[point.name].position_yx, strict=True)
        ]
        assert max(off) <= pixel, (point.name, off)
    assert len(session.annotation.landmarks.placed) == len(NAMES)
    study.annotate.form.use_template.click()
    dock.tabs.setCurrentWidget(study.review)
    study.project.create(study.folder / "study")
    study.project.add(study.folder / "images")
    wait_until(lambda: not study.project.adding.running, "adding")
    QTest.qWait(100)
    # The project shows its first image at once; the ruler was on the one that was opened.
    study.review.bench.choice.choose(image)
    QTest.qWait(100)
    study.act("spacing", study.project.detecting)
    study.act("detect", study.project.detecting)
    study.turn_to("skull_02.png")
    before = {name: study.at(name) for name in NAMES}
    study.drag_to_truth("menton")
    assert study.at("menton") != before["menton"]
    press_key(viewer, Qt.Key.Key_Return, SHIFT)
    study.turn_to("skull_03.png")
    study.drag_to_truth("gonion")
    press_key(viewer, Qt.Key.Key_Z, CONTROL)
    study.drag_to_truth("sella")
    (study.folder / "not learnt.json").write_text(json.dumps(study.entered()))
    learn(study, Way.BOTH)
    assert study.entered()["images"] != load(study, "not learnt")["images"]


def load(study: Study, part: str) -> dict[str, Any]:
    """Read what was entered at the end of a part."""
    return json.loads((study.folder / f"{part}.json").read_text())


def train(study: Study) -> None:
    """What was learnt is forgotten and learnt anew; training, its model, measurements, files."""
    study.project.open(study.folder / "study")
    study.compare(study.folder / "annotate.json")
    wait_until(lambda: not study.project.busy, "the corrected images to be read")
    assert len(study.session.further) == 2
    forget(study)
    assert study.entered() == load(study, "not learnt")
    learn(study, Way.OFFSETS)
    by_hand = {
        (image, name): point
        for image, about in study.entered()["images"].items()
        for name, point in about["points"].items()
        if point[1] in ("corrected", "accepted", "placed")
    }
    assert by_hand
    study.dock.tabs.setCurrentWidget(study.train)
    study.train.choose_folder(study.folder / "images")
    wait_until(lambda: not study.train.check.running, "the check of the images")
    small = study.folder / "small.toml"
    small.write_text(Preset.load("laptop").changed(SMALL).to_toml())
    study.train.form.more.choose_file(small)
    QTest.qWait(100)
    assert study.train.form.train.isEnabled(), study.train.form.train.reason
    study.train.form.train.click()
    run = study.train.run
    wait_until(lambda: run.phase in (Phase.DONE, Phase.FAILED), "the training")
    assert run.phase is Phase.DONE, run.report
    study.train.view.use_model.click()
    study.dock.tabs.setCurrentWidget(study.review)
    wait_until(lambda: not study.review.model.copy.running, "the copy of the model")
    assert study.project.images.project.model is not None
    study.project.detect(ReviewState.DETECTED, ReviewState.CORRECTED)
    wait_until(lambda: not study.project.detecting.running, "detecting again")
    QTest.qWait(100)
    now = study.entered()["images"]
    for (image, name), point in by_hand.items():
        assert now[image]["points"][name] == point, (image, name)
    study.turn_to("skull_05.png")
    press_key(study.viewer, Qt.Key.Key_Return, SHIFT)
    measure(study)
    study.dock.tabs.setCurrentWidget(study.review)
    file = study.folder / "results.csv"
    QFileDialog.getSaveFileName = lambda *_, **__: (str(file), "")
    study.project.actions_["export"].trigger()
    exported = {each.image: each for each in read_landmarks(file)}
    for image, about in study.entered()["images"].items():
        for name, (position, *_) in about["points"].items():
            written = exported[image][name].position_yx
            assert (
                position is None
                or max(abs(a - b) for a, b in zip(position, written, strict=True)) < 1e-3
            )


def moved(study: Study) -> None:
    """The folder lies elsewhere; nothing differs, and the work goes on."""
    study.project.open(study.folder / "study")
    study.compare(study.folder / "train.json")
    study.dock.tabs.setCurrentWidget(study.review)
    assert study.session.model is not None
    study.turn_to("skull_03.png")
    assert study.session.spacing.mm_yx is not None
    study.dock.tabs.setCurrentWidget(study.measure)
    compare_values(study)
    study.dock.tabs.setCurrentWidget(study.review)
    press_key(study.viewer, Qt.Key.Key_Return, SHIFT)


def main() -> None:
    """Play one part."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    study = Study(folder)
    {"annotate": annotate, "train": train, "moved": moved}[part](study)
    (folder / f"{part}.json").write_text(json.dumps(study.entered()))
    print(f"{part} done", flush=True)
    # No chance to save anything.
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
