"""Draw the pictures of the documentation: real windows on the sample data.

Run it where there is a display, or under ``xvfb-run -a``::

    python scripts/screenshots.py [--out docs/images] [--theme light --out docs/images/light]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import napari
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtTest import QTest

from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.training.preset import Preset

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = "napari-oneshot-lmk"
WINDOW = (1500, 940)
PLACED = 7
"""Landmarks that are placed in the picture of annotating."""
CORRECTED = "gonion"
"""The point that the picture of correcting shows, where it is unsure."""
MEASURED = "convexity"
CLOSER = 3.0
DETECTION_LIMIT_MS = 300_000
SETTLED_MS = 1500
"""After which a window has drawn what has changed."""
SMALL = {"training.epochs": 8, "template_copies.count": 4, "network.width": 0.1}
"""What makes the training in the picture short."""
SHOWN_EPOCHS = 4
"""How many of its epochs the picture shows."""


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--no-training", action="store_true", help="leave out the two of training")
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    # Autosaved work of the sample belongs into no user's folder.
    os.environ["XDG_DATA_HOME"] = mkdtemp()
    viewer = napari.Viewer(show=True)
    viewer.theme = options.theme
    viewer.window.resize(*WINDOW)
    viewer.open_sample(PLUGIN, "skull")
    title = "One-shot landmarks"
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    opened(viewer, out / "opened.webp")
    annotating(viewer, dock, out / "annotate.webp")
    measuring(viewer, dock, out / "measure.webp")
    detecting(viewer, dock, out / "detect.webp")
    correcting(viewer, dock, out / "correct.webp")
    reviewing(viewer, dock, out / "review.webp")
    evaluating(viewer, dock, out / "evaluate.webp")
    if not options.no_training:
        training(viewer, dock, out / "train.webp", out / "training.webp")
    viewer.close()


def opened(viewer: Any, path: Path) -> None:
    """Show the sample and the dock as they open."""
    settle(viewer)
    save(viewer, path)


def annotating(viewer: Any, dock: Any, path: Path) -> None:
    """Show an annotation under way, then finish it and use it as the template."""
    annotate = dock.steps["Annotate"]
    target = dock.session.target
    annotate.adopt(viewer.layers[-1])
    whole = dock.session.annotation
    names = whole.landmarks.names
    later = whole.clear(names[PLACED:]).go_to(names[PLACED])
    dock.session.edit(later)
    annotate.place()
    settle(viewer)
    save(viewer, path)
    dock.session.undo()
    annotate.form.use_template.click()
    assert dock.session.template_key == target.key, annotate.form.message.text()


def measuring(viewer: Any, dock: Any, path: Path) -> None:
    """Show the values on the annotated image, the tracing and one measurement."""
    measure = dock.steps["Measure"]
    dock.tabs.setCurrentWidget(measure)
    measure.form.tracing.setChecked(True)
    measure.form.table.picked.emit(MEASURED)
    settle(viewer)
    save(viewer, path)
    measure.form.tracing.setChecked(False)


def detecting(viewer: Any, dock: Any, path: Path) -> None:
    """Detect on another image of the sample."""
    detect = dock.steps["Detect"]
    dock.tabs.setCurrentWidget(detect)
    header = dock.header
    header.chooser.setCurrentIndex(0)
    header.chooser.activated.emit(0)
    detect_with(detect, detect.form.here)
    settle(viewer)
    save(viewer, path)


def detect_with(detect: Any, button: Any) -> None:
    """Press a button that detects, and wait until that is done."""
    done = QEventLoop()
    detect.finished.connect(done.quit)
    QTimer.singleShot(DETECTION_LIMIT_MS, lambda: done.exit(1))
    button.click()
    if done.exec():
        raise SystemExit(f"no answer: {detect.form.message.text()}")


def reviewing(viewer: Any, dock: Any, path: Path) -> None:
    """Detect on all images, accept the best, and go to the worst one's unsure point."""
    detect_with(dock.steps["Detect"], dock.steps["Detect"].form.everywhere)
    review = dock.steps["Review"]
    dock.tabs.setCurrentWidget(review)
    review.actions.turn_to(review.form.table.rows[-1].key)
    review.form.buttons["accept_image"].click()
    review.actions.turn_to(review.form.table.rows[0].key)
    QTest.qWait(SETTLED_MS)
    review.form.buttons["next_unsure"].click()
    QTest.qWait(SETTLED_MS)
    save(viewer, path)
    viewer.fit_to_view()


