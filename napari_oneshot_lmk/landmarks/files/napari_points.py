"""Points that napari itself has saved, ``.csv``: read only.

The columns are ``index, axis-0, axis-1``, then those of the layer's features.
Positions are data coordinates of the layer: (row, column), pixel centres at
integers. Axes before the last two say which slice of a stack a point lies on.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.table_rows import TableRow, table_rows
from napari_oneshot_lmk.landmarks.files.text_file import head_of
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks

_REQUIRED = ("axis-0", "axis-1")
_AXIS = re.compile(r"axis-(\d+)")
_NAMES = ("label", "name", "landmark")


def read_napari_points(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read a points layer; points of a stack become one set for each slice.

    Raises
    ------
    LandmarkError
        Naming the line, if the table cannot be understood.
    """
    slices: dict[tuple[int, ...], list[Landmark]] = {}
    for row in table_rows(path, _REQUIRED, once=("index", *_REQUIRED)):
        *stack, y_px, x_px = _position(row)
        points = slices.setdefault(tuple(round(value) for value in stack), [])
        name = next((row.text(c) for c in _NAMES if row.text(c)), "")
        if not name:
            number = len(points)
            name = known.names[number] if number < len(known.names) else str(number + 1)
        if any(point.name == name for point in points):
            raise row.wrong(f"landmark {name!r} stands twice", "rename one of the two")
        points.append(Landmark(name, (y_px, x_px)))
    if not slices:
        raise LandmarkError("holds no points", file=path, remedy="save the layer again")
    images = []
    for index, points in slices.items():
        image = path.name.removesuffix(path.suffix)
        if index:
            # As the docks name a slice of a stack.
            image = f"{image} [{' '.join(str(number) for number in index)}]"
        images.append(Landmarks(tuple(points), image, known.geometry_of(image)))
    return tuple(images)


def _position(row: TableRow) -> list[float]:
    axes = sorted(
        (int(match[1]), column)
        for column in row.cells
        if (match := _AXIS.fullmatch(column))
    )
    values = []
    for _, column in axes:
        value = row.number(column)
        if value is None:
            raise row.wrong(f"{column} is empty", "fill it or remove the line")
        values.append(value)
    return values


def _sniff(path: Path) -> bool:
    lines = head_of(path).splitlines() or [""]
    titles = {title.strip(' "') for title in re.split("[,;\t]", lines[0].lower())}
    return {"index", *_REQUIRED} <= titles and "shape-type" not in titles


NAPARI_POINTS = LandmarkFormat(
    ".csv",
    "napari points",
    read_napari_points,
    None,
    _sniff,
    instead="write a landmark table (.csv)",
)
