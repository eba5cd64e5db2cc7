"""The measurements of a project, in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.measure.measurement_set import SETS, MeasurementSet

if TYPE_CHECKING:
    from napari_oneshot_lmk.review.project import Project

SET_FILE = "measurements.toml"


def own_set(project: Project) -> MeasurementSet | None:
    """Return the set that is kept in a project's folder; None where there is none.

    A `UsageError` says if its file cannot be read.
    """
    path = project.folder / SET_FILE
    return MeasurementSet.load(path) if path.exists() else None


def chosen_set(project: Project, name_or_path: str = "") -> MeasurementSet:
    """Return the set that a user names, else the project's own, else the first shipped one."""
    if name_or_path:
        return MeasurementSet.load(name_or_path)
    return own_set(project) or MeasurementSet.load(SETS[0])


def keep_set(project: Project, chosen: MeasurementSet | None) -> None:
    """Keep a set in a project's folder, in place of the one before; None takes that away.

    A `ProjectError` says if another process is writing, an `OutputError` if it cannot be
    written.
    """
    project.lock()
    path = project.folder / SET_FILE
    if chosen is not None:
        chosen.save(path, overwrite=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be deleted ({error.strerror or error})", file=path) from error
