"""Points that napari itself has saved, ``.csv``: read only.

The columns are ``index, axis-0, axis-1``, then those of the layer's features; positions are
(row, column). Axes before the last two say which slice of a stack a point lies on.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat, ReadContext
from napari_oneshot_lmk.landmarks.files.text_file import (
    TableRow,
    at_line,
    head_of,
    table_rows,
    titles_of,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State

_REQUIRED = ("axis-0", "axis-1")
_AXIS = re.compile(r"axis-(\d+)")
_NAMES = ("label", "name", "landmark")
_ONCE = ("index", *_REQUIRED, *_NAMES, "source", "author")


def read_napari_points(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read a points layer; points of a stack become one set for each slice."""
    slices: dict[tuple[int, ...], list[Landmark]] = {}
    for row in table_rows(path, _REQUIRED, once=_ONCE, tell=context.tell):
        *stack, y_px, x_px = _position(row)
        if any(value is None for value in stack):
            raise row.wrong("a place in the stack is empty", "fill it")
        index = tuple(round(value) for value in stack if value is not None)
        points = slices.setdefault(index, [])
        known = [*(row.text(column) for column in _NAMES), *context.names[len(points) :][:1]]
        name = next((name for name in known if name), str(len(points) + 1))
        if any(point.name == name for point in points):
            raise row.wrong(f"landmark {name!r} stands twice", "rename one of the two")
        source = row.text("source").lower()
        # napari lets a layer have points without a place (NaN).
        position_yx = None if y_px is None or x_px is None else (y_px, x_px)
        state = State.SKIPPED if position_yx is None else State.PLACED
        # A column of the user's own may have this title, too.
        origin = Source(source) if source in set(Source) else None
        with at_line(row.line):
            point = Landmark(name, position_yx, state, source=origin, author=row.text("author"))
        points.append(point)
    if not slices:
        raise LandmarkError("holds no points", remedy="save the layer again")
    images = []
    for index, points in slices.items():
        # As the docks name a slice of a stack.
        place = f" [{' '.join(map(str, index))}]" if index else ""
        image = path.name.removesuffix(path.suffix) + place
        images.append(Landmarks(tuple(points), image, context.geometry_of(image)))
    return tuple(images)


def _position(row: TableRow) -> list[float | None]:
    axes = sorted(
        (int(match[1]), column) for column in row.cells if (match := _AXIS.fullmatch(column))
    )
    for _, column in axes:
        if not row.text(column):
            raise row.wrong(f"{column} is empty", "fill it or remove the line")
    return [row.number(column) for _, column in axes]


def _recognise(path: Path) -> bool:
    titles = titles_of(head_of(path))
    return {"index", *_REQUIRED} <= titles and "shape-type" not in titles


_INSTEAD = "write a landmark table (.csv)"
NAPARI_POINTS = LandmarkFormat(
    "napari points", ".csv", _recognise, read_napari_points, None, _INSTEAD
)
