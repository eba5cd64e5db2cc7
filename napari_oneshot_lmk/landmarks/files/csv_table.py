"""Landmarks as a table: one row for each landmark of each image.

x counts columns and y rows, both from the centre of the first pixel; the mm
columns are the same distances in millimetres, empty where the spacing is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.not_placed import PLACEHOLDERS, without_zeros
from napari_oneshot_lmk.landmarks.files.table_geometry import (
    GEOMETRY_COLUMNS,
    SIZE_COLUMNS,
    geometry_from_cells,
    geometry_to_cells,
)
from napari_oneshot_lmk.landmarks.files.table_rows import (
    TableRow,
    table_rows,
    titles_of,
)
from napari_oneshot_lmk.landmarks.files.text_file import head_of
from napari_oneshot_lmk.landmarks.image_names import image_key
from napari_oneshot_lmk.landmarks.landmark import (
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
PROVENANCE = ("method", "encoder", "template", "author", "created")
WHERE_FILLED = (
    "shape_residual_mm",
    "unsure",
    "source",
    "description",
    *SIZE_COLUMNS,
    *PROVENANCE,
    *(column for column in GEOMETRY_COLUMNS if column not in SIZE_COLUMNS),
)
"""Columns that are written where at least one row fills them."""
_SAME_IN_ALL_ROWS = (*PROVENANCE, *GEOMETRY_COLUMNS)
_OF_WHOEVER_PLACED_IT = ("method", "author")
"""Of those, what a row says for itself where a person has the last word on it."""
_MANUAL = "manual"
_SOURCES = {str(source): source for source in Source}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0", "")


# -- writing ------------------------------------------------------------------


def write_csv(
    path: Path, images: Collection[Landmarks], source: Path | None = None
) -> None:
    """Write a table; numbers are as short as they can be without loss.

    The images are gone through twice, the first time to see which columns are
    filled: they may come from a file and need not be in memory together.
    """
    empty = set(WHERE_FILLED)
    for landmarks in images:
        empty -= _filled(landmarks)
    filled = [column for column in WHERE_FILLED if column not in empty]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file,
            [*ALWAYS, *filled],
            restval="",
            lineterminator="\n",
            extrasaction="ignore",
        )
        writer.writeheader()
        for landmarks in images:
            writer.writerows(_rows(landmarks))


def _filled(landmarks: Landmarks) -> set[str]:
    """Columns that at least one row of an image fills."""
    if not landmarks:
        return set()
    columns = {column for column, cell in _of_image(landmarks).items() if cell}
    for point in landmarks:
        cells = _of_point(point, landmarks.provenance)
        columns |= {column for column, cell in cells.items() if cell}
    return columns


def _of_image(landmarks: Landmarks) -> dict[str, str]:
    """Cells that are the same in all rows of an image."""
    provenance = landmarks.provenance
    of_provenance = {column: getattr(provenance, column) for column in PROVENANCE}
    return {**of_provenance, **geometry_to_cells(landmarks)}


def _of_point(point: Landmark, provenance: Provenance) -> dict[str, str]:
    """Cells that a point fills where there is something to say."""
    cells = {
        "shape_residual_mm": _text(point.shape_residual_mm),
        "unsure": "true" if point.unsure else "",
        "source": "" if point.source is None else str(point.source),
        "description": point.description,
    }
    if point.is_manual:
        cells["method"] = _MANUAL
        cells["author"] = point.author or provenance.author
    return cells


def _rows(landmarks: Landmarks) -> Iterator[dict[str, str]]:
    of_image = _of_image(landmarks)
    geometry = landmarks.geometry
    for point in landmarks:
        row = {
            **of_image,
            "image": landmarks.image,
            "landmark": point.name,
            "score": _text(point.score),
            "state": str(point.state),
            **_of_point(point, landmarks.provenance),
        }
        if point.position_yx is not None:
            row["y_px"], row["x_px"] = map(_text, point.position_yx)
            if geometry is not None and geometry.spacing_mm_yx is not None:
                y_mm, x_mm = geometry.points_to_mm([point.position_yx])[0]
                row["y_mm"], row["x_mm"] = _text(y_mm), _text(x_mm)
        yield row


def _text(value: float | None) -> str:
    return "" if value is None else repr(float(value))


# -- reading ------------------------------------------------------------------


@dataclass
class _Image:
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
            known.tell(
                f"{zeros} landmarks of image {self.name!r} at 0, 0 are taken for not "
                "placed"
            )
        if all(point.is_manual for point in points):
            authors = {point.author for point in points}
            cells["method"] = _MANUAL
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
                f"size, spacing or orientation of image {self.name!r} make no sense "
                f"({what})",
                remedy="correct them or empty those columns",
            ) from error
        return landmarks if geometry is None else landmarks.with_geometry(geometry)


def read_csv(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read a table separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
        The file.
    known : Known
        Its geometry is taken for images whose size the table does not state.

    Raises
    ------
    LandmarkError
        Naming the line, if the table cannot be understood.
    """
    images: dict[str, _Image] = {}
    placeholders, sources, strange = 0, False, None
    once = (*ALWAYS, *WHERE_FILLED)
    for row in table_rows(path, REQUIRED, once=once, tell=known.tell):
        name = row.text("image")
        image = images.setdefault(image_key(name), _Image(name))
        placeholders += image.add(row)
        source = row.text("source").lower()
        sources = sources or source in _SOURCES
        if source and source not in _SOURCES and strange is None:
            strange = row
    if not images:
        raise LandmarkError(
            "holds no landmarks", file=path, remedy="add a row for each landmark"
        )
    if "" in images and len(images) > 1:
        raise LandmarkError(
            f"line {min(images[''].lines.values())} names no image",
            file=path,
            remedy="fill the image column",
        )
    # A column of the user's own may have the same title, with other words in it.
    if sources and strange is not None:
        raise strange.wrong(
            f"source is {strange.text('source')!r}",
            f"use one of {', '.join(_SOURCES)}, or leave it empty",
        )
    if placeholders:
        known.tell(
            f"{path}: {placeholders} landmark{'s' if placeholders > 1 else ''} at -1 "
            "or -9999 in both directions are taken for not placed"
        )
    return tuple(image.landmarks(known) for image in images.values())


