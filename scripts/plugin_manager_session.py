"""One napari with its plugin manager, for ``check_plugin_manager.py``.

Runs inside the environment that is checked, and imports nothing of ours: the
plugin has to be found by napari alone.

    python plugin_manager_session.py install WHEEL
    python plugin_manager_session.py look [--picture PNG]
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QEventLoop, QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QTabWidget

PLUGIN = "napari-oneshot-lmk"
SHOWN_NAME = "One-shot landmarks"
SIZE = (1100, 560)
"""Of the manager's window in the picture."""


def wait(milliseconds: int) -> None:
    """Let napari work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def named(menu: Any, text: str) -> Any:
    """Return the entry of a menu by the words that a user reads."""
    # Some of napari's menus are filled when they are about to open.
    menu.aboutToShow.emit()
    found = [a for a in menu.actions() if a.text().replace("&", "").startswith(text)]
    assert found, f"{text!r} is not among {[a.text() for a in menu.actions()]}"
    return found[0]


def opened_manager(viewer: Any) -> Any:
    """Open the plugin manager from the menu *Plugins*."""
    named(viewer.window.plugins_menu, "Install/Uninstall Plugins").trigger()
    manager = viewer.window._qt_window._plugin_manager_dialog
    assert manager.isVisible()
    wait(500)
    return manager


def close_and_confirm(manager: Any) -> None:
    """Close the manager, and the message that napari has to be started again."""
    asked: list[str] = []

    def confirm() -> None:
        message = QApplication.activeModalWidget()
        asked.append(message.windowTitle())
        message.accept()

    QTimer.singleShot(1000, confirm)
    manager.close()
    assert asked == ["Restart napari"], asked


def install(wheel: Path) -> None:
    """Drop a wheel on the manager and press *Install*."""
    try:
        raise SystemExit(f"{PLUGIN} {version(PLUGIN)} is installed already")
    except PackageNotFoundError:
        pass
    viewer = napari.Viewer()
    manager = opened_manager(viewer)
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(wheel))])
    event = QDropEvent(
        QPointF(10, 10),
        Qt.DropAction.CopyAction,
        dropped,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    # What Qt calls at the end of a drag with the mouse.
    manager.dropEvent(event)
    assert Path(manager.direct_entry_edit.text()) == wheel

    done = QEventLoop()
    codes: list[int] = []
    manager.installer.allFinished.connect(lambda ended: (codes.extend(ended), done.quit()))
    manager.direct_entry_btn.click()
    done.exec()
    print(manager.stdout_text.toPlainText())
    assert codes == [0], f"pip of the plugin manager ended with {codes}"
    close_and_confirm(manager)
    viewer.close()
    print(f"installed {PLUGIN} {version(PLUGIN)}")


def look(picture: Path | None) -> None:
    """Open the plugin's dock from the menu, and see the plugin in the manager."""
    viewer = napari.Viewer()
    submenu = named(viewer.window.plugins_menu, SHOWN_NAME).menu()
    named(submenu, SHOWN_NAME).trigger()
    wait(500)
    (dock,) = viewer.window.dock_widgets.values()
    tabs = dock.findChild(QTabWidget)
    titles = [tabs.tabText(i) for i in range(tabs.count())]
    assert titles == ["Annotate", "Train", "Detect", "Review", "Measure", "Evaluate"], titles
    home = type(dock).__module__
    print(f"the menu opened {type(dock).__name__} of {home}: {', '.join(titles)}")

    viewer.open_sample(PLUGIN, "skull")
    assert len(viewer.layers) == 5, [layer.name for layer in viewer.layers]

    manager = opened_manager(viewer)
    assert PLUGIN in manager.installed_list.packages(), manager.installed_list.packages()
    if picture is not None:
        manager.resize(*SIZE)
        manager.search("oneshot")
        (item,) = (
            manager.installed_list.item(row).widget
            for row in range(manager.installed_list.count())
            if manager.installed_list.item(row).widget.name == PLUGIN
        )
        item.install_info_button.expand()
        wait(1500)
        assert manager.grab().save(str(picture))
    manager.close()
    viewer.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("install").add_argument("wheel", type=Path)
    parts.add_parser("look").add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.part == "install":
        install(options.wheel)
    else:
        look(options.picture)


if __name__ == "__main__":
    main()
