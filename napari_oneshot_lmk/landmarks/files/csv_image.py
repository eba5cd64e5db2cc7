"""What the rows of a landmark table say about one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, LandmarkError
from napari_oneshot_lmk.landmarks.files.landmark_format import Known
from napari_oneshot_lmk.landmarks.files.not_placed import PLACEHOLDERS, without_zeros
from napari_oneshot_lmk.landmarks.files.table_geometry import GEOMETRY_COLUMNS, geometry_from_cells
from napari_oneshot_lmk.landmarks.files.table_rows import TableRow
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, Provenance, Source, State

PROVENANCE = ("method", "encoder", "template", "author", "created")
MANUAL = "manual"
SOURCES = {str(source): source for source in Source}
_SAME_IN_ALL_ROWS = (*PROVENANCE, *GEOMETRY_COLUMNS)
_OF_WHOEVER_PLACED_IT = ("method", "author")
"""Of those, what a row says for itself where a person has the last word on it."""
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0", "")


@dataclass
class CsvImage:
    """What the rows of one image have said so far."""

    name: str
    points: list[Landmark] = field(default_factory=list)
    points_mm_yx: list[tuple[float, float]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    states: bool = False

    def add(self, row: TableRow) -> bool:
        """Take in one more row; say whether it holds a placeholder of numbers."""
        point, placeholder = _point(row)
        if point.name in self.lines:
            raise row.wrong(
                f"landmark {point.name!r} of image {row.text('image')!r} stands "
                f"already in line {self.lines[point.name]}",
                "remove one of the two",
            )
        self.lines[point.name] = row.line
        self.points.append(point)
        self.states = self.states or bool(row.text("state"))
        y_mm, x_mm = row.number("y_mm"), row.number("x_mm")
        self.points_mm_yx.append(
            (np.nan if y_mm is None else y_mm, np.nan if x_mm is None else x_mm)
        )
        for column in _SAME_IN_ALL_ROWS:
            if point.is_manual and column in _OF_WHOEVER_PLACED_IT:
                continue
            cell = row.text(column)
            if column in GEOMETRY_COLUMNS:
                cell = row.plain(column).removesuffix(".0")
            if cell and self.cells.setdefault(column, cell) != cell:
                raise row.wrong(
                    f"{column} is {cell!r}, but {self.cells[column]!r} in an earlier "
                    "line of the same image",
                    "make them agree",
                )
        return placeholder

    def landmarks(self, known: Known) -> Landmarks:
        """Return the finished set."""
        given = known.geometry_of(self.name)
        cells = {column: self.cells.get(column, "") for column in PROVENANCE}
        points, zeros = tuple(self.points), 0
        if not self.states:
            points, zeros = without_zeros(points)
        if zeros:
            known.tell(f"{zeros} landmarks of image {self.name!r} at 0, 0 are taken for not placed")
        if all(point.is_manual for point in points):
            authors = {point.author for point in points}
            cells["method"] = MANUAL
            cells["author"] = authors.pop() if len(authors) == 1 else ""
        # A set with an author keeps apart who has placed the single point.
        landmarks = Landmarks(points, self.name, given, Provenance(**cells))
        try:
            geometry = geometry_from_cells(
                self.cells, landmarks.positions_yx, np.array(self.points_mm_yx)
            )
        except (GeometryError, ValueError, OverflowError) as error:
            what = error.what if isinstance(error, GeometryError) else str(error)
            raise LandmarkError(
                f"size, spacing or orientation of image {self.name!r} make no sense ({what})",
                remedy="correct them or empty those columns",
            ) from error
        return landmarks if geometry is None else landmarks.with_geometry(geometry)


def _point(row: TableRow) -> tuple[Landmark, bool]:
    """Return a landmark, and whether a number stands for its missing position."""
    name = row.text("landmark")
    if not name:
        raise row.wrong("names no landmark", "fill the landmark column")
    x_px, y_px = row.number("x_px"), row.number("y_px")
    if (x_px is None) != (y_px is None):
        raise row.wrong(
            f"{'x_px' if x_px is None else 'y_px'} is empty", "give both coordinates, or none"
        )
    position_yx = None if x_px is None or y_px is None else (y_px, x_px)
    state = State.SKIPPED if position_yx is None else State.PLACED
    stated = row.text("state").lower()
    placeholder = position_yx in PLACEHOLDERS and stated != State.PLACED
    if placeholder:
        position_yx, state = None, State.SKIPPED
    if stated:
        if stated not in set(State):
            raise row.wrong(f"state is {stated!r}", f"use one of {', '.join(sorted(State))}")
        state = State(stated)
    if (state is State.PLACED) != (position_yx is not None):
        raise row.wrong(
            f"landmark {name!r} is {state} but has {'no' if position_yx is None else 'a'} position",
            "correct the state or the position",
        )
    score = row.number("score")
    if score is not None and not 0 <= score <= 1:
        raise row.wrong(f"score is {score:g}", "a score lies between 0 and 1")
    unsure = row.text("unsure").lower()
    if unsure not in _TRUE + _FALSE:
        raise row.wrong(f"unsure is {unsure!r}", "use true, or leave it empty")
    source = SOURCES.get(row.text("source").lower())
    point = Landmark(
        name,
        position_yx,
        state,
        score,
        unsure in _TRUE,
        row.number("shape_residual_mm"),
        row.cells.get("description", ""),
        source,
        row.text("author"),
    )
    return point, placeholder
