"""Landmarks as a table: one row for each landmark of each image."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.landmark_format import LandmarkFormat
from napari_oneshot_lmk.landmarks.landmark import (
    Landmark,
    Landmarks,
    Provenance,
    State,
)

REQUIRED = ("image", "landmark", "x_px", "y_px")
ALWAYS = (*REQUIRED, "x_mm", "y_mm", "score", "state")
WHERE_USED = (
    "shape_residual_mm",
    "unsure",
    "description",
    "height_px",
    "width_px",
    "method",
    "encoder",
    "template",
    "author",
    "created",
    "spacing_mm_yx",
    "origin_lps_mm",
    "row_axis_lps",
    "column_axis_lps",
)
"""Columns that are written only where at least one row fills them."""

_PROVENANCE = ("method", "encoder", "template", "author", "created")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0", "")


# -- writing ------------------------------------------------------------------


def write_csv(path: Path, images: Sequence[Landmarks]) -> None:
    """Write a table; numbers are as short as they can be without loss."""
    rows = [row for landmarks in images for row in _rows(landmarks)]
    used = [name for name in WHERE_USED if any(row.get(name) for row in rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file,
            [*ALWAYS, *used],
            restval="",
            lineterminator="\n",
            extrasaction="ignore",
        )
        writer.writeheader()
        writer.writerows(rows)


def _rows(landmarks: Landmarks) -> Iterator[dict[str, str]]:
    of_image = {name: getattr(landmarks.provenance, name) for name in _PROVENANCE}
    of_image |= _geometry_cells(landmarks)
    for point in landmarks:
        row = {
            **of_image,
            "image": landmarks.image,
            "landmark": point.name,
            "state": str(point.state),
            "score": _text(point.score),
            "shape_residual_mm": _text(point.shape_residual_mm),
            "unsure": "true" if point.unsure else "",
            "description": point.description,
        }
        if point.position_yx is not None:
            row["y_px"], row["x_px"] = map(_text, point.position_yx)
            row["y_mm"], row["x_mm"] = _mm_cells(landmarks.geometry, point.position_yx)
        yield row


def _text(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _mm_cells(
    geometry: Geometry | None, position_yx: tuple[float, float]
) -> tuple[str, str]:
    if geometry is None or geometry.spacing_mm_yx is None:
        return "", ""
    y_mm, x_mm = geometry.points_to_mm([position_yx])[0]
    return _text(y_mm), _text(x_mm)


def _geometry_cells(landmarks: Landmarks) -> dict[str, str]:
    geometry = landmarks.geometry
    if geometry is None:
        return {}
    height, width = geometry.image_shape_yx
    cells = {"height_px": str(height), "width_px": str(width)}
    plain = Geometry(geometry.image_shape_yx)
    for name in ("origin_lps_mm", "row_axis_lps", "column_axis_lps"):
        if getattr(geometry, name) != getattr(plain, name):
            cells[name] = " ".join(map(_text, getattr(geometry, name)))
    if geometry.spacing_mm_yx is not None:
        points_yx = landmarks.positions_yx
        points_mm = geometry.points_to_mm(points_yx)
        # The two mm columns carry the spacing, unless all points are at zero.
        if _spacing(points_yx, points_mm) != geometry.spacing_mm_yx:
            cells["spacing_mm_yx"] = " ".join(map(_text, geometry.spacing_mm_yx))
    return cells


# -- reading ------------------------------------------------------------------


@dataclass
class _Image:
    """What the rows of one image have said so far."""

    points: list[Landmark] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    mm_yx: list[tuple[float, float]] = field(default_factory=list)
    cells: dict[str, str] = field(default_factory=dict)


def read_csv(path: Path, geometry: Geometry | None = None) -> tuple[Landmarks, ...]:
    """Read a table separated by commas, semicolons or tabs.

    Raises
    ------
    LandmarkError
        Naming the line, if the table cannot be understood.
    """
    images: dict[str, _Image] = {}
    for row in _table(path):
        image = images.setdefault(row.text("image"), _Image())
        point, mm_yx = _point(row)
        if point.name in image.lines:
            raise row.wrong(
                f"landmark {point.name!r} of image {row.text('image')!r} stands "
                f"already in line {image.lines[point.name]}",
                "remove one of the two",
            )
        image.lines[point.name] = row.line
        image.points.append(point)
        image.mm_yx.append(mm_yx)
        for name in (*_PROVENANCE, *WHERE_USED[3:5], *WHERE_USED[10:]):
            cell = row.text(name)
            if cell and image.cells.setdefault(name, cell) != cell:
                raise row.wrong(
                    f"{name} is {cell!r}, but {image.cells[name]!r} in an earlier "
                    "line of the same image",
                    "make them agree",
                )
    if not images:
        raise LandmarkError("holds no landmarks", remedy="add a row for each landmark")
    if "" in images and len(images) > 1:
        line = min(images[""].lines.values())
        raise LandmarkError(
            f"line {line} names no image", file=path, remedy="fill the image column"
        )
    return tuple(_landmarks(path, n, image, geometry) for n, image in images.items())


@dataclass(frozen=True)
class _Row:
    """One row of the table, with what is needed to complain about it."""

    path: Path
    line: int
    cells: dict[str, str]
    decimal_comma: bool

    def text(self, name: str) -> str:
        return self.cells.get(name, "").strip()

    def number(self, name: str) -> float | None:
        """Return a finite number, or None where the cell is empty."""
        cell = self.text(name)
        if not cell:
            return None
        plain = cell
        if self.decimal_comma and cell.count(",") == 1 and "." not in cell:
            plain = cell.replace(",", ".")
        # float() takes "nan", "inf" and "1_0" too, which are mistakes here.
        value = float(plain) if _NUMBER.fullmatch(plain) else float("nan")
        if not np.isfinite(value):
            raise self.wrong(f"{name} is {cell!r}, which is not a number", "correct it")
        return value

    def wrong(self, what: str, remedy: str) -> LandmarkError:
        return LandmarkError(f"line {self.line}: {what}", file=self.path, remedy=remedy)


def _table(path: Path) -> Iterator[_Row]:
    text = _decoded(path)
    separator = _separator(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for fields in reader:
            if not any(cell.strip() for cell in fields):
                pass
            elif not columns:
                columns = _columns(path, fields)
            else:
                cells = dict(zip(columns, fields, strict=False))
                row = _Row(path, line, cells, separator != ",")
                if len(fields) < len(columns) or any(fields[len(columns) :]):
                    hint = "put a dot, not a comma, in numbers"
                    raise row.wrong(
                        f"{len(fields)} fields where the first line has {len(columns)}",
                        hint if separator == "," else "complete or remove the line",
                    )
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        raise LandmarkError(
            f"line {line} is not a line of a table ({error})",
            file=path,
            remedy="save it again as CSV",
        ) from error


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LandmarkError(
            f"cannot be read ({error.strerror})", file=path, remedy="check the path"
        ) from error
    if not data.strip():
        raise LandmarkError("is empty", file=path, remedy="save the table again")
    # Excel's "Unicode text" is UTF-16; its "CSV UTF-8" begins with a mark.
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise LandmarkError(
            "is not UTF-8 text", file=path, remedy="save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        raise LandmarkError("is not a text file", file=path, remedy="save it as CSV")
    return text


def _separator(path: Path, text: str) -> str:
    """Find the separator by which the first line names the required columns."""
    header = next(line for line in text.splitlines() if line.strip())
    best: tuple[int, str] = (0, ",")
    for separator in ",;\t":
        names = {cell.strip(' "').lower() for cell in header.split(separator)}
        best = max(best, (len(names & set(REQUIRED)), separator), key=lambda b: b[0])
    if best[0] == 0 and all(name in header.lower() for name in REQUIRED):
        raise LandmarkError(
            "the columns are not separated by commas, semicolons or tabs",
            file=path,
            remedy="save it again as CSV",
        )
    return best[1]


def _columns(path: Path, fields: Sequence[str]) -> list[str]:
    columns = [name.strip().lower() for name in fields]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise LandmarkError(
            f"has no column {', '.join(missing)} in its first line",
            file=path,
            remedy=f"a landmark table needs {','.join(REQUIRED)}",
        )
    for name in (*ALWAYS, *WHERE_USED):
        if columns.count(name) > 1:
            raise LandmarkError(
                f"has two columns {name}", file=path, remedy="remove one of the two"
            )
    return columns


def _point(row: _Row) -> tuple[Landmark, tuple[float, float]]:
    """Return a landmark and what its mm columns say, NaN where nothing."""
    name = row.text("landmark")
    if not name:
        raise row.wrong("names no landmark", "fill the landmark column")
    x_px, y_px = row.number("x_px"), row.number("y_px")
    if (x_px is None) != (y_px is None):
        empty = "x_px" if x_px is None else "y_px"
        raise row.wrong(f"{empty} is empty", "give both coordinates, or none")
    position_yx = None if x_px is None or y_px is None else (y_px, x_px)
    written = row.text("state").lower()
    state = State.SKIPPED if position_yx is None else State.PLACED
    if written:
        if written not in set(State):
            raise row.wrong(
                f"state is {written!r}", f"use one of {', '.join(sorted(State))}"
            )
        state = State(written)
    if (state is State.PLACED) != (position_yx is not None):
        has = "no" if position_yx is None else "a"
        raise row.wrong(
            f"landmark {name!r} is {state} but has {has} position",
            "correct the state or the position",
        )
    score = row.number("score")
    if score is not None and not 0 <= score <= 1:
        raise row.wrong(f"score is {score:g}", "a score lies between 0 and 1")
    unsure = row.text("unsure").lower()
    if unsure not in _TRUE + _FALSE:
        raise row.wrong(f"unsure is {unsure!r}", "use true or leave it empty")
    mm_yx = [row.number(name) for name in ("y_mm", "x_mm")]
    point = Landmark(
        name,
        position_yx,
        state,
        score,
        unsure in _TRUE,
        row.number("shape_residual_mm"),
        row.cells.get("description", ""),
    )
    y_mm, x_mm = (np.nan if value is None else value for value in mm_yx)
    return point, (y_mm, x_mm)


def _landmarks(
    path: Path, name: str, image: _Image, given: Geometry | None
) -> Landmarks:
    cells = image.cells
    provenance = Provenance(**{key: cells.get(key, "") for key in _PROVENANCE})
    landmarks = Landmarks(tuple(image.points), name, given, provenance)
    if not ("height_px" in cells and "width_px" in cells):
        return landmarks
    try:
        shape_yx = (int(cells["height_px"]), int(cells["width_px"]))
        known = {
            key: tuple(float(v) for v in cells[key].split())
            for key in WHERE_USED[11:]
            if key in cells
        }
        geometry = Geometry(shape_yx, **known)  # type: ignore[arg-type]
    except ValueError as error:
        raise LandmarkError(
            f"the size or orientation of image {name!r} is not made of numbers",
            file=path,
        ) from error
    spacing = _spacing(landmarks.positions_yx, np.array(image.mm_yx))
    if "spacing_mm_yx" in cells:
        spacing = tuple(float(v) for v in cells["spacing_mm_yx"].split())
    return landmarks.with_geometry(geometry.with_spacing(spacing))


def _spacing(
    points_px: np.ndarray, points_mm: np.ndarray
) -> tuple[float, float] | None:
    """Return the (row, column) spacing that leads from pixels to mm, if one does."""
    spacing = []
    for axis in (0, 1):
        px, mm = points_px[:, axis], points_mm[:, axis]
        usable = np.isfinite(px) & np.isfinite(mm) & (px != 0)
        if not usable.any():
            return None
        px, mm = px[usable], mm[usable]
        ratio = float(px @ mm / (px @ px))
        # The shortest number that gives the same millimetres is what was meant.
        shortest = (float(f"{ratio:.{digits}g}") for digits in range(1, 18))
        exact = [value for value in shortest if np.array_equal(px * value, mm)]
        if exact:
            ratio = exact[0]
        elif not np.allclose(px * ratio, mm, rtol=1e-3, atol=0.01):
            return None
        spacing.append(ratio)
    return spacing[0], spacing[1]


CSV_TABLE = LandmarkFormat(".csv", "Landmark table", read_csv, write_csv)
