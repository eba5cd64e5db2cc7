"""The dock's menu *Help*: the tour, the keys, and what a bug report needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QMenu, QToolButton

from napari_oneshot_lmk.widgets.qt.worker import WorkerRun, last_report
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.tour import tour_texts


class ReportRun(WorkerRun):
    """Describes the installation in another thread."""

    made = Signal(str)
    """The report."""

    def start(self) -> None:
        """Begin, unless a report is being made."""
        if not self.running:
            # Settings belong to the window's thread.
            weights = preferences().encoder_weights
            self._work(lambda: self._describe(weights))

    def _describe(self, weights: Any) -> Generator[Any, None, tuple[str, bool]]:
        # It brings torch.
        from napari_oneshot_lmk.benchmark.machine import describe_installation

        about = describe_installation(weights)
        report = json.dumps(about, indent=2, ensure_ascii=False)
        failed = last_report()
        yield self.made, f"{report}\n\n{failed}" if failed else report
        return tour_texts.REPORT_MADE, False


class HelpMenu(QToolButton):
    """A button with a menu; ``said`` carries what to tell the user."""

    said = Signal(str, bool)
    """A text, and whether it tells of a failure."""

    def __init__(self, begin_tour: Callable[[], None], show_keys: Callable[[], None]) -> None:
        super().__init__()
        self.setText(tour_texts.HELP)
        self.setToolTip(tour_texts.HELP_TIP)
        self.setAutoRaise(True)
        # Room for the arrow, which would lie on the text.
        self.setStyleSheet("QToolButton { padding-right: 14px; }")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.report = ReportRun()
        self.report.made.connect(lambda text: QApplication.clipboard().setText(text))
        self.report.ended.connect(lambda text, failed, _: self.said.emit(text, failed))
        menu = QMenu(self)
        self.tour = menu.addAction(tour_texts.MENU_TOUR)
        self.keys = menu.addAction(tour_texts.MENU_KEYS)
        self.copy_report = menu.addAction(tour_texts.MENU_REPORT)
        self.tour.triggered.connect(lambda *_: begin_tour())
        self.keys.triggered.connect(lambda *_: show_keys())
        self.copy_report.triggered.connect(lambda *_: self._on_report())
        self.setMenu(menu)

    def _on_report(self) -> None:
        self.said.emit(tour_texts.REPORT_GOING, False)
        self.report.start()
