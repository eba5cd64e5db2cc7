"""The step "Evaluate": the points of the images compared with reference points."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.evaluation.comparison import landmark_rows, point_rows
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.evaluate.form import EvaluateForm, EvaluateState
from napari_oneshot_lmk.widgets.evaluate.reference_lines import ReferenceLines
from napari_oneshot_lmk.widgets.evaluate.run import CompareRun, KnownImages, ReferenceRun
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.image_names import names_apart
from napari_oneshot_lmk.widgets.layers.napari_versions import look_closely_at
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.save_dialogs import open_filter
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.evaluation.comparison import ComparedPoint, Comparison
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

PAUSE_MS = 250
"""After an edit, before all is compared again: dragging makes many edits."""


class EvaluateWidget(QWidget):
    """Compares landmarks with reference points, which stay in this widget.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose images, or whose open project, to compare.
    session : Session, optional
        Shared with other docks; the viewer's own when not given.
    with_header : bool
        Show which image is meant; not needed inside the composed dock.
    """

    def __init__(
        self, napari_viewer: Any, session: Session | None = None, with_header: bool = True
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.bench = workbench_of(napari_viewer, self.session)
        self.reference: tuple[Landmarks, ...] = ()
        self.state = EvaluateState()
        self.reading, self.comparing = ReferenceRun(), CompareRun()
        self.lines = ReferenceLines(napari_viewer)
        self._keys: dict[str, Hashable] = {}
        self._paths: tuple[Path, ...] = ()
        self._stale = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._compare)
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(napari_viewer, self.session)
            layout.addWidget(self.header)
        self.form = EvaluateForm()
        layout.addWidget(self.form)
        self._connect()
        self.form.show_state(self.state)

    def _connect(self) -> None:
        events, layers = self.session.events, self._viewer.layers.events
        # Images of a project change where they are not shown, too: a detection runs behind.
        changes = (self.session.edited, self.bench.project_edited, self.bench.project_changed)
        about = (layers.removed, events.spacing, events.template)
        connect_until_destroyed(self, self._on_change, *changes, *about)
        connect_until_destroyed(self, self._on_target, events.target)
        form = self.form
        form.load.clicked.connect(without_argument(self._on_load))
        form.forget.clicked.connect(without_argument(self.forget))
        form.save.clicked.connect(without_argument(self._on_save))
        form.cancel.clicked.connect(without_argument(self.reading.cancel))
        form.errors.picked.connect(lambda name: self._show(landmark=name))
        form.points.picked.connect(self.look_at)
        form.lines_wanted.connect(lambda _: self._show_lines())
        self.reading.going.connect(self._on_reading)
        self.reading.read.connect(self._on_read)
        self.reading.ended.connect(self._on_read_ended)
        self.comparing.compared.connect(self._on_compared)
        self.comparing.ended.connect(self._on_compare_ended)

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Compare what has changed while another tab was shown."""
        super().showEvent(event)
        if self._stale:
            self._pause.start()
        self._show_lines()

    def hideEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Take the reference off the canvas: nobody corrects points by it."""
        super().hideEvent(event)
        self.lines.hide()

    # -- the reference -------------------------------------------------------------

    def load(self, paths: Sequence[Path]) -> None:
        """Read reference points from landmark files, in another thread."""
        self._paths = tuple(paths)
        known = [(la.image, path) for la, path in self._points_here(with_path=True)]
        sets = tuple(la for la, _ in self._points_here())
        template = self.session.template
        names = () if template is None else template.landmarks.names
        self._show(problem="", said="", busy=evaluate_texts.READING)
        self.reading.start(self._paths, KnownImages(sets, dict(known)), names)

    def forget(self) -> None:
        """Take the reference points away."""
        self.reference, self._stale = (), False
        self.comparing.forget()
        self.lines.hide()
        self.state = EvaluateState()
        self.form.show_state(self.state)

    def _on_load(self) -> None:
        kinds = open_filter(evaluate_texts.LOAD_FILTER)
        paths, _ = QFileDialog.getOpenFileNames(self, evaluate_texts.LOAD_TITLE, "", kinds)
        if paths:
            self.load([Path(path) for path in paths])

    def _on_reading(self, text: str, done: int, total: int) -> None:
        self.form.progress.setRange(0, total)
        self.form.progress.setValue(done)

    def _on_read(self, sets: tuple[Landmarks, ...], told: tuple[str, ...]) -> None:
        self.reference = sets
        t = evaluate_texts
        first, more = self._paths[0].name, len(self._paths) - 1
        images = texts.counted(len(sets), "image")
        words = t.REFERENCE_MANY if more else t.REFERENCE
        said = told[0] if told else ""
        if len(told) > 1:
            said = t.TOLD_MORE.format(first=said, more=len(told) - 1)
        name = words.format(name=first, more=more, images=images)
        self._show(reference=name, comparison=None, landmark="", said=said)
        self._compare()

    def _on_read_ended(self, text: str, failed: bool, report: str) -> None:
        self._show(busy="", problem=text if failed else "")

    # -- comparing -----------------------------------------------------------------

    def _points_here(self, with_path: bool = False) -> list[tuple[Landmarks, Any]]:
        """Return the landmarks of each image, called as the list of images calls it.

        Beside it stands its key, or ``with_path`` its file.
        """
        images = self.bench.review.images
        keys = list(images.keys)
        names = names_apart([(images.name(key), images.path(key)) for key in keys])
        return [
            (replace(images.landmarks(key), image=name), images.path(key) if with_path else key)
            for key, name in zip(keys, names, strict=True)
        ]

    def _compare(self) -> None:
        """Compare all images that have landmarks."""
        if not self.reference:
            return
        if not self.isVisible():
            self._stale = True
            return
        self._stale = False
        here = self._points_here()
        self._keys = {landmarks.image: key for landmarks, key in here}
        decided = [la for la, _ in here if any(p.state is not State.SKIPPED for p in la)]
        self.comparing.want(decided, self.reference)

    def _on_change(self, event: Any = None) -> None:
        if self.reference:
            self._stale = True
            self._pause.start()

    def _on_compared(self, comparison: Comparison) -> None:
        # Forgotten while it was compared.
        if self.reference:
            self._show(comparison=comparison, problem="")
            self._show_lines()

    def _on_compare_ended(self, text: str, failed: bool, report: str) -> None:
        if failed and self.reference:
            problem = evaluate_texts.CANNOT.format(error=text)
            self._show(comparison=None, landmark="", problem=problem)
            self.lines.hide()

    def _show(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.form.show_state(state)

    # -- looking -------------------------------------------------------------------

    def look_at(self, point: ComparedPoint) -> None:
        """Show the image of a point, and zoom in on it, or on its reference."""
        key = self._keys.get(point.image)
        images = self.bench.review.images
        if key is None or key not in images.keys:
            self._show(said=evaluate_texts.GONE.format(image=point.image))
            return
        self.bench.review.turn_to(key)
        target = self.session.target
        landmarks = self.session.annotation.landmarks
        if point.landmark in landmarks:
            self.bench.review.look_at(point.landmark)
        if target is not None and point.found_yx is None and point.true_yx is not None:
            look_closely_at(self._viewer, target, point.true_yx)

    def _on_target(self, event: Any = None) -> None:
        self._on_change()
        self._show_lines()

    def _show_lines(self) -> None:
        """Draw the reference of the image on the canvas, where that is wanted."""
        target, comparison = self.session.target, self.state.comparison
        wanted = self.form.lines.isChecked() and self.isVisible()
        key = self.bench.review.images.current
        if not wanted or target is None or comparison is None or key is None:
            self.lines.hide()
            return
        here = [point for point in comparison.points if self._keys.get(point.image) == key]
        self.lines.show(target, here)

    # -- saving --------------------------------------------------------------------

    def _on_save(self) -> None:
        t = evaluate_texts
        path, chosen = QFileDialog.getSaveFileName(
            self, t.SAVE_TITLE, "errors.csv", f"{t.SAVE_LANDMARKS};;{t.SAVE_POINTS}"
        )
        if path:
            self.save(Path(path), every_point=chosen == t.SAVE_POINTS)

    def save(self, path: Path, *, every_point: bool = False) -> None:
        """Write the errors of each landmark, or of every point, as a table."""
        comparison = self.state.comparison
        if comparison is None:
            return
        table = (point_rows if every_point else landmark_rows)(comparison)
        try:
            # The dialog has asked before it lets anybody replace a file.
            with atomic_write(path, overwrite=True) as partial:
                table.to_csv(partial, index=False, float_format="%.4f")
        except OneshotError as error:
            self._show(problem=f"{error}.")
        else:
            self._show(said=evaluate_texts.SAVED.format(path=path), problem="")
