"""Play the tour in a real window, every step done by *Do it for me*, and say how long it took.

Run it where there is a display, or through ``scripts/virtual_display.py``::

    python scripts/virtual_display.py python scripts/play_tour.py [--pictures FOLDER]

The time is the program's alone: no reading, no clicking.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Any

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

PLUGIN = "napari-oneshot-lmk"
WINDOW = (1500, 940)
TICK_MS = 500
LIMIT_S = 1800


def main() -> int:
    """Play it; the exit code is 1 where it does not come to its end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a picture of every step, into this folder")
    pictures: Path | None = parser.parse_args().pictures
    folder = Path(mkdtemp())
    # Models and autosaved work belong into no user's folder.
    os.environ["XDG_DATA_HOME"] = str(folder)
    results = folder / "results.csv"
    QFileDialog.getSaveFileName = lambda *_, **__: (str(results), "")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "One-shot landmarks")
    done = play(viewer, dock.tour, pictures)
    viewer.close()
    return 0 if done and results.is_file() else 1


def play(viewer: Any, tour: Any, pictures: Path | None) -> bool:
    """Do all steps; say whether the last one was reached."""
    began = monotonic()
    shown = None
    tour.begin()
    while tour.step is not None and monotonic() - began < LIMIT_S:
        QTest.qWait(TICK_MS)
        step = tour.step
        if step is None:
            break
        if step is not shown:
            shown = step
            print(f"{monotonic() - began:6.1f} s  {step.title}", flush=True)
            if pictures is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                path = pictures / f"tour_{tour.number + 1}.png"
                viewer.window.screenshot(path, canvas_only=False, flash=False)
        if tour.act.isEnabled():
            tour.act.click()
    print(f"{monotonic() - began:6.1f} s  the end" if tour.step is None else "stopped: too slow")
    return tour.step is None


if __name__ == "__main__":
    sys.exit(main())