def evaluating(viewer: Any, dock: Any, path: Path) -> None:
    """Compare with the exact landmarks of the sample, and look at the worst point."""
    evaluate = dock.steps["Evaluate"]
    dock.tabs.setCurrentWidget(evaluate)
    done = QEventLoop()
    evaluate.comparing.ended.connect(lambda *_: done.quit())
    QTimer.singleShot(DETECTION_LIMIT_MS, lambda: done.exit(1))
    evaluate.load([sample_folder("skull") / "landmarks.csv"])
    if done.exec():
        raise SystemExit(f"no answer: {evaluate.form.message.text()}")
    evaluate.form.lines.setChecked(True)
    evaluate.look_at(evaluate.state.points[0])
    QTest.qWait(SETTLED_MS)
    save(viewer, path)
    evaluate.form.lines.setChecked(False)
    viewer.fit_to_view()


def correcting(viewer: Any, dock: Any, path: Path) -> None:
    """Pick a point that is unsure, look at it closely, and put it where it belongs."""
    detect = dock.steps["Detect"]
    target = dock.session.target
    found = dock.session.found[target.key]
    unsure = [point.name for point in found if point.unsure]
    name = CORRECTED if CORRECTED in unsure else unsure[0]
    detect.form.table.picked.emit(name)
    viewer.scene.camera.zoom *= CLOSER
    layer = detect.bench.layers.layer_of(target).layer
    row = list(layer.features["label"]).index(name)
    truth = Dataset.load(sample_folder("skull")).truth[target.image_name]
    data = layer.data.copy()
    data[row, -2:] = target.to_layer([truth[name].position_yx])[0][-2:]
    layer.data = data
    layer.selected_data = {row}
    QTest.qWait(SETTLED_MS)
    save(viewer, path)
    viewer.fit_to_view()


def training(viewer: Any, dock: Any, before: Path, under_way: Path) -> None:
    """Check the sample's images, then train on them until it has shown something."""
    train = dock.steps["Train"]
    dock.tabs.setCurrentWidget(train)
    done = QEventLoop()
    train.checked.connect(done.quit)
    train.choose_folder(sample_folder("skull") / "images")
    done.exec()
    settle(viewer)
    save(viewer, before)

    def look() -> None:
        epoch, step = train.run.progress.epoch, train.run.progress.step
        ended = train.run.progress.ended
        if ended or (epoch and epoch.epoch >= SHOWN_EPOCHS and step.step >= 2):
            done.quit()

    for name in [la.name for la in viewer.layers if la.name.startswith("found")]:
        viewer.layers.remove(name)
    preset = Preset.load("laptop").changed(SMALL)
    path = Path(mkdtemp(), "small.toml")
    path.write_text(preset.to_toml())
    train.form.more.defaults.click()
    train.form.more.choose_file(path)
    train.run.changed.connect(look)
    train.form.train.click()
    done.exec()
    settle(viewer)
    save(viewer, under_way)
    train.run.discard_now()


def save(viewer: Any, path: Path) -> None:
    """Write the window's picture without loss, in half the bytes of a PNG file."""
    pixels = viewer.window.screenshot(canvas_only=False, flash=False)
    Image.fromarray(pixels).convert("RGB").save(path, lossless=True, quality=100, method=6)


def settle(viewer: Any, milliseconds: int = SETTLED_MS) -> None:
    """Let the window draw what has changed."""
    viewer.fit_to_view()
    # Names stand right of their points: leave them room.
    viewer.scene.camera.zoom *= 0.92
    QTest.qWait(milliseconds)


if __name__ == "__main__":
    main()
