"""Files of the step "Measure": the set, and table and pages of all images."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import measure_texts as t
from napari_oneshot_lmk.widgets.measure.all_images import landmarks_of_all, page_sources_of_all
from napari_oneshot_lmk.widgets.qt.connections import without_argument
from napari_oneshot_lmk.widgets.qt.parts import WARN
from napari_oneshot_lmk.widgets.qt.save_dialogs import ask_set_file

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_oneshot_lmk.widgets.measure.chosen_set import ChosenSet
    from napari_oneshot_lmk.widgets.measure.form import MeasureForm
    from napari_oneshot_lmk.widgets.measure.run import MeasureRun
    from napari_oneshot_lmk.widgets.workbench import Workbench


class Output(QObject):
    """Asks where files are, and shows what becomes of them; ``changed`` says work began or ended.

    Parameters
    ----------
    dock : QWidget
        Parent of the dialogs.
    bench : Workbench
    chosen : ChosenSet
    form : MeasureForm
        Whose buttons these are.
    run : MeasureRun
    """

    changed = Signal()

    def __init__(
        self,
        dock: QWidget,
        bench: Workbench,
        chosen: ChosenSet,
        form: MeasureForm,
        run: MeasureRun,
    ) -> None:
        super().__init__(dock)
        self._dock, self._bench, self._chosen = dock, bench, chosen
        self._form, self._run = form, run
        for button, action in (
            (form.open, self._on_open),
            (form.save, self._on_save),
            (form.all_images, self._on_table),
            (form.pages, self._on_pages),
            (form.cancel, run.cancel),
        ):
            button.clicked.connect(without_argument(action))
        run.going.connect(self._on_going)
        run.ended.connect(self._on_ended)

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something, or say why it cannot be done."""
        try:
            action()
        except OneshotError as error:
            self._form.message.say(f"{error}.", WARN)

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._dock, t.SET_OPEN_TITLE, "", t.SET_FILTER)
        if path:
            self.attempt(lambda: self._chosen.open(Path(path)))

    def _on_save(self) -> None:
        place = ask_set_file(self._dock)
        if place is not None:
            self.attempt(lambda: self._save(place))

    def _save(self, place: Path) -> None:
        self._chosen.save(place)
        self._form.message.say(t.SET_SAVED.format(path=place))

    def _on_table(self) -> None:
        filters, name = f"{t.TABLE_WIDE};;{t.TABLE_LONG}", "measurements.csv"
        path, kind = QFileDialog.getSaveFileName(self._dock, t.TABLE_TITLE, name, filters)
        if path and self._chosen.measurements is not None and not self._run.running:
            wide, images = kind != t.TABLE_LONG, list(landmarks_of_all(self._bench))
            self._run.write_table(images, self._chosen.measurements, Path(path), wide=wide)

    def _on_pages(self) -> None:
        path = QFileDialog.getExistingDirectory(self._dock, t.PAGES_TITLE)
        if path and self._chosen.measurements is not None and not self._run.running:
            form = self._form.page_format.currentData()
            sources = page_sources_of_all(self._bench)
            # In a new folder: pages of before are kept.
            folder = Path(path) / t.PAGES_FOLDER.format(now=datetime.now())
            self._run.write_pages(sources, self._chosen.measurements, folder, form)

    def _on_going(self, text: str, done: int, total: int) -> None:
        self._form.message.say(f"{text}…")
        self._form.show_progress(done, total)
        self.changed.emit()

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._form.show_progress(0, 0)
        self._form.message.say(text, WARN if failed else "")
        self.changed.emit()
