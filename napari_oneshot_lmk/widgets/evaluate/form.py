"""What the step "Evaluate" looks like; it shows a state and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QProgressBar, QStackedWidget, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.evaluate.plots import CumulativePlot, LandmarkPlot
from napari_oneshot_lmk.widgets.evaluate.tables import ErrorTableView, PointTable
from napari_oneshot_lmk.widgets.qt.parts import (
    WARN,
    Button,
    MessageLabel,
    add_parts,
    narrow,
    row_of,
)

if TYPE_CHECKING:
    from napari_oneshot_lmk.evaluation.comparison import ComparedPoint, Comparison

SHOWN_NAMES = 3


@dataclass(frozen=True)
class EvaluateState:
    """All that the step shows."""

    reference: str = ""
    """Which files the reference points are from; empty where there are none."""
    comparison: Comparison | None = None
    landmark: str = ""
    """Whose points are listed; empty for all."""
    busy: str = ""
    problem: str = ""
    """Why the reference cannot be read or compared."""
    said: str = ""

    @property
    def points(self) -> tuple[ComparedPoint, ...]:
        """Points to list, the farthest from the reference first."""
        every = () if self.comparison is None else self.comparison.worst_first
        return tuple(p for p in every if self.landmark in ("", p.landmark))

    @property
    def summary(self) -> str:
        """Error over all points, in words."""
        shown = self.comparison
        if shown is None:
            return ""
        if not shown.overall.n:
            return evaluate_texts.NOTHING_SCORED
        return evaluate_texts.SUMMARY.format(
            mre=shown.overall.mre,
            median=shown.overall.median,
            unit=shown.unit,
            points=texts.counted(shown.overall.n, "point"),
            images=texts.counted(len(shown.images), "image"),
        )

    @property
    def notes(self) -> str:
        """What was not compared, and why errors are in pixels."""
        shown = self.comparison
        if shown is None:
            return ""
        t = evaluate_texts
        parts = [
            words.format(images=texts.counted(len(names), "image"), names=_listed(names))
            for words, names in (
                (t.WITHOUT_TRUTH, shown.without_truth),
                (t.WITHOUT_POINTS, shown.without_prediction),
            )
            if names
        ]
        said = [t.NOT_COMPARED.format(parts="; ".join(parts))] if parts else []
        return " ".join([*said, *([t.IN_PIXELS] if shown.unit == "px" else [])])

    @property
    def list_title(self) -> str:
        """What stands above the list of points."""
        shown = self.comparison
        if shown is None or not shown.overall.n:
            return ""
        if self.landmark:
            return evaluate_texts.POINTS_OF.format(landmark=self.landmark)
        outliers = sum(point.is_outlier for point in shown.points)
        return evaluate_texts.POINTS.format(
            outliers=texts.counted(outliers, "outlier"), fence=shown.fence, unit=shown.unit
        )

    @property
    def why_not_load(self) -> str:
        """Why no reference can be loaded now."""
        return evaluate_texts.WHY_READING if self.busy else ""

    @property
    def why_not_forget(self) -> str:
        """Why there is nothing to forget."""
        return "" if self.reference else evaluate_texts.WHY_NO_REFERENCE

    @property
    def why_not_save(self) -> str:
        """Why there is no table to save."""
        if not self.reference:
            return evaluate_texts.WHY_NO_REFERENCE
        return "" if self.comparison is not None else evaluate_texts.WHY_NO_COMPARISON


class EvaluateForm(QWidget):
    """The controls; ``lines_wanted`` says that the reference is to be drawn, or not."""

    lines_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        t = evaluate_texts
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.load = Button(t.LOAD, t.LOAD_TIP)
        self.forget = Button(t.FORGET, t.FORGET_TIP)
        self.reference = QElidingLabel()
        # The path of a file must not make the dock wide.
        narrow(self.reference)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.cancel = Button(texts.CANCEL)
        self.summary = MessageLabel()
        self.notes = MessageLabel()
        self.errors = ErrorTableView()
        self.view = QComboBox()
        self.view.setToolTip(t.VIEW_TIP)
        self.view.addItems([t.VIEW_TABLE, t.PLOT_LANDMARKS, t.PLOT_CUMULATIVE])
        narrow(self.view)
        self.plots = (LandmarkPlot(), CumulativePlot())
        self.views = QStackedWidget()
        for part in (self.errors, *self.plots):
            self.views.addWidget(part)
        self.view.currentIndexChanged.connect(self.views.setCurrentIndex)
        self.lines = QCheckBox(t.SHOW_REFERENCE)
        self.lines.setToolTip(t.SHOW_REFERENCE_TIP)
        self.lines.toggled.connect(self.lines_wanted)
        self.list_title = MessageLabel()
        self.list_title.setToolTip(t.POINTS_TIP)
        self.points = PointTable()
        self.save = Button(t.SAVE, t.SAVE_TIP)
        self.message = MessageLabel()
        add_parts(
            layout,
            row_of(self.load, self.reference, self.forget, stretched=self.reference),
            row_of(self.progress, self.cancel, stretched=self.progress),
            *(self.message, self.summary, self.notes, self.view, self.views),
            *(self.lines, self.list_title, self.points, self.save),
            stretched=self.points,
        )
        layout.setStretchFactor(self.views, 2)
        # Takes the room where there is nothing to show yet.
        layout.addStretch()
        self._compared = (self.view, self.views, self.lines, self.points)

    def show_state(self, state: EvaluateState) -> None:
        """Show all of a state."""
        self.reference.setText(state.reference or evaluate_texts.NO_REFERENCE)
        self.reference.setToolTip(state.reference or evaluate_texts.NO_REFERENCE)
        self.load.set_reason(state.why_not_load)
        self.forget.set_reason(state.why_not_forget)
        self.save.set_reason(state.why_not_save)
        for part in (self.progress, self.cancel):
            part.setVisible(bool(state.busy))
        self.progress.setToolTip(state.busy)
        self.summary.say(state.summary)
        self.notes.say(state.notes)
        self.list_title.say(state.list_title)
        self.message.say(state.problem or state.said, WARN if state.problem else "")
        for part in self._compared:
            part.setVisible(state.comparison is not None)
        self.errors.show_errors(state.comparison, state.landmark)
        for plot in self.plots:
            plot.show_comparison(state.comparison)
        unit = "" if state.comparison is None else state.comparison.unit
        self.points.show_points(state.points, unit)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", …" if names[SHOWN_NAMES:] else "")
