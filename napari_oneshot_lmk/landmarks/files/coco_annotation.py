"""The keypoints of one COCO annotation as landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.json_values import (
    is_nothing,
    noted_by_us,
    number,
    sequence,
    text,
)
from napari_oneshot_lmk.landmarks.files.not_placed import PLACEHOLDERS
from napari_oneshot_lmk.landmarks.landmark import Landmark, State
from napari_oneshot_lmk.landmarks.record import landmark_from_record

NOT_LABELLED, VISIBLE = 0, 2
"""COCO's v; 1 is a keypoint that has a position but is hidden."""

# Tools that save two decimals have not moved a point.
_UNMOVED_PX = 0.01


def is_labelled(annotation: Mapping[str, Any], where: str) -> bool:
    """Say whether at least one keypoint of an annotation has a position."""
    return any(_position(what, *three) for what, *three in _keypoints(annotation, where))


def landmarks_of(
    annotation: Mapping[str, Any],
    where: str,
    category: Mapping[str, Any],
    ours: Sequence[Mapping[str, Any]],
    known_names: Sequence[str],
) -> tuple[Landmark, ...]:
    """Return the landmarks of an annotation.

    Parameters
    ----------
    annotation, category : mapping
        As they stand in the file.
    where : str
        What to call the annotation where something is wrong with it.
    ours : sequence of mapping
        What this package has noted of its landmarks; may be empty.
    known_names : sequence of str
        Names for a category that does not name its keypoints.

    Raises
    ------
    LandmarkError
        If keypoints and names do not fit one another.
    """
    keypoints = _keypoints(annotation, where)
    names = _names(where, category, known_names, len(keypoints))
    read = {}
    for name, (what, *three) in zip(names, keypoints, strict=True):
        position_yx = _position(what, *three)
        if position_yx in PLACEHOLDERS and not ours:
            position_yx = None
        state = State.SKIPPED if position_yx is None else State.PLACED
        read[name] = Landmark(name, position_yx, state)
    with noted_by_us():
        noted = [landmark_from_record(record) for record in ours]
    if not noted:
        return tuple(read.values())
    # The annotation has the last word; the category may name landmarks that were
    # not on this image's list.
    kept = [_joined(landmark, read.get(landmark.name)) for landmark in noted]
    listed = {landmark.name for landmark in noted}
    added = [p for p in read.values() if p.name not in listed and p.position_yx]
    return (*kept, *added)


def _names(
    where: str, category: Mapping[str, Any], known_names: Sequence[str], count: int
) -> list[str]:
    stated = sequence(category.get("keypoints") or [], "the category's keypoints")
    names = [text(name, "a keypoint of the category").strip() for name in stated]
    if not names:
        fitting = len(known_names) == count
        return list(known_names) if fitting else [str(n + 1) for n in range(count)]
    if len(names) != count:
        raise LandmarkError(
            f"{where} has {count} keypoints, its category names {len(names)}",
            remedy="make them agree",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LandmarkError(f"the category names the keypoint {twice!r} twice", remedy="rename one")
    return names


def _keypoints(annotation: Mapping[str, Any], where: str) -> list[tuple[str, Any, Any, Any]]:
    """Return for each keypoint what to call it, and its x, y and v as they stand."""
    numbers = sequence(annotation["keypoints"], f"{where}: keypoints")
    if len(numbers) % 3:
        raise LandmarkError(
            f"{where} has {len(numbers)} numbers for its keypoints, not three each",
            remedy="save it again as COCO keypoints",
        )
    return [
        (f"{where}: keypoint {start // 3 + 1}", *numbers[start : start + 3])
        for start in range(0, len(numbers), 3)
    ]


def _position(what: str, x: Any, y: Any, v: Any) -> tuple[float, float] | None:
    """Return (row, column), None where the keypoint is not labelled."""
    if is_nothing(v):
        # Without a word on it a keypoint is there if it has a position.
        labelled = not (is_nothing(x) and is_nothing(y))
    else:
        labelled = number(v, f"{what}: v") > NOT_LABELLED
    if not labelled:
        return None
    return number(y, f"{what}: y"), number(x, f"{what}: x")


def _joined(noted: Landmark, read: Landmark | None) -> Landmark:
    """Return what was noted, unless the keypoint has been changed since."""
    if read is None:
        return noted
    if noted.position_yx is None or read.position_yx is None:
        same = noted.position_yx == read.position_yx
        return noted if same else noted.changed_elsewhere(read.position_yx)
    apart = max(abs(a - b) for a, b in zip(noted.position_yx, read.position_yx, strict=True))
    # Moved by a person: what the detector thought of the old place is void.
    return noted if apart <= _UNMOVED_PX else noted.changed_elsewhere(read.position_yx)
