"""The keypoints of one COCO annotation as landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmark import Landmark, State
from napari_oneshot_lmk.landmarks.record import landmark_from_record

NOT_LABELLED, VISIBLE = 0, 2
"""COCO's v; 1 is a keypoint that has a position but is hidden."""

# Tools that save two decimals have not moved a point.
_UNMOVED_PX = 0.01


def landmarks_of(
    annotation: Mapping[str, Any],
    category: Mapping[str, Any],
    ours: Sequence[Mapping[str, Any]],
    known_names: Sequence[str],
) -> tuple[Landmark, ...]:
    """Return the landmarks of an annotation.

    Parameters
    ----------
    annotation, category : mapping
        As they stand in the file.
    ours : sequence of mapping
        What this package has noted of its landmarks; may be empty.
    known_names : sequence of str
        Names for a category that does not name its keypoints.

    Raises
    ------
    LandmarkError
        If keypoints and names do not fit one another.
    """
    numbers = annotation["keypoints"]
    if len(numbers) % 3:
        raise LandmarkError(
            f"annotation {annotation.get('id')!r} has {len(numbers)} numbers for its "
            "keypoints, not three each",
            remedy="save it again as COCO keypoints",
        )
    count = len(numbers) // 3
    names = _names(annotation, category, known_names, count)
    read = {
        name: _keypoint(name, *numbers[3 * index : 3 * index + 3])
        for index, name in enumerate(names)
    }
    records = {str(record["name"]): record for record in ours}
    if not records:
        return tuple(read.values())
    # The annotation has the last word; the category may name landmarks that were
    # not on this image's list.
    added = [p for p in read.values() if p.name not in records and p.position_yx]
    kept = [_joined(record, read.get(name)) for name, record in records.items()]
    return (*kept, *added)


def _names(
    annotation: Mapping[str, Any],
    category: Mapping[str, Any],
    known_names: Sequence[str],
    count: int,
) -> list[str]:
    names = [str(name).strip() for name in category.get("keypoints", [])]
    if not names:
        fitting = len(known_names) == count
        return list(known_names) if fitting else [str(n + 1) for n in range(count)]
    if len(names) != count:
        raise LandmarkError(
            f"annotation {annotation.get('id')!r} has {count} keypoints, its category "
            f"names {len(names)}",
            remedy="make them agree",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LandmarkError(
            f"the category names the keypoint {twice!r} twice", remedy="rename one"
        )
    return names


def _keypoint(name: str, x: Any, y: Any, v: Any) -> Landmark:
    x, y, v = float(x), float(y), float(v)
    if not math.isfinite(x) or not math.isfinite(y):
        raise LandmarkError(
            f"the keypoint {name!r} is not at two finite numbers", remedy="correct it"
        )
    if v <= NOT_LABELLED:
        return Landmark(name, None, State.SKIPPED)
    return Landmark(name, (y, x))


def _joined(record: Mapping[str, Any], read: Landmark | None) -> Landmark:
    """Return what was noted, unless the keypoint has been changed since."""
    noted = landmark_from_record(record)
    if read is None:
        return noted
    if noted.position_yx is None:
        return noted if read.position_yx is None else read
    if read.position_yx is None:
        return Landmark(noted.name, None, State.SKIPPED, description=noted.description)
    apart = max(
        abs(a - b) for a, b in zip(noted.position_yx, read.position_yx, strict=True)
    )
    if apart <= _UNMOVED_PX:
        return noted
    # Moved by a person: what the detector thought of the old place is void.
    return Landmark(noted.name, read.position_yx, description=noted.description)
