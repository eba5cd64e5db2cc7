"""Landmarks as a table: one row for each landmark of each image.

x counts columns and y rows, both from the centre of the first pixel; the mm
columns are the same distances in millimetres, empty where the spacing is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, LandmarkError
from napari_oneshot_lmk.geometry import Geometry, Points
from napari_oneshot_lmk.landmarks.files.base import (
    PLACEHOLDERS,
    LandmarkFormat,
    ReadContext,
    unusual_frame,
    without_zeros,
)
from napari_oneshot_lmk.landmarks.files.table_spacing import RowPositions, RowSpacing, row_spacing
from napari_oneshot_lmk.landmarks.files.text_file import (
    TableRow,
    at_line,
    head_of,
    table_rows,
    titles_of,
)
from napari_oneshot_lmk.landmarks.image_names import image_key
from napari_oneshot_lmk.landmarks.landmarks import (
    LENGTHS_MM,
    LENGTHS_PX,
    Landmark,
    Landmarks,
    Provenance,
    Source,
    State,
)

REQUIRED = ("image", "landmark", "x_px", "y_px")
"""Columns without which a table cannot be read."""
ALWAYS = (*REQUIRED, "x_mm", "y_mm", "score", "state")
"""Columns that are always written."""
SIZE_COLUMNS = ("height_px", "width_px")
FRAME_COLUMNS = ("origin_lps_mm", "row_axis_lps", "column_axis_lps")
"""Three numbers in one cell; written where they are not the defaults."""
SPACING_COLUMN = "spacing_mm_yx"
"""Two numbers in one cell; written where the mm columns cannot tell them, or few rows do."""
GEOMETRY_COLUMNS = (*SIZE_COLUMNS, SPACING_COLUMN, *FRAME_COLUMNS)
PROVENANCE = tuple(each.name for each in fields(Provenance))
WHERE_FILLED = (
    *("shape_residual_mm", "unsure", *LENGTHS_PX, *LENGTHS_MM, "source", "description"),
    *(*SIZE_COLUMNS, *PROVENANCE, SPACING_COLUMN, *FRAME_COLUMNS),
)
"""Columns that are written where at least one row fills them."""
MANUAL = "manual"
_SOURCES = {str(source): source for source in Source}
"""Of an image's columns, what a row states for itself where a person placed the landmark."""
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
FEW_ROWS = 3
"""Of fewer rows that tell the spacing one that was changed could not be told from the others."""
NAMED_ROWS = 5
"""Rows that a message names before it counts the others."""


# -- writing --------------------------------------------------------------------


