"""How long the next image of a project takes to appear, and the memory of many images.

A window with the dock is opened on a project of generated images, and a key turns from one
image to the next, as a person does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.project import Project
from phantoms.generator import generate

DRAWN_YX = (800, 645)
ENLARGED = 3
SHAPE_YX = (ENLARGED * DRAWN_YX[0], ENLARGED * DRAWN_YX[1])
"""Pixels of a lateral cephalogram as a scanner writes it."""
SPACING_MM = 0.1
SUBJECTS = 4
LARGEST_SHIFT = 24
"""Pixels by which images of one subject differ."""
LARGEST_ERROR = 8.0
"""Pixels by which points are off."""
FIRST_MEMORY = 20
"""Images after which memory is measured first."""
MORE_MEMORY = 100
GIVE_UP_S = 20.0


@dataclass(frozen=True)
class NextImage:
    """What was measured."""

    images: int
    shape_yx: tuple[int, int]
    seed: int
    pause_s: float
    """Time for which a person looks at an image."""
    median_ms: float
    """From the key press until image and points are drawn."""
    percentile_95_ms: float
    longest_ms: float
    thread_median_ms: float
    """Processor time of the window's thread in that time, drawing included: what is left where
    nothing else runs on the machine."""
    layers: int
    """In the window at the end."""
    resident_mb: dict[int, float]
    """After how many images; 10^6 bytes."""
    load: tuple[float, float]
    """Mean number of running processes on the machine, in the minute before and after."""


def write_project(
    folder: Path, count: int, seed: int, on_image: Callable[[int, int], None]
) -> Path:
    """Make a project of generated images with detected points; return its folder.

    ``on_image`` is called with (done, total).
    """
    rng = np.random.default_rng(seed)
    subjects = [_enlarged(*generate("skull", n, seed, DRAWN_YX)) for n in range(SUBJECTS)]
    image, truth = subjects[0]
    template = Template.create(image, truth, "skull")
    (folder / "images").mkdir()
    moved = []
    for number in range(count):
        image, truth = subjects[number % SUBJECTS]
        by_yx = rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2)
        pixels = np.roll(image.pixels, by_yx, (0, 1)) + rng.normal(0, 2, SHAPE_YX)
        grey = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        path = folder / "images" / f"{number:04d}.png"
        # Fast rather than small: nobody keeps them.
        PillowImage.fromarray(grey).save(path, compress_level=1)
        moved.append(by_yx)
        on_image(number + 1, count)
    with Project.create(folder / "project", template, [folder / "images"]) as project:
        project.set_spacing(SPACING_MM)
        for each, by_yx in zip(project.images, moved, strict=True):
            _, truth = subjects[int(Path(each.name).stem) % SUBJECTS]
            found = _found(truth, each.name, by_yx, rng)
            project.record(each.id, found, action="detect", detected=found)
    return folder / "project"


def _enlarged(image: GrayImage, truth: Landmarks) -> tuple[GrayImage, Landmarks]:
    drawn = PillowImage.fromarray(image.pixels)
    pixels = np.array(drawn.resize(SHAPE_YX[::-1], PillowImage.Resampling.BICUBIC))
    # Pixel centres are at integers.
    positions = ENLARGED * (truth.positions_yx + 0.5) - 0.5
    points = {
        name: (float(y), float(x)) for name, (y, x) in zip(truth.names, positions, strict=True)
    }
    larger = GrayImage.from_array(pixels, SPACING_MM, image.name)
    return larger, Landmarks.from_positions(points, image.name)


def _found(truth: Landmarks, name: str, by_yx: Any, rng: np.random.Generator) -> Landmarks:
    """Return points as a detection would, some pixels off."""
    off = rng.uniform(-LARGEST_ERROR, LARGEST_ERROR, (len(truth.placed), 2))
    inside = np.array(SHAPE_YX) - 2
    points = [
        replace(
            point,
            position_yx=tuple(np.clip(point.position_yx + by_yx + each, 1, inside).tolist()),
            score=float(rng.uniform(0.4, 1.0)),
            source=Source.DETECTED,
        )
        for point, each in zip(truth.placed, off, strict=True)
    ]
    geometry = Geometry(SHAPE_YX, (SPACING_MM, SPACING_MM))
    return Landmarks(tuple(points), name, geometry, Provenance("instant", "generated", "skull"))


def measure(
    project: Path, count: int, seed: int, pause_s: float, on_image: Callable[[int, int], None]
) -> NextImage:
    """Open a window on a project, and go through its images with the key."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_oneshot_lmk.widgets.dock import OneshotDock

    before = os.getloadavg()[0]
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    dock = OneshotDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    review = dock.steps["Review"]
    dock.tabs.setCurrentWidget(review)
    review.project.open(project)
    window = _Window(dock)
    window.look(2.0)
    waited: list[tuple[float, float]] = []
    resident: dict[int, float] = {}
    for number in range(2, count + 1):
        waited.append(window.step())
        window.look(pause_s)
        if number in (FIRST_MEMORY, MORE_MEMORY, count):
            resident[number] = resident_mb()
        on_image(number, count)
    layers = len(viewer.layers)
    review.project.close_project()
    viewer.close()
    QApplication.processEvents()
    ms, thread_ms = 1000 * np.array(waited).T
    return NextImage(
        count,
        SHAPE_YX,
        seed,
        pause_s,
        float(np.median(ms)),
        float(np.percentile(ms, 95)),
        float(ms.max()),
        float(np.median(thread_ms)),
        layers,
        resident,
        (before, os.getloadavg()[0]),
    )


