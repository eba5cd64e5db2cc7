"""The step "Measure": values on this image, tracing, new measurements, tables and pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.measure.measurement import Value, measure
from napari_oneshot_lmk.measure.measurement_set import SETS, MeasurementSet
from napari_oneshot_lmk.widgets import measure_texts as t
from napari_oneshot_lmk.widgets import shortcuts
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.measure.all_images import landmarks_of_all
from napari_oneshot_lmk.widgets.measure.chosen_set import ChosenSet
from napari_oneshot_lmk.widgets.measure.form import MeasureForm, Reasons
from napari_oneshot_lmk.widgets.measure.output import Output
from napari_oneshot_lmk.widgets.measure.point_clicks import PointClicks
from napari_oneshot_lmk.widgets.measure.rows import parts_of, value_rows
from napari_oneshot_lmk.widgets.measure.run import MeasureRun
from napari_oneshot_lmk.widgets.measure.tracing_layer import TracingLayer
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.parts import DIM
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.measurement import Measurement
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.workbench import Workbench

DRAWN_MS = 20
"""After which the tracing follows an edit: once, however many edits there are."""
OWN, KEPT = "own", "kept"
"""In the list of sets: the one that is not ready, and the one that was left for another."""


class MeasureWidget(QWidget):
    """Shows what is measured on the image, and measures all of them.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose images to measure.
    session : Session, optional
        Shared with other docks; the viewer's own when not given.
    with_header : bool
        Show which image is meant; not needed inside the composed dock.
    """

    def __init__(
        self, napari_viewer: Any, session: Session | None = None, with_header: bool = True
    ) -> None:
        super().__init__()
        self.session = session_of(napari_viewer) if session is None else session
        self.bench = workbench_of(napari_viewer, self.session)
        if self.bench.measuring is None:
            self.bench.measuring = ChosenSet(partial(_open_project, self.bench))
        self.chosen: ChosenSet = self.bench.measuring
        self.tracing, self.run = TracingLayer(napari_viewer), MeasureRun()
        self.picked = ""
        """Name of the measurement that is chosen in the table."""
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        self.form = MeasureForm()
        layout.addWidget(self.form)
        self.output = Output(self, self.bench, self.chosen, self.form, self.run)
        self.clicks = PointClicks(napari_viewer, self.bench, self.form.definition.take_landmark)
        layers, events = napari_viewer.layers.events, self.session.events
        connect_until_destroyed(self, self._on_target, events.target)
        shown = (events.annotation, events.spacing, events.template, self.session.edited)
        connect_until_destroyed(self, self._refresh, *shown, layers.inserted, self.chosen.changed)
        connect_until_destroyed(self, self._on_removed, layers.removed)
        connect_until_destroyed(self, self._on_project_edited, self.bench.project_edited)
        self.destroyed.connect(_at_end(self.clicks, self.tracing))
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(DRAWN_MS)
        self._later.timeout.connect(self._show_tracing)
        self._connect_form()
        shortcuts.bind_dock(self, self.bench.actions)
        self._refresh()

    def _connect_form(self) -> None:
        form = self.form
        form.sets.activated.connect(without_argument(self._on_set))
        form.table.picked.connect(self._on_picked)
        form.tracing.toggled.connect(without_argument(self._refresh))
        form.definition.defined.connect(self._on_defined)
        form.definition.ended.connect(self._on_definition_ended)
        form.definition.drafted.connect(self._later.start)
        form.define.clicked.connect(without_argument(self._on_define))
        form.remove.clicked.connect(without_argument(self._on_remove))
        self.output.changed.connect(self._show_reasons)

    # -- what is shown -------------------------------------------------------------

    @property
    def landmarks(self) -> Landmarks | None:
        """Those of the image in the docks, where it has any with a position."""
        if self.session.target is None:
            return None
        landmarks = self.session.landmarks()
        return landmarks if landmarks.placed else None

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Show what has changed while another tab was in front."""
        super().showEvent(event)
        self._refresh()

    def hideEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Let clicks place landmarks again when another tab comes to the front."""
        super().hideEvent(event)
        if not event.spontaneous():
            self.form.definition.end()
            self._later.start()

    def _refresh(self, event: Any = None) -> None:
        if not self.isVisible() and not self.form.tracing.isChecked():
            self.tracing.clear()
            return
        self.output.attempt(self.chosen.follow_project)
        landmarks, form = self.landmarks, self.form
        template = self.session.template
        names = landmarks.names if landmarks is not None else ()
        self.chosen.propose((*names, *(template.landmarks.names if template else ())))
        measurements = self.chosen.measurements
        self._show_sets()
        values: tuple[Value, ...] = ()
        if measurements is not None and landmarks is not None:
            values = measure(landmarks, measurements.measurement)
        rows = value_rows(measurements, values)
        if self.picked not in [row.name for row in rows]:
            self.picked = ""
        form.table.show_rows(rows, self.picked)
        hint = t.NO_IMAGE_VALUES if landmarks is None else ""
        if measurements is None:
            hint = t.NO_SET
        elif self.chosen.in_project and not hint:
            hint = t.SET_IN_PROJECT
        form.hint.say(hint, DIM)
        form.definition.show_landmarks([p.name for p in landmarks.placed] if landmarks else [])
        self._later.start()
        self._show_reasons()

    def _show_sets(self) -> None:
        offered = [(t.SHIPPED[name], name) for name in SETS]
        measurements, chosen = self.chosen.measurements, self.chosen.shipped
        if measurements is None:
            offered.append((t.SET_NONE, ""))
        elif not chosen:
            path = self.chosen.path
            title = path.name if path is not None else measurements.title or t.SET_OWN
            if self.chosen.unsaved or title in t.SHIPPED.values():
                title = t.SET_CHANGED.format(title=title)
            offered.append((title, OWN))
            chosen = OWN
        if self.chosen.kept is not None:
            offered.append((t.SET_KEPT.format(title=self.chosen.kept.title or t.SET_OWN), KEPT))
        self.form.show_sets(offered, chosen)

    def _show_tracing(self) -> None:
        """Draw the tracing, some time after a change: an edit does not wait for it."""
        landmarks, target = self.landmarks, self.session.target
        measurements = self.chosen.measurements
        one: tuple[Measurement, ...] = ()
        if self.form.definition.defining:
            one = self.form.definition.draft.as_line()
        elif self.form.tracing.isChecked() and measurements is not None:
            one = parts_of(measurements, self.picked)
        shown = measurements if self.form.tracing.isChecked() else None
        # napari keeps a dock that was closed, in no window.
        closed = not self.window().isVisible()
        if closed or landmarks is None or target is None or not (one or shown):
            self.tracing.clear()
            return
        highlighted = MeasurementSet(measurement=one) if one else None
        self.tracing.show(target, landmarks, shown, highlighted)

    def _show_reasons(self) -> None:
        landmarks = self.landmarks
        no_set = "" if self.chosen.measurements is not None else t.WHY_NO_SET
        defining = t.WHY_DEFINING if self.form.definition.defining else ""
        busy = self.form.message.text().rstrip("…") if self.run.running else ""
        placed = "" if any(landmarks_of_all(self.bench)) else t.WHY_NOTHING_PLACED
        self.form.show_reasons(
            Reasons(
                define=defining or ("" if landmarks is not None else t.WHY_NO_LANDMARKS),
                remove=defining or no_set or ("" if self.picked else t.WHY_NO_ROW),
                save=no_set,
                all_images=busy or no_set or placed,
            )
        )

    # -- events --------------------------------------------------------------------

    def _on_target(self, target: ImageView | None) -> None:
        # Before another image is added: two images side by side may have different units.
        self.tracing.clear()
        self.form.definition.end()
        self._refresh()

    def _on_project_edited(self) -> None:
        # The first landmarks of another image can be written into a table.
        if self.isVisible():
            self._show_reasons()

    def _on_removed(self, event: Any) -> None:
        if self.tracing.note_removed(event.value):
            self.tracing.clear()
            self.form.tracing.setChecked(False)
        self._refresh()

    def _on_picked(self, name: str) -> None:
        self.form.definition.take_measurement(name)
        self.picked = name
        self._refresh()

    def _on_set(self) -> None:
        name = self.form.sets.currentData()
        if name in SETS:
            self.output.attempt(lambda: self.chosen.choose(name))
        elif name == KEPT:
            self.output.attempt(self.chosen.take_back)
        self._refresh()

    def _on_define(self) -> None:
        self.form.definition.begin()
        self.clicks.begin()
        self._refresh()

    def _on_defined(self, measurement: Measurement) -> None:
        try:
            self.chosen.add(measurement)
        except OneshotError as error:
            self.form.definition.refuse(f"{error}.")
            return
        self.picked = measurement.name
        self.form.definition.end()

    def _on_definition_ended(self) -> None:
        self.clicks.end()
        self._refresh()

    def _on_remove(self) -> None:
        self.output.attempt(lambda: self.chosen.remove(self.picked))


def _open_project(bench: Workbench) -> Project | None:
    return None if bench.project is None else bench.project.project


def _at_end(clicks: PointClicks, tracing: TracingLayer) -> Callable[..., None]:
    """Return what a closed dock leaves to do; it must not know the dock."""

    def end(*_: object) -> None:
        clicks.end()
        tracing.clear()

    return end