def write_csv(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write a table; numbers are as short as they can be without loss.

    The images are gone through twice, the first time to see which columns are
    filled: they may come from a file and need not be in memory together.
    """
    empty = list(WHERE_FILLED)
    for landmarks in images:
        for row in _rows(landmarks):
            empty = [column for column in empty if not row.get(column)]
    columns = [*ALWAYS, *(column for column in WHERE_FILLED if column not in empty)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for landmarks in images:
            writer.writerows(_rows(landmarks))


def _rows(landmarks: Landmarks) -> Iterator[dict[str, str]]:
    geometry, provenance = landmarks.geometry, landmarks.provenance
    points_yx = landmarks.positions_yx
    points_mm_yx = np.full_like(points_yx, np.nan)
    if geometry is not None and geometry.spacing_mm_yx is not None:
        points_mm_yx = geometry.points_to_mm(points_yx)
    of_image = {"image": landmarks.image, **asdict(provenance)}
    if geometry is not None:
        of_image |= _geometry_to_cells(geometry, points_yx, points_mm_yx)
    for point, place in zip(landmarks, np.hstack([points_yx, points_mm_yx]), strict=True):
        row = {
            **of_image,
            **dict(zip(("y_px", "x_px", "y_mm", "x_mm"), map(_text, place), strict=True)),
            "landmark": point.name,
            "score": _text(point.score),
            "state": str(point.state),
            "shape_residual_mm": _text(point.shape_residual_mm),
            "unsure": "true" if point.unsure else "",
            **{key: _text(value) for key, value in point.lengths(geometry).items()},
            "source": "" if point.source is None else str(point.source),
            "description": point.description,
        }
        if point.is_manual:
            row["author"] = point.author or provenance.author
        if point.is_position_of_person:
            row["method"] = MANUAL
        yield row


def _text(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else repr(float(value))


# -- geometry in cells ----------------------------------------------------------


def _geometry_to_cells(
    geometry: Geometry, points_yx: Points, points_mm_yx: Points
) -> dict[str, str]:
    """Return the cells that every row of an image carries."""
    height, width = geometry.image_shape_yx
    numbers = unusual_frame(geometry)
    spacing = geometry.spacing_mm_yx
    told = row_spacing(RowPositions(points_yx, points_mm_yx)).spacing_mm_yx
    few = np.isfinite(points_mm_yx[:, 0]).sum() < FEW_ROWS
    if spacing is not None and (few or told != spacing):
        numbers[SPACING_COLUMN] = spacing
    cells = {column: " ".join(map(repr, values)) for column, values in numbers.items()}
    return {"height_px": str(height), "width_px": str(width), **cells}


def _geometry_from_cells(cells: Mapping[str, str]) -> Geometry | None:
    """Undo `_geometry_to_cells`, but for a spacing that only the mm columns tell.

    None where the size is not stated. Raises a GeometryError or ValueError for cells that
    make no sense.
    """
    if not all(column in cells for column in SIZE_COLUMNS):
        return None
    frame = {c: _numbers(cells[c], 3) for c in FRAME_COLUMNS if c in cells}
    shape_yx = (_whole_number(cells["height_px"]), _whole_number(cells["width_px"]))
    geometry = Geometry(shape_yx, **frame)  # type: ignore[arg-type]
    if SPACING_COLUMN in cells:
        return geometry.with_spacing(_numbers(cells[SPACING_COLUMN], 2))
    return geometry


def _whole_number(cell: str) -> int:
    """Read a whole number; spreadsheet programs may have made 600.0 of it."""
    (value,) = _numbers(cell, 1)
    if not value.is_integer():
        raise ValueError(f"{cell!r} is not a whole number")
    return int(value)


def _numbers(cell: str, count: int) -> tuple[float, ...]:
    values = tuple(float(part) for part in cell.split())
    if len(values) != count or not np.all(np.isfinite(values)):
        raise ValueError(f"{cell!r} is not {count} finite numbers")
    return values


# -- reading --------------------------------------------------------------------


def read_csv(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read a table separated by commas, semicolons or tabs.

    The geometry of ``context`` is taken for images whose size the table does not state.
    """
    images: dict[str, _TableImage] = {}
    placeholders, has_sources, strange = 0, False, None
    once = (*ALWAYS, *WHERE_FILLED)
    for row in table_rows(path, REQUIRED, once=once, tell=context.tell):
        name = row.text("image")
        image = images.setdefault(image_key(name), _TableImage(name))
        placeholders += image.add(row)
        source = row.text("source").lower()
        has_sources = has_sources or source in _SOURCES
        if source and source not in _SOURCES:
            strange = strange or row
    if not images:
        raise LandmarkError("holds no landmarks", remedy="add a row for each landmark")
    if "" in images and len(images) > 1:
        raise LandmarkError(
            f"line {min(images[''].lines.values())} names no image", remedy="fill the image column"
        )
    # A column of the user's own may have the same title, with other words in it.
    if has_sources and strange is not None:
        raise strange.wrong(
            f"source is {strange.text('source')!r}",
            f"use one of {', '.join(_SOURCES)}, or leave it empty",
        )
    if placeholders:
        context.tell(
            f"{placeholders} landmark{'s' if placeholders > 1 else ''} at -1 "
            "or -9999 in both directions are taken for not placed"
        )
    read = tuple(image.landmarks(context) for image in images.values())
    _tell_changed(images.values(), context)
    return read


def _tell_changed(images: Iterable[_TableImage], context: ReadContext) -> None:
    rows = [
        f"{image.lines[name]} ({name} of {image.name})"
        for image in images
        for name in image.changed
    ]
    if rows:
        shown = ", ".join(rows[:NAMED_ROWS])
        more = f" and {len(rows) - NAMED_ROWS} more" if rows[NAMED_ROWS:] else ""
        lines, points = ("lines", "points are") if rows[1:] else ("line", "point is")
        context.tell(
            f"{lines} {shown}{more}: the millimetres do not follow from the pixels; "
            f"the pixels count, and the {points} taken as corrected by a person"
        )


def _changed(point: Landmark) -> Landmark:
    """Return a landmark whose row a person has changed in another program."""
    edited = point.edited_at(point.position_yx)
    return replace(edited, state=point.state)


@dataclass
class _TableImage:
    """What the rows read so far state of one image."""

    name: str
    points: list[Landmark] = field(default_factory=list)
    points_mm_yx: list[tuple[float | None, float | None]] = field(default_factory=list)
    roundings: list[list[float]] = field(default_factory=list)
    """Of y_px, x_px, y_mm and x_mm."""
    lines: dict[str, int] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    has_states: bool = False
    changed: list[str] = field(default_factory=list)
    """Landmarks that a person has changed in another program, known once all rows are read."""

    def add(self, row: TableRow) -> bool:
        """Take in one more row; say whether its position is a placeholder."""
        point, is_placeholder = _landmark(row)
        if point.name in self.lines:
            raise row.wrong(
                f"landmark {point.name!r} of image {row.text('image')!r} stands "
                f"already in line {self.lines[point.name]}",
                "remove one of the two",
            )
        self.lines[point.name] = row.line
        self.points.append(point)
        self.has_states = self.has_states or bool(row.text("state"))
        self.points_mm_yx.append((row.number("y_mm"), row.number("x_mm")))
        self.roundings.append([row.rounding(each) for each in ("y_px", "x_px", "y_mm", "x_mm")])
        for column in (*PROVENANCE, *GEOMETRY_COLUMNS):
            if point.is_manual and column == "author":
                continue
            if point.is_position_of_person and column == "method":
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
        return is_placeholder

    def landmarks(self, context: ReadContext) -> Landmarks:
        """Return the finished set."""
        provenance = Provenance.from_json(self.cells)
        points, zeros = (tuple(self.points), 0) if self.has_states else without_zeros(self.points)
        geometry, changed = self._stated_geometry(Landmarks(points).positions_yx)
        self.changed = [points[row].name for row in changed]
        points = tuple(_changed(p) if p.name in self.changed else p for p in points)
        geometry = geometry or context.geometry_of(self.name)
        if zeros:
            what = f"{zeros} landmarks of image {self.name!r} at 0, 0"
            context.tell(f"{what} are taken for not placed")
        if all(point.is_manual for point in points):
            authors = {point.author for point in points}
            # A set with an author keeps apart who has placed the single point.
            author = authors.pop() if len(authors) == 1 else ""
            provenance = replace(provenance, author=author)
        if all(point.is_position_of_person for point in points):
            provenance = replace(provenance, method=MANUAL)
        return Landmarks(tuple(points), self.name, geometry, provenance)

    def _stated_geometry(self, points_yx: Points) -> tuple[Geometry | None, Sequence[int]]:
        """Return what the rows state, and which of them were changed since it was written."""
        points_mm_yx = np.array(self.points_mm_yx, dtype=np.float64)  # None becomes NaN
        roundings = np.array(self.roundings)
        rows = RowPositions(points_yx, points_mm_yx, roundings[:, :2], roundings[:, 2:])
        try:
            geometry = _geometry_from_cells(self.cells)
            if geometry is None:
                return None, ()
            told = self._agreed(rows, geometry.spacing_mm_yx)
            geometry = geometry.with_spacing(told.spacing_mm_yx)
        except (GeometryError, ValueError, OverflowError) as error:
            what = error.what if isinstance(error, GeometryError) else str(error)
            raise LandmarkError(
                f"size, spacing or orientation of image {self.name!r} make no sense ({what})",
                remedy="correct them or empty those columns",
            ) from error
        # The millimetres that stayed behind say that there was a position.
        emptied = np.isnan(points_yx).all(axis=1) & np.isfinite(points_mm_yx).all(axis=1)
        return geometry, np.flatnonzero(told.differing | emptied).tolist()

    def _agreed(self, rows: RowPositions, stated: tuple[float, float] | None) -> RowSpacing:
        """Return the spacing that is stated or told by most rows, and the rows that differ."""
        told = row_spacing(rows)
        if stated is not None:
            by_rows, told = told, row_spacing(rows, stated)
            if told.differing.all() and len(rows.yx) >= FEW_ROWS and by_rows.spacing_mm_yx:
                raise self._contradicts(0, f"with {SPACING_COLUMN} {self.cells[SPACING_COLUMN]}")
        elif told.is_contradictory:
            row = int(np.argmax(told.differing))
            raise self._contradicts(row, "and no pixel spacing fits most lines")
        return told

    def _contradicts(self, row: int, how: str) -> LandmarkError:
        name = self.points[row].name
        return LandmarkError(
            f"line {self.lines[name]}: the millimetres of {name!r} of image {self.name!r} do not "
            f"follow from its pixels {how}",
            remedy="correct it, or empty x_mm and y_mm where the pixels were changed",
        )


def _landmark(row: TableRow) -> tuple[Landmark, bool]:
    """Return a landmark, and whether a number stands for its missing position."""
    name = row.text("landmark")
    if not name:
        raise row.wrong("names no landmark", "fill the landmark column")
    x_px, y_px = row.number("x_px"), row.number("y_px")
    if (x_px is None) != (y_px is None):
        empty = "x_px" if x_px is None else "y_px"
        raise row.wrong(f"{empty} is empty", "give both coordinates, or none")
    position_yx = None if x_px is None or y_px is None else (y_px, x_px)
    stated = row.text("state").lower()
    is_placeholder = position_yx in PLACEHOLDERS and stated != State.PLACED
    position_yx = None if is_placeholder else position_yx
    if stated not in {*State, ""}:
        raise row.wrong(f"state is {stated!r}", f"use one of {', '.join(sorted(State))}")
    state = State(stated or (State.SKIPPED if position_yx is None else State.PLACED))
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
    residual_mm = row.number("shape_residual_mm")
    source = _SOURCES.get(row.text("source").lower())
    description, author = row.cells.get("description", ""), row.text("author")
    lengths_px = [row.number(column) for column in LENGTHS_PX]
    values = (score, unsure in _TRUE, residual_mm, description, source, author)
    with at_line(row.line):
        return Landmark(name, position_yx, state, *values, *lengths_px), is_placeholder


def _recognise(path: Path) -> bool:
    return set(REQUIRED) <= titles_of(head_of(path))


CSV_TABLE = LandmarkFormat("Table", ".csv", _recognise, read_csv, write_csv)