class _Window:
    """Presses the key, and waits until the canvas has drawn what it asks for."""

    def __init__(self, dock: Any) -> None:
        from qtpy.QtWidgets import QApplication

        self._session = dock.session
        self._bench = dock.header._bench
        self._app = QApplication.instance()
        shown = [widget for widget in QApplication.allWidgets() if widget.isVisible()]
        (self._canvas,) = (w for w in shown if type(w).__name__.startswith("CanvasBackend"))
        self._frames = 0
        self._canvas._vispy_canvas.events.draw.connect(self._on_draw, position="last")

    def _on_draw(self, event: Any) -> None:
        self._frames += 1

    def look(self, seconds: float) -> None:
        """Let the event loop run."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._app.processEvents()
            time.sleep(0.005)

    def step(self) -> tuple[float, float]:
        """Turn to the next image.

        Returns seconds until it is drawn, and seconds of this thread's processor time.
        """
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        before = self._session.target
        frames = self._frames
        self._canvas.setFocus()
        began, busy = time.perf_counter(), time.thread_time()
        QTest.keyClick(self._canvas, Qt.Key.Key_PageDown)
        while self._frames == frames or self._session.target == before:
            self._app.processEvents()
            if time.perf_counter() - began > GIVE_UP_S:
                raise TimeoutError("the key has not turned to the next image")
        took = time.perf_counter() - began, time.thread_time() - busy
        shown = self._bench.placing
        assert shown is not None
        assert len(shown.layer.data) == len(self._session.annotation.landmarks.placed) > 0
        return took


def resident_mb() -> float:
    """Return the resident memory of this process in MB (10^6 bytes)."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def content_of(measured: NextImage) -> dict[str, Any]:
    """Return what programs read."""
    return asdict(measured)


def rows_of(measured: NextImage) -> list[list[str]]:
    """Return names and values for a table."""
    rows, columns = measured.shape_yx
    memory = ", ".join(f"{mb:.0f} MB after {n}" for n, mb in measured.resident_mb.items())
    return [
        ["images", f"{measured.images} of {columns} x {rows} pixels, seed {measured.seed}"],
        ["looked at each for", f"{measured.pause_s:g} s"],
        ["key press to image and points drawn, median", f"{measured.median_ms:.0f} ms"],
        ["95th percentile", f"{measured.percentile_95_ms:.0f} ms"],
        ["longest", f"{measured.longest_ms:.0f} ms"],
        ["processor time in it, median", f"{measured.thread_median_ms:.0f} ms"],
        ["layers at the end", str(measured.layers)],
        ["resident memory", memory],
        ["load average before, after", "{:.1f}, {:.1f}".format(*measured.load)],
    ]
