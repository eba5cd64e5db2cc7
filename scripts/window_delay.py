"""Measure how late the window answers while it does nothing, detects, and trains.

Run it where there is a display, or through ``scripts/virtual_display.py``::

    python scripts/virtual_display.py python scripts/window_delay.py [--images 200] [--layers 20]

Somebody who clicks at any moment waits until the event loop comes round again. So every
10 ms of a phase counts as one click, and its delay is the time to the loop's next turn.
The images are copies of the sample skulls: first in a project, which shows one at a time,
then open with layers for each. Training shows its predicted points. It prints the table of
docs/benchmarks/window.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

import napari
import numpy as np
from PIL import Image as PillowImage
from qtpy.QtCore import QEventLoop, QTimer

from napari_oneshot_lmk.benchmark.machine import describe, markdown_machine
from napari_oneshot_lmk.samples import sample_folder

PLUGIN = "napari-oneshot-lmk"
TICK_MS = 5
CLICK_S = 0.01
IDLE_S = 10
TRAINING_S = 90
LIMIT_S = 1500


class Delays:
    """Notes when the event loop comes round."""

    def __init__(self) -> None:
        self._turns: list[float] = []
        self._timer = QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(lambda: self._turns.append(perf_counter()))

    def during(self, until: Callable[[], bool], limit_s: float) -> np.ndarray:
        """Return the delay in ms of a click at every 10 ms until something holds."""
        self._turns = [perf_counter()]
        self._timer.start()
        while not until() and perf_counter() - self._turns[0] < limit_s:
            wait(50)
        self._timer.stop()
        turns = np.array(self._turns)
        clicks = np.arange(turns[0], turns[-1], CLICK_S)
        return 1000 * (turns[np.searchsorted(turns, clicks)] - clicks)


def main() -> None:
    """Measure the phases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="how many the project has")
    parser.add_argument("--layers", type=int, default=20, help="how many are open with layers")
    options = parser.parse_args()
    # Autosaved work and models belong into no user's folder.
    os.environ["XDG_DATA_HOME"] = mkdtemp()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 940)
    viewer.open_sample(PLUGIN, "skull")
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "One-shot landmarks")
    steps = ("Annotate", "Detect", "Train", "Review")
    annotate, detect, train, review = (dock.steps[name] for name in steps)
    wait(3000)
    delays = Delays()
    rows = [("idle", delays.during(lambda: False, IDLE_S))]
    project = review.project
    project.open(write_project(options.images))
    dock.tabs.setCurrentWidget(review)
    wait(3000)
    project.detect_new()
    name = f"detecting on {options.images} images of a project, encoder and all"
    rows.append((name, delays.during(lambda: not project.detecting.running, LIMIT_S)))
    project.close_project()
    dock.tabs.setCurrentWidget(annotate)
    annotate.form.offer.take.click()
    annotate.form.use_template.click()
    open_more(viewer, options.layers)
    wait(3000)
    dock.tabs.setCurrentWidget(detect)
    ended: list[bool] = []
    detect.finished.connect(lambda: ended.append(True))
    detect.form.everywhere.click()
    name = f"detecting on {options.layers} images that are open with layers"
    rows.append((name, delays.during(lambda: bool(ended), LIMIT_S)))
    dock.tabs.setCurrentWidget(train)
    train.choose_folder(sample_folder("skull") / "images")
    checking = delays.during(lambda: not train.check.running, LIMIT_S)
    rows.append(("checking a folder for training", checking))
    train.form.train.click()
    rows.append(("training", delays.during(lambda: not train.run.running, TRAINING_S)))
    train.run.discard_now()
    print("| | seconds | median ms | 95 % | 99 % | longest |\n|---|---|---|---|---|---|")
    for name, each in rows:
        cells = [f"{each.size * CLICK_S:.0f}", *(f"{np.percentile(each, q):.0f}" for q in (50, 95))]
        print(
            f"| {name} | {' | '.join(cells)} | {np.percentile(each, 99):.0f} | {each.max():.0f} |"
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\nLoad average at the end {load:.1f}.\n", *markdown_machine(describe()), sep="\n")
    viewer.close()


def write_project(count: int) -> Path:
    """Make a project of copies of the sample's images; return its folder.

    By the command, in another process: this one has imported nothing for it yet.
    """
    folder, sample = Path(mkdtemp()), sample_folder("skull")
    images = sorted((sample / "images").glob("*.png"))
    (folder / "images").mkdir()
    for number in range(count):
        source = np.asarray(PillowImage.open(images[1 + number % (len(images) - 1)]))
        copy = PillowImage.fromarray(np.roll(source, number + 1, axis=1))
        copy.save(folder / "images" / f"{number:04d}.png")
    landmarks = sample / "landmarks.csv"
    options = ["--image", images[0], "--landmarks", landmarks, "--out", folder / "template"]
    run("template", *options)
    run("project", "create", folder / "project", folder / "images", "--template", options[-1])
    return folder / "project"


def run(*arguments: Any) -> None:
    """Run a command of the program, without what it prints."""
    command = [sys.executable, "-m", "napari_oneshot_lmk", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def open_more(viewer: Any, count: int) -> None:
    """Open copies of the sample's images until that many lie beside the template."""
    others = [layer for layer in viewer.layers if layer.ndim == 2 and hasattr(layer, "gamma")]
    template, others = others[-1], others[:-1]
    for number in range(count - len(others)):
        source = others[number % len(others)]
        copy = np.roll(np.asarray(source.data), number + 1, axis=1)
        viewer.add_image(
            copy,
            name=f"copy {number + 1} of {Path(source.name).stem}",
            scale=source.scale,
            units=source.units,
            colormap="gray",
            visible=False,
        )
    viewer.layers.selection.active = template


def wait(milliseconds: int) -> None:
    """Let napari work for a while; QTest.qWait would sleep between its turns."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