def _point(row: TableRow) -> tuple[Landmark, bool]:
    """Return a landmark, and whether a number stands for its missing position."""
    name = row.text("landmark")
    if not name:
        raise row.wrong("names no landmark", "fill the landmark column")
    x_px, y_px = row.number("x_px"), row.number("y_px")
    if (x_px is None) != (y_px is None):
        raise row.wrong(
            f"{'x_px' if x_px is None else 'y_px'} is empty",
            "give both coordinates, or none",
        )
    position_yx = None if x_px is None or y_px is None else (y_px, x_px)
    state = State.SKIPPED if position_yx is None else State.PLACED
    stated = row.text("state").lower()
    placeholder = position_yx in PLACEHOLDERS and stated != State.PLACED
    if placeholder:
        position_yx, state = None, State.SKIPPED
    if stated:
        if stated not in set(State):
            raise row.wrong(
                f"state is {stated!r}", f"use one of {', '.join(sorted(State))}"
            )
        state = State(stated)
    if (state is State.PLACED) != (position_yx is not None):
        raise row.wrong(
            f"landmark {name!r} is {state} but has "
            f"{'no' if position_yx is None else 'a'} position",
            "correct the state or the position",
        )
    score = row.number("score")
    if score is not None and not 0 <= score <= 1:
        raise row.wrong(f"score is {score:g}", "a score lies between 0 and 1")
    unsure = row.text("unsure").lower()
    if unsure not in _TRUE + _FALSE:
        raise row.wrong(f"unsure is {unsure!r}", "use true, or leave it empty")
    source = _SOURCES.get(row.text("source").lower())
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


def _sniff(path: Path) -> bool:
    return set(REQUIRED) <= titles_of(head_of(path))


CSV_TABLE = LandmarkFormat(".csv", "Table", read_csv, write_csv, _sniff)
