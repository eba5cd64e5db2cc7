"""A row in its file: what every row says, whoever made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.machine import describe
from napari_oneshot_lmk.benchmark.run import SCORINGS, MethodResult
from napari_oneshot_lmk.storage.atomic import atomic_write

ROW_FILE = "row.json"


def kept_row(place: Path) -> dict[str, Any] | None:
    """Return the row in a folder, None where there is none."""
    path = place / ROW_FILE
    if not path.is_file():
        return None
    row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return row


def write_row(place: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Write a row into its folder, and return it."""
    write_json(place / ROW_FILE, row)
    return row


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is complete or not there."""
    with atomic_write(path, overwrite=True) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def accuracy_of(result: MethodResult) -> dict[str, Any]:
    """Return what a row says of a method's errors, on all test images."""
    scored = {
        key: scoring.overall.as_dict()
        for key in SCORINGS
        if (scoring := result.report.scoring(key)) is not None
    }
    seconds = result.seconds
    images = len(result.found)
    return {
        "images": images,
        "accuracy": scored,
        "seconds_per_image": seconds,
        "machine": describe(),
    }
