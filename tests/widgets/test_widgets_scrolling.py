"""On a low screen everything in the docks can be reached, and nothing grows past it."""

from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QTableWidget, QWidget
from widget_scene import PLUGIN, textured

from napari_oneshot_lmk.widgets.qt.scrolling import LEAST_HEIGHT, Scrolling, scrolling_layout

pytestmark = pytest.mark.usefixtures("plugin", "plugin_settings")

SCREEN = (1280, 720)
DOCKS = ("One-shot landmarks", "Train model", "Detect landmarks")


def opened(make_viewer: Any, qtbot: Any, names: tuple[str, ...]) -> tuple[Any, list]:
    viewer = make_viewer(show=True)
    viewer.add_image(textured(), name="image")
    docks = [viewer.window.add_plugin_dock_widget(PLUGIN, name)[1] for name in names]
    window = docks[0].window()
    window.resize(*SCREEN)
    qtbot.wait(300)
    return window, docks


def reachable(window: QWidget, control: QWidget) -> bool:
    """Scroll to a control as the Tab key would, and look whether it is there."""
    above = control.parentWidget()
    while above is not None and not isinstance(above, Scrolling):
        above = above.parentWidget()
    if above is not None:
        above.ensureWidgetVisible(control)
        QApplication.processEvents()
    middle = control.rect().center()
    seen = window.rect().contains(control.mapTo(window, middle))
    return seen and control.visibleRegion().contains(middle)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_docks_fit_a_low_screen_and_all_can_be_reached(make_napari_viewer_proxy, qtbot, count):
    window, docks = opened(make_napari_viewer_proxy, qtbot, DOCKS[:count])
    assert (window.width(), window.height()) == SCREEN
    assert all(dock.width() < 440 for dock in docks)
    seen = 0
    tabs = docks[0].tabs
    for tab in range(tabs.count()):
        tabs.setCurrentIndex(tab)
        QApplication.processEvents()
        assert (window.width(), window.height()) == SCREEN
        for dock in docks:
            for kind in (QAbstractButton, QComboBox, QTableWidget):
                for control in dock.findChildren(kind):
                    own = kind is not QAbstractButton or control.text()
                    if control.isVisible() and own:
                        assert reachable(window, control), (control, control.geometry())
                        seen += 1
    assert seen > 20 * count


def test_alone_nothing_has_to_scroll(make_napari_viewer_proxy, qtbot):
    _, (dock,) = opened(make_napari_viewer_proxy, qtbot, DOCKS[:1])
    for tab in range(dock.tabs.count()):
        dock.tabs.setCurrentIndex(tab)
        qtbot.wait(50)
        for area in dock.tabs.currentWidget().findChildren(Scrolling):
            assert not area.verticalScrollBar().isVisible()
        tables = dock.tabs.currentWidget().findChildren(QTableWidget)
        assert all(table.height() >= 150 for table in tables if table.isVisible())


def test_settings_that_are_unfolded_can_be_reached(make_napari_viewer_proxy, qtbot):
    window, (_, dock) = opened(make_napari_viewer_proxy, qtbot, DOCKS[:2])
    dock.form.fold.click()
    qtbot.wait(100)
    assert (window.width(), window.height()) == SCREEN
    assert dock.findChild(Scrolling).verticalScrollBar().isVisible()
    for control in (dock.form.more.preset.native, dock.form.more.defaults, dock.form.train):
        assert reachable(window, control)


def test_the_wheel_scrolls_and_chooses_nothing(qtbot):
    dock = QWidget()
    layout = scrolling_layout(dock)
    combo = QComboBox()
    combo.addItems([f"image {number}" for number in range(9)])
    combo.setCurrentIndex(4)
    layout.addWidget(combo)
    tall = QLabel("tall")
    tall.setMinimumHeight(600)
    layout.addWidget(tall)
    qtbot.addWidget(dock)
    dock.resize(200, 200)
    with qtbot.waitExposed(dock):
        dock.show()
    area = dock.findChild(Scrolling)
    assert area.minimumSizeHint().height() == LEAST_HEIGHT

    def turn() -> None:
        middle = combo.rect().center()
        places = QPointF(middle), QPointF(combo.mapToGlobal(middle))
        held = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(*places, QPoint(0, 0), QPoint(0, -120), *held, phase, False)
        QApplication.sendEvent(combo, event)

    turn()
    assert combo.currentIndex() == 4
    assert area.verticalScrollBar().value() > 0
    dock.activateWindow()
    combo.setFocus()
    qtbot.waitUntil(combo.hasFocus, timeout=5000)
    turn()
    assert combo.currentIndex() == 5
