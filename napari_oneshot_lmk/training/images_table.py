"""The list of a run's images: ``images.csv``, to read and to compare."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.images import TrainingImage

COLUMNS = (
    *("image", "path", "sha256", "rows", "columns"),
    *("row_spacing_mm", "column_spacing_mm"),
)


def write_images(path: Path, images: Iterable[TrainingImage]) -> None:
    """Write the images of a run.

    Raises
    ------
    OutputError
        If it exists or cannot be written.
    """
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(COLUMNS)
        for image in images:
            # Written in full: an image is to be found again to the last digit.
            spacing = map(repr, image.spacing_mm_yx or ())
            table.writerow(
                [image.name, image.path, image.sha256, *image.shape_yx, *spacing]
                + ([""] * 2 if image.spacing_mm_yx is None else [])
            )


def read_images(path: Path) -> tuple[TrainingImage, ...]:
    """Read what `write_images` wrote.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_image(row) for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the list of the run's images is damaged ({error})",
            file=path,
            remedy="begin anew with --overwrite",
        ) from error


def _image(row: dict[str, str]) -> TrainingImage:
    rows, columns = row["row_spacing_mm"], row["column_spacing_mm"]
    return TrainingImage(
        name=row["image"],
        path=Path(row["path"]),
        sha256=row["sha256"],
        shape_yx=(int(row["rows"]), int(row["columns"])),
        spacing_mm_yx=(float(rows), float(columns)) if rows else None,
    )
