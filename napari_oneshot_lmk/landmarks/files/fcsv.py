"""3D Slicer's older point lists, ``.fcsv``: read only.

Lines of commas under comment lines that name version, coordinate system and
columns (Slicer's developer guide, module Markups, and for files of Slicer 3 and
4.0 to 4.10 what those wrote: a number instead of a name for the system). Where
none is named it is RAS. Slicer itself calls the format a legacy.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError, OneshotError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.patient_points import (
    on_image,
    with_millimetres,
)
from napari_oneshot_lmk.landmarks.files.text_file import head_of, read_text
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks

SUFFIX = ".fcsv"
# Numbers are of vtkMRMLMarkupsStorageNode in Slicer up to 4.10.
_NUMBERS = {"0": "RAS", "1": "LPS", "2": "IJK"}
_COLUMNS = (
    *("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock"),
    *("label", "desc", "associatednodeid"),
)
# A point clicked on a slice has that slice's number up to rounding.
_SAME_SLICE = 0.5


def read_fcsv(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read one point list in RAS, LPS or IJK.

    Raises
    ------
    LandmarkError
        Naming the line, if it is no such file, or its points cannot be brought
        onto the image.
    SpacingUnknownError
        If it holds millimetres and the spacing of the image is unknown.
    """
    image = path.name[: -len(SUFFIX)]
    geometry = known.geometry_of(image)
    system, columns = "RAS", list(_COLUMNS)
    points: list[Landmark] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            if line.startswith("#"):
                key, _, value = line.lstrip("# ").partition("=")
                if key.strip().lower() == "coordinatesystem":
                    system = _system(value.strip())
                elif key.strip().lower() == "columns":
                    columns = _columns(value)
            elif line.strip():
                points.append(_point(line, columns, system, geometry))
        except OneshotError as error:
            raise type(error)(
                f"line {number}: {error.what}", file=path, remedy=error.remedy
            ) from error
    if not points:
        raise LandmarkError("holds no points", file=path, remedy="save it again")
    return (Landmarks(tuple(points), image, geometry),)


def _system(text: str) -> str:
    system = _NUMBERS.get(text, text.upper())
    if system not in _NUMBERS.values():
        raise LandmarkError(
            f"the coordinate system is {text!r}", remedy="save it in RAS or LPS"
        )
    return system


def _columns(text: str) -> list[str]:
    columns = [column.strip().lower() for column in text.split(",")]
    missing = [name for name in ("x", "y", "z", "label") if name not in columns]
    if missing:
        raise LandmarkError(
            f"there is no column {', '.join(missing)}", remedy="save it again"
        )
    return columns


def _point(
    line: str, columns: Sequence[str], system: str, geometry: Geometry | None
) -> Landmark:
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        raise LandmarkError(
            f"is not a line of a table ({error})", remedy="save the file again"
        ) from error
    cells = dict(zip(columns, fields, strict=False))
    label = cells.get("label", "").strip()
    if not label:
        raise LandmarkError("the point has no label", remedy="name it in Slicer")
    position = [_number(cells.get(axis, "")) for axis in "xyz"]
    if any(math.isnan(value) for value in position):
        raise LandmarkError(
            f"the position of {label!r} is not three numbers", remedy="correct it"
        )
    description = cells.get("desc", "").strip()
    x, y, z = position
    if system == "IJK":
        if abs(z) > _SAME_SLICE:
            raise LandmarkError(
                f"{label!r} lies on slice {z:g}, not on the first",
                remedy="check that the file belongs to this image",
            )
        return Landmark(label, (y, x), description=description)
    lps_mm = (x, y, z) if system == "LPS" else (-x, -y, z)
    position_yx = on_image(label, lps_mm, with_millimetres(geometry))
    return Landmark(label, position_yx, description=description)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _sniff(path: Path) -> bool:
    head = head_of(path).lower()
    return head.startswith("#") and ("fiducial" in head or "# columns" in head)


FCSV = LandmarkFormat(
    SUFFIX,
    "3D Slicer fiducials",
    read_fcsv,
    None,
    _sniff,
    instead="write .mrk.json, which every Slicer since 4.11 opens",
    one_image=True,
)
