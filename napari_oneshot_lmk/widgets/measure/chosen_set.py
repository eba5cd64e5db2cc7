"""Which measurements a window takes: a ready set, a file, or defined by clicks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_oneshot_lmk.measure.measurement_set import SETS, MeasurementSet
from napari_oneshot_lmk.review.project_set import SET_FILE, keep_set, own_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_oneshot_lmk.measure.measurement import Measurement
    from napari_oneshot_lmk.review.project import Project


class ChosenSet:
    """The set of a window; it outlives the dock. ``changed`` says that it is another one.

    While a project is open, each change is kept in its folder at once.

    Parameters
    ----------
    project : callable
        Returns the project that is open, None where there is none.
    """

    changed = Signal()

    def __init__(self, project: Callable[[], Project | None]) -> None:
        self._open_project = project
        self.measurements: MeasurementSet | None = None
        self.shipped = ""
        """Name of the ready set that it is, unchanged; empty for any other."""
        self.path: Path | None = None
        """The file that holds it as it is now."""
        self.kept: MeasurementSet | None = None
        """The last set that the user had defined and then left; see `take_back`."""
        self._kept_may_go = True
        """Whether a file holds ``kept``, or its last measurement was taken out."""
        self._project: Project | None = None
        """The one that is open, and keeps each change."""
        self._in_project = False
        """Whether it keeps the set as it is."""
        self._followed: Project | None = None
        self._by_user = False

    @property
    def unsaved(self) -> bool:
        """Whether neither a file nor a project holds it as it is."""
        held = self.shipped or self.path is not None or self._in_project
        return self.measurements is not None and not held

    @property
    def in_no_file(self) -> MeasurementSet | None:
        """The set that would be lost with the window: the one it has, else the one left for it."""
        if self.unsaved:
            return self.measurements
        return None if self._kept_may_go else self.kept

    @property
    def in_project(self) -> bool:
        """Whether a project keeps it."""
        return self._in_project

    def propose(self, names: Collection[str]) -> None:
        """Take the first ready set that measures something between these landmarks.

        What the user has chosen stays.
        """
        if self._by_user or self.measurements is not None:
            return
        for name in SETS:
            ready = MeasurementSet.load(name)
            if any(each.points and set(each.points) <= set(names) for each in ready.measurement):
                self.measurements, self.shipped = ready, name
                self.changed.emit()
                return

    def choose(self, name: str) -> None:
        """Take a ready set; a project keeps the user's own one all the same."""
        ready = MeasurementSet.load(name)
        self._keep()
        self._take(ready, shipped=name)

    def open(self, path: Path) -> None:
        """Take the set of a file; a `UsageError` says why it cannot be read."""
        read = MeasurementSet.load(path)
        self._keep()
        self._take(read, path=path)

    def take_back(self) -> None:
        """Go back to the set of one's own that was left for another one."""
        if self.kept is not None:
            self._take(self.kept)
            self.kept = None

    def add(self, measurement: Measurement) -> None:
        """Add a measurement; a `UsageError` says if its name is taken."""
        if self.measurements is None:
            self._take(MeasurementSet(measurement=(measurement,)))
        else:
            self._take(self.measurements.with_measurement(measurement))

    def remove(self, name: str) -> None:
        """Take a measurement out, and with the last one the set.

        A `UsageError` says if another one is a difference of it.
        """
        if self.measurements is None:
            return
        if len(self.measurements.measurement) > 1:
            self._take(self.measurements.without(name))
        else:
            if self._in_project and self._project is not None:
                keep_set(self._project, None)
            self._keep()
            self._kept_may_go = True
            self.measurements, self.shipped, self.path, self._in_project = None, "", None, False
            self._by_user = True
            self.changed.emit()

    def save(self, path: Path) -> None:
        """Write it to a file, in place of one that is there."""
        if self.measurements is not None:
            self.measurements.save(path, overwrite=True)
            self.path = path
            self.changed.emit()

    def save_unsaved(self, path: Path) -> None:
        """Write `in_no_file` to a file, in place of one that is there."""
        if self.unsaved:
            self.save(path)
        elif self.kept is not None:
            self.kept.save(path, overwrite=True)
            self._kept_may_go = True

    def follow_project(self) -> None:
        """Take the set that the open project keeps, if it is another project than before.

        A project that has none keeps from now on what no file holds yet. A `UsageError` says if
        the project's file cannot be read; then it is left as it is.
        """
        project = self._open_project()
        if project is self._followed:
            return
        if self._in_project and self._project is not None:
            # The file of the project that was closed holds it.
            self.path, self._in_project = self._project.folder / SET_FILE, False
        self._project, self._followed = None, project
        kept = None if project is None else own_set(project)
        self._project = project
        if kept is not None:
            self._keep()
            self.measurements, self.shipped, self.path, self._by_user = kept, "", None, True
            self._in_project = True
            self.changed.emit()
        elif project is not None and self.unsaved and self.measurements is not None:
            keep_set(project, self.measurements)
            self._in_project = True
            self.changed.emit()

    def _keep(self) -> None:
        if self.measurements is not None and not self.shipped and self.path is None:
            self.kept, self._kept_may_go = self.measurements, self._in_project

    def _take(
        self, measurements: MeasurementSet, shipped: str = "", path: Path | None = None
    ) -> None:
        # A project that was opened or closed a moment ago.
        self.follow_project()
        in_project = self._project is not None and not shipped
        if self._project is not None and in_project:
            keep_set(self._project, measurements)
        self._in_project = in_project
        self.measurements, self.shipped, self.path = measurements, shipped, path
        self._by_user = True
        self.changed.emit()
