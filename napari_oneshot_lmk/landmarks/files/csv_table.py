"""Landmarks as a table: one row for each landmark of each image.

x counts columns and y rows, both from the centre of the first pixel; the mm
columns are the same distances in millimetres, empty where the spacing is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.csv_image import MANUAL, PROVENANCE, SOURCES, CsvImage
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.table_geometry import (
    GEOMETRY_COLUMNS,
    SIZE_COLUMNS,
    geometry_to_cells,
)
from napari_oneshot_lmk.landmarks.files.table_rows import table_rows, titles_of
from napari_oneshot_lmk.landmarks.files.text_file import head_of
from napari_oneshot_lmk.landmarks.image_names import image_key
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, Provenance

REQUIRED = ("image", "landmark", "x_px", "y_px")
"""Columns without which a table cannot be read."""
ALWAYS = (*REQUIRED, "x_mm", "y_mm", "score", "state")
"""Columns that are always written."""
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


# -- writing ------------------------------------------------------------------


def write_csv(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
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
            file, [*ALWAYS, *filled], restval="", lineterminator="\n", extrasaction="ignore"
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
        cells["method"] = MANUAL
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
    images: dict[str, CsvImage] = {}
    placeholders, sources, strange = 0, False, None
    once = (*ALWAYS, *WHERE_FILLED)
    for row in table_rows(path, REQUIRED, once=once, tell=known.tell):
        name = row.text("image")
        image = images.setdefault(image_key(name), CsvImage(name))
        placeholders += image.add(row)
        source = row.text("source").lower()
        sources = sources or source in SOURCES
        if source and source not in SOURCES and strange is None:
            strange = row
    if not images:
        raise LandmarkError("holds no landmarks", file=path, remedy="add a row for each landmark")
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
            f"use one of {', '.join(SOURCES)}, or leave it empty",
        )
    if placeholders:
        known.tell(
            f"{path}: {placeholders} landmark{'s' if placeholders > 1 else ''} at -1 "
            "or -9999 in both directions are taken for not placed"
        )
    return tuple(image.landmarks(known) for image in images.values())


def _sniff(path: Path) -> bool:
    return set(REQUIRED) <= titles_of(head_of(path))


CSV_TABLE = LandmarkFormat(".csv", "Table", read_csv, write_csv, _sniff)
