"""A training that learns nothing: a real child process that writes events."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinic_scene import film
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from widget_scene import textured

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.estimate import MachineSpeed
from napari_oneshot_lmk.training.events import Event, read_some
from napari_oneshot_lmk.widgets.train.image_check import CheckedFolder, ImagesRead
from napari_oneshot_lmk.widgets.train.request import Phase
from napari_oneshot_lmk.widgets.train.run import TrainingRun
from napari_oneshot_lmk.widgets.train.widget import TrainWidget

POINTS = {"nasion": (30.0, 40.0), "menton": (150.5, 90.25), "gonion": (60.0, 120.0)}
SPEED = MachineSpeed(0.5, 40.0, (64, 128, 256, 512, 512), "cpu")

CHILD = """
import json, sys, time
from pathlib import Path

run, end = Path(sys.argv[1]), sys.argv[5]
epochs, steps, pause = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
run.mkdir(parents=True, exist_ok=True)
log = (run / "events.jsonl").open("a", encoding="utf-8")

def tell(kind, **values):
    log.write(json.dumps({"event": kind, **values}) + "\\n")
    log.flush()

def finish(epoch, stopped):
    model = run / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    tell("Finished", model=str(model), epoch=epoch, stopped=stopped, seconds=754.0)
    sys.exit(0)

for done in range(1, 4):
    tell("Preparing", what="images", done=done, total=3)
    time.sleep(pause)
if end == "note":
    tell("Noted", text="batch halved: the memory is small", serious=True)
for epoch in range(1, epochs + 1):
    for step in range(1, steps + 1):
        loss = 9.0 / (epoch + step / steps) + 0.3 * (step % 3)
        left = (epochs - epoch) * 60.0 + 30
        tell("Stepped", model="", epoch=epoch, epochs=epochs, step=step, steps=steps,
             loss=loss, seconds_left=left)
        time.sleep(pause)
        if (run / "stop").exists():
            finish(max(1, epoch - 1), True)
        if end == "out of memory" and epoch == 2:
            print("Traceback: CUDA out of memory", file=sys.stderr)
            tell("Failed", sentence="not enough memory for one image; choose Quick",
                 report="Traceback: out of memory")
            sys.exit(1)
    tell("EpochEnded", model="", epoch=epoch, epochs=epochs,
         losses={"template": 8.0 / epoch, "pseudo-labels": 9.5 / epoch},
         shift=2.0 / epoch, unit="mm", agreement=1.0, best=epoch != 3, seconds=1.0)
    asked = run / "preview.txt"
    for image in asked.read_text().splitlines() if asked.exists() else ():
        points = {"nasion": [30.0 + epoch, 40.0], "menton": [150.5, 90.25]}
        tell("Previewed", image=image, points_yx=points)
finish(epochs, False)
"""


def template(spacing_mm: float | None = 0.5) -> Template:
    image = GrayImage.from_array(textured(), spacing_mm, "skull.png")
    landmarks = Landmarks.from_positions(POINTS, "skull.png")
    return Template.create(image, landmarks, "skull")


@dataclass
class FakeChild:
    """Tails the log of the script above, as the real one does."""

    run: Path
    process: subprocess.Popen[bytes] | None = None
    offset: int = 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def poll(self) -> list[Event]:
        path = self.run / "events.jsonl"
        if not path.exists():
            return []
        found, self.offset = read_some(path, self.offset, limit=500)
        return [event for _, event in found]

    def stop(self) -> None:
        (self.run / "stop").touch()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def report(self) -> str:
        return "the child's last words"


@dataclass
class FakeChildren:
    """Starts the script above, with a pause after each step.

    ``end`` is "", "note" or "out of memory".
    """

    epochs: int = 3
    steps: int = 4
    pause_s: float = 0.02
    end: str = ""
    error: Exception | None = None
    started: list[tuple[str, ...]] = field(default_factory=list)
    children: list[FakeChild] = field(default_factory=list)

    def start(self, arguments: Sequence[str], run_folder: Path) -> FakeChild:
        if self.error is not None:
            raise self.error
        self.started.append(tuple(arguments))
        numbers = [str(n) for n in (self.epochs, self.steps, self.pause_s)]
        script = [sys.executable, "-I", "-c", CHILD, str(run_folder)]
        process = subprocess.Popen([*script, *numbers, self.end], stderr=subprocess.DEVNULL)
        child = FakeChild(run_folder, process)
        self.children.append(child)
        return child

    def find(self, run_folder: Path) -> FakeChild | None:
        known = [child for child in self.children if child.run == run_folder]
        if not known and not (run_folder / "events.jsonl").exists():
            return None
        return FakeChild(run_folder, known[-1].process if known else None)

    def end_all(self) -> None:
        for child in self.children:
            child.kill()

    def kill_from_outside(self) -> None:
        os.kill(self.children[-1].process.pid, signal.SIGKILL)


def inspector(folder: Path, files: Any, template: Template, spacing_mm_yx: Any) -> Iterator[Any]:
    """Take every file for an image of one size."""
    for number in range(1, len(files) + 1):
        yield ImagesRead(number, len(files))
    count = len(files)
    yield CheckedFolder(
        folder,
        {file.name: file.path for file in files},
        ((240, 200),) * count,
        (spacing_mm_yx or (0.5, 0.5),) * count,
    )


def image_folder(folder: Path, count: int = 3) -> Path:
    """A folder of small PNG files."""
    for number in range(count):
        film(folder, f"image {number}.png", 10 + number)
    return folder


def docked(viewer: Any, children: FakeChildren, inspecting: Any = inspector) -> TrainWidget:
    parts = {"inspector": inspecting, "measurement": lambda preferences: SPEED}
    dock = TrainWidget(viewer, run=TrainingRun(children), **parts)
    viewer.window.add_dock_widget(dock, area="right")
    return dock


def checked(qtbot: Any, dock: TrainWidget, folder: Path) -> None:
    with qtbot.waitSignal(dock.checked, timeout=20_000):
        dock.choose_folder(folder)


def wait_for(qtbot: Any, dock: TrainWidget, phase: Phase, timeout: int = 30_000) -> None:
    qtbot.waitUntil(lambda: dock.run.phase is phase, timeout=timeout)


def begun(qtbot: Any, dock: TrainWidget, children: FakeChildren) -> TrainWidget:
    """Train for a long time; return when the first step is done."""
    children.epochs, children.pause_s = 1000, 0.02
    dock.form.train.click()
    qtbot.waitUntil(lambda: dock.run.progress.step is not None, timeout=20_000)
    return dock


def pressing(text: str, then: Callable[[], None] = lambda: None) -> None:
    """Press a button of the dialog that is about to open."""

    def press() -> None:
        (box,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox))
        assert box.defaultButton().text() == "Do not discard"
        then()
        next(button for button in box.buttons() if button.text() == text).click()

    QTimer.singleShot(100, press)


@contextmanager
def event_loop_watched() -> Iterator[list[float]]:
    """Yield how many seconds the window's thread worked between each two ticks of a timer.

    Not how late its event loop was: on a busy machine it is late although nobody in
    this process holds it.
    """
    worked, last = [], time.thread_time()

    def tick() -> None:
        nonlocal last
        worked.append(time.thread_time() - last)
        last += worked[-1]

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(5)
    yield worked
    timer.stop()
