"""Landmarks that were corrected in another program, merged into a project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, LandmarkError, ProjectError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.review.project import Project

TOLERANCE_PX = 0.01
"""Files are rounded: what lies no further from a detection is that detection."""


class MergePolicy(StrEnum):
    """What happens to a landmark that a person has decided in the project, too."""

    PROJECT = "project"  # the project's stays
    FILE = "file"  # the file's is taken
    REFUSE = "refuse"  # nothing of that image is taken


@dataclass(frozen=True)
class Taken:
    """What became of the landmarks of an image."""

    image: str
    """Name of the image in the project."""
    changed: tuple[str, ...] = ()
    """Landmarks that are now as in the file."""
    kept: tuple[str, ...] = ()
    """Landmarks on which file and project disagree, where the project's has stayed."""
    unknown: tuple[str, ...] = ()
    """Landmarks that the project's template does not have; they were left out."""


def take_landmarks(
    project: Project,
    image_id: str,
    given: Landmarks,
    *,
    policy: MergePolicy = MergePolicy.PROJECT,
    reader: str = "",
) -> Taken:
    """Merge landmarks of a file into those of an image.

    What differs from the detection counts as corrected. What is the same was not decided by
    anybody, unless the file says so, and neither was what the file does not place.

    Parameters
    ----------
    project : Project
    image_id : str
    given : Landmarks
        Positions in pixels of the image.
    policy : MergePolicy
        Where a person has decided otherwise in the project.
    reader : str
        Who has corrected them, where they do not say it; by default the project's reader.

    Raises
    ------
    GeometryError, LandmarkError
        If they were placed on an image of another size, or lie outside of it.
    ProjectError
        If the policy is to refuse and there is a conflict, or the image cannot be read.
    """
    work = project.work(image_id)
    name = project.image(image_id).name
    here = work.landmarks
    if here is None or here.geometry is None:
        here = _begun(project, image_id, here)
    assert here.geometry is not None
    _check_fits(given, here.geometry, name)
    author = given.provenance.author or reader or project.reader
    known = set(project.template.landmarks.names) | set(here.names)
    detected = {} if work.detected is None else {p.name: p for p in work.detected}
    changed, kept = [], []
    for theirs in given:
        if theirs.name not in known:
            continue
        new = _taken(theirs, detected.get(theirs.name), author)
        if new is None:
            continue
        if theirs.name in here:
            mine = here[theirs.name]
            new = replace(new, description=mine.description)
            if mine.is_manual and _same_place(mine, new):
                continue
            if mine.is_manual and policy is not MergePolicy.FILE:
                kept.append(theirs.name)
                continue
        here = here.with_landmark(new)
        changed.append(theirs.name)
    if kept and policy is MergePolicy.REFUSE:
        raise ProjectError(
            f"somebody has decided otherwise in the project on {_listed(kept)}",
            file=name,
            remedy=f"choose the policy “{MergePolicy.PROJECT}” or “{MergePolicy.FILE}”",
        )
    if changed:
        project.record(image_id, here, action="take", reader=author)
    unknown = tuple(each for each in given.names if each not in known)
    return Taken(name, tuple(changed), tuple(kept), unknown)


def _begun(project: Project, image_id: str, here: Landmarks | None) -> Landmarks:
    geometry = project.read(image_id).geometry
    if here is not None:
        return here.with_geometry(geometry)
    names = project.template.landmarks
    points = (Landmark(p.name, None, State.SKIPPED, description=p.description) for p in names)
    return Landmarks(tuple(points), project.image(image_id).name, geometry)


def _check_fits(given: Landmarks, geometry: Geometry, name: str) -> None:
    theirs = given.geometry
    if theirs is not None and theirs.image_shape_yx != geometry.image_shape_yx:
        (rows, columns), (height, width) = theirs.image_shape_yx, geometry.image_shape_yx
        raise GeometryError(
            f"the landmarks are on {columns} x {rows} pixels, but the image has {width} x {height}",
            file=name,
            remedy="take those that were placed on this image",
        )
    outside = [
        point.name
        for point in given.placed
        if point.position_yx and not geometry.contains([point.position_yx])[0]
    ]
    if outside:
        raise LandmarkError(
            f"{_listed(outside)} would lie outside the image",
            file=name,
            remedy="take those that were placed on this image",
        )


def _taken(theirs: Landmark, found: Landmark | None, author: str) -> Landmark | None:
    """Return a landmark as the project is to keep it; None where nobody has decided on it."""
    was_found = found is not None and found.state is State.PLACED
    same = found is not None and _same_place(theirs, found)
    by_person = Source.CORRECTED if was_found else Source.PLACED
    if theirs.is_manual:
        source = theirs.source
        if source is Source.ACCEPTED and not same:
            source = by_person
        return replace(theirs, source=source, author=theirs.author or author)
    if theirs.state is State.SKIPPED or same:
        return None
    if found is None and theirs.follows_detection:
        return replace(theirs, source=Source.DETECTED)
    return replace(theirs, source=by_person, author=author)


def _same_place(first: Landmark, second: Landmark) -> bool:
    if first.state is not second.state:
        return False
    if first.position_yx is None or second.position_yx is None:
        return True
    return bool(np.abs(np.subtract(first.position_yx, second.position_yx)).max() <= TOLERANCE_PX)


def _listed(names: Iterable[str]) -> str:
    each = list(names)
    more = f" and {len(each) - 3} more" if len(each) > 3 else ""
    return ", ".join(each[:3]) + more
