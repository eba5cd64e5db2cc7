"""Landmark files of the random-action test, written and read with plain csv."""

import csv
from itertools import groupby
from pathlib import Path

from random_dock import Points, point

FOUND = {
    "a": ("placed", 40.5, 30.25, 0.75),
    "b": ("placed", 20.0, 61.0, 0.5),
    "c": ("absent", None, None, None),
    "e": ("skipped", None, None, None),
}


def rows_of_file(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Rows of a table, together where they are about one image."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images: list[tuple[str, list[dict[str, str]]]] = []
    for name, group in groupby(rows, lambda row: row["image"]):
        of_image: list[dict[str, str]] = []
        for row in group:
            if any(row["landmark"] == other["landmark"] for other in of_image):
                # Another image of the same name begins.
                images.append((name, of_image))
                of_image = []
            of_image.append(row)
        images.append((name, of_image))
    return images


def as_read(rows: list[dict[str, str]]) -> Points:
    """Return what a table says, a score standing for a detection where it must."""
    points = {}
    for row in rows:
        score = float(row["score"]) if row["score"] else None
        yx = (float(row["y_px"]), float(row["x_px"])) if row["y_px"] else None
        source = row.get("source") or None
        if source is None and yx is not None:
            source = "placed" if score is None else "detected"
        points[row["landmark"]] = point(row["state"], yx, source, score)
    return points


def write_found(path: Path, image: str, shape: tuple[int, int], with_scores: bool) -> Points:
    """Write landmarks of one image, as a detection or as a person's."""
    columns = ["image", "landmark", "x_px", "y_px", "score", "state"]
    rows = []
    for name, (state, y, x, score) in FOUND.items():
        kept = score if with_scores else None
        cells = ("" if value is None else value for value in (x, y, kept))
        rows.append(dict(zip(columns, [image, name, *cells, state], strict=True)) | _size(shape))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *_size(shape)])
        writer.writeheader()
        writer.writerows(rows)
    ((_, read),) = rows_of_file(path)
    return as_read(read)


def _size(shape: tuple[int, int]) -> dict[str, int]:
    return {"height_px": shape[0], "width_px": shape[1]}
