"""Writes a report as a folder: summary, tables, plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.evaluation.error_table import ErrorTable, Outcome
from napari_oneshot_lmk.evaluation.metrics import Accuracy, Intervals, sdr_keys
from napari_oneshot_lmk.evaluation.report import Report
from napari_oneshot_lmk.storage.atomic import atomic_write


def write_report(report: Report, folder: Path, *, overwrite: bool = False) -> None:
    """Write a report as a folder: ``summary.json``, ``errors.csv``, two plots and more.

    An OutputError says if the folder exists (without ``overwrite``) or cannot be written.
    """
    with atomic_write(folder, overwrite=overwrite, folder=True) as unfinished:
        write_report_files(report, unfinished)


def write_report_files(report: Report, folder: Path) -> None:
    """Write the files of `write_report` into a folder that exists."""
    from napari_oneshot_lmk.evaluation.plots import draw_cumulative_error, draw_per_landmark

    text = json.dumps(report.summary(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    write_rows(folder / "errors.csv", _error_rows(report.table))
    write_rows(folder / "per_landmark.csv", _landmark_rows(report))
    draw_cumulative_error({"": report}, folder / "cumulative_error.png")
    draw_per_landmark(report, folder / "per_landmark.png")


def accuracy_row(part: Accuracy, ci95: Intervals) -> dict[str, Any]:
    """Return one flat row of a table; columns are the same for every table."""
    keys = sdr_keys()
    row: dict[str, Any] = {k: getattr(part, k) for k in ("n", "mre_mm", "sd_mm", "median_mm")}
    row |= {f"sdr_{k}": v for k, v in zip(keys, part.sdr_percent, strict=True)}
    for name in ("mre_mm", "median_mm"):
        row[f"{name}_low"], row[f"{name}_high"] = getattr(ci95, name)
    for key, (low, high) in zip(keys, ci95.sdr_percent, strict=True):
        row[f"sdr_{key}_low"], row[f"sdr_{key}_high"] = low, high
    return {k: "" if v != v else v for k, v in row.items()}  # NaN becomes empty


def _error_rows(table: ErrorTable) -> list[dict[str, Any]]:
    nowhere = (None, None)
    return [
        {
            "image": point.image,
            "landmark": point.landmark,
            "outcome": str(point.outcome),
            "native_mm": point.native_mm,
            "grid384_mm": point.grid384_mm,
            "found_x_px": (point.found_yx or nowhere)[1],
            "found_y_px": (point.found_yx or nowhere)[0],
            "true_x_px": (point.true_yx or nowhere)[1],
            "true_y_px": (point.true_yx or nowhere)[0],
            "score": point.score,
            "unsure": int(point.unsure),
            "radius_90_mm": point.radius_90_mm,
        }
        for point in table.points
    ]


def _landmark_rows(report: Report) -> list[dict[str, Any]]:
    counted = (Outcome.MISSED, Outcome.FALSE_ABSENT, Outcome.FALSE_FOUND)
    return [
        {"landmark": landmark, "scoring": name}
        | accuracy_row(scoring.per_landmark[landmark], scoring.per_landmark_ci95[landmark])
        | {str(o): report.table.count(o, landmark) for o in counted}
        for name in ("native", "grid384")
        if (scoring := report.scoring(name)) is not None
        for landmark in report.table.landmarks
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write dictionaries with the same keys as a CSV; None becomes empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
