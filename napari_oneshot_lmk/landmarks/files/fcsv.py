"""3D Slicer's legacy point lists, ``.fcsv``: read only.

Comma-separated lines under comment lines that name version, coordinate system (RAS where
none is named; a number up to Slicer 4.10) and columns, see the module Markups of Slicer's
developer guide. A column that no comment names says since Slicer 4.13 whether a point has
been placed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat, ReadContext
from napari_oneshot_lmk.landmarks.files.mrk_json import plane_in_slicer, project_to_image
from napari_oneshot_lmk.landmarks.files.text_file import at_line, head_of, parse_number, read_text
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

SUFFIX = ".fcsv"
# Numbers are of vtkMRMLMarkupsStorageNode in Slicer up to 4.10.
_NUMBERS = {"0": "RAS", "1": "LPS", "2": "IJK"}
_COLUMNS = (
    *("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock"),
    *("label", "desc", "associatednodeid"),
)
# What stands behind the named columns since Slicer 4.13: vtkMRMLMarkupsNode's status.
_DEFINED = ("2", "defined")
_NOT_DEFINED = ("0", "1", "3", "undefined", "preview", "missing")
# A point clicked on a slice has that slice's number up to rounding.
_SAME_SLICE = 0.5


@dataclass(frozen=True)
class _Row:
    """One point as it stands in a line of the file; no position where nobody has placed it."""

    line: int
    label: str
    description: str
    position: tuple[float, float, float] | None


def read_fcsv(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read one point list in RAS, LPS or IJK."""
    image = path.name[: -len(SUFFIX)]
    system, columns = "RAS", list(_COLUMNS)
    rows: list[_Row] = []
    for number, line in enumerate(read_text(path, tell=context.tell).splitlines(), 1):
        with at_line(number):
            if line.startswith("#"):
                key, _, value = line.lstrip("# ").partition("=")
                if (key := key.strip().lower()) == "coordinatesystem":
                    system = _system(value.strip())
                elif key == "columns":
                    columns = _columns(value)
            elif line.strip():
                rows.append(_row(number, line, columns))
    if not rows:
        raise LandmarkError("holds no points", remedy="save it again")
    plane = None
    placed = [row.position for row in rows if row.position is not None]
    signs = (1, 1, 1) if system == "LPS" else (-1, -1, 1)
    if system != "IJK" and placed:
        plane = plane_in_slicer(image, np.array(placed) * signs, context)
    points = []
    for row in rows:
        with at_line(row.line):
            points.append(_point(row, signs, plane))
    return (Landmarks(tuple(points), image, context.geometry_of(image)),)


def _system(text: str) -> str:
    system = _NUMBERS.get(text, text.upper())
    if system not in _NUMBERS.values():
        raise LandmarkError(f"the coordinate system is {text!r}", remedy="save it in RAS or LPS")
    return system


def _columns(text: str) -> list[str]:
    columns = [column.strip().lower() for column in text.split(",")]
    missing = [name for name in ("x", "y", "z", "label") if name not in columns]
    twice = next((name for name in columns if columns.count(name) > 1), "")
    if twice:
        raise LandmarkError(f"there are two columns {twice}", remedy="remove one of the two")
    if missing:
        raise LandmarkError(f"there is no column {', '.join(missing)}", remedy="save it again")
    return columns


def _row(number: int, line: str, columns: Sequence[str]) -> _Row:
    again = "save the file again"
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        raise LandmarkError(f"is not a line of a table ({error})", remedy=again) from error
    cells = dict(zip(columns, fields, strict=False))
    label = cells.get("label", "").strip()
    if not label:
        raise LandmarkError("the point has no label", remedy="name it in Slicer")
    description = cells.get("desc", "").strip()
    status = cells.get("positionstatus")
    if status is None and (columns[-1] == _COLUMNS[-1] or "positionstatus" in columns):
        # The column that no comment names.
        status = next(iter(fields[len(columns) :]), "")
    status = (status or "").strip()
    if status.lower() not in ("", *_DEFINED, *_NOT_DEFINED):
        raise LandmarkError(f"the position status of {label!r} is {status!r}", remedy=again)
    if status.lower() in _NOT_DEFINED:
        return _Row(number, label, description, None)
    x, y, z = (parse_number(cells.get(axis, "").strip()) for axis in "xyz")
    if math.isnan(x + y + z):
        raise LandmarkError(f"the position of {label!r} is not three numbers", remedy="correct it")
    return _Row(number, label, description, (x, y, z))


def _point(row: _Row, signs: Sequence[int], plane: Geometry | None) -> Landmark:
    if row.position is None:
        return Landmark(row.label, None, State.SKIPPED, description=row.description)
    x, y, z = row.position
    position_yx = (y, x)
    if plane is not None:
        lps_mm = (signs[0] * x, signs[1] * y, signs[2] * z)
        position_yx = project_to_image(row.label, lps_mm, plane)
    elif abs(z) > _SAME_SLICE:
        what = f"{row.label!r} lies on slice {z:g}, not on the first"
        raise LandmarkError(what, remedy="check that the file belongs to this image")
    return Landmark(row.label, position_yx, description=row.description)


def _recognise(path: Path) -> bool:
    head = head_of(path).lower()
    return head.startswith("#") and ("fiducial" in head or "# columns" in head)


FCSV = LandmarkFormat(
    "3D Slicer fiducials",
    SUFFIX,
    _recognise,
    read_fcsv,
    None,
    instead="write .mrk.json, which every Slicer since 4.11 opens",
    one_image=True,
    patient_mm=True,
)
