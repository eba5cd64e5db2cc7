"""What the tests of the dock "Train model" share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from training_scene import FakeChildren, inspector, measurement

from napari_oneshot_lmk.widgets.train.request import Phase
from napari_oneshot_lmk.widgets.train.run import TrainingRun
from napari_oneshot_lmk.widgets.train.widget import TrainWidget


def docked(viewer: Any, children: FakeChildren, inspecting: Any = inspector) -> TrainWidget:
    dock = TrainWidget(
        viewer, run=TrainingRun(children), inspector=inspecting, measurement=measurement
    )
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
