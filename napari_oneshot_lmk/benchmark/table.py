"""Writes the results of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.machine import describe, markdown_machine
from napari_oneshot_lmk.benchmark.run import MethodResult, table_rows
from napari_oneshot_lmk.evaluation.metrics import sdr_keys
from napari_oneshot_lmk.evaluation.plots import draw_cumulative_error
from napari_oneshot_lmk.evaluation.write_report import write_report_files, write_rows
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write


def write_method(result: MethodResult, folder: Path, *, overwrite: bool) -> None:
    """Write ``found.csv`` and the report of one method into its own folder."""
    with atomic_write(folder, overwrite=overwrite, folder=True) as unfinished:
        write_landmarks(unfinished / "found.csv", result.found)
        write_report_files(result.report, unfinished)
        text = json.dumps(result.summary(), indent=1, ensure_ascii=False)
        (unfinished / "summary.json").write_text(text + "\n", encoding="utf-8")


def write_table(
    results: Sequence[MethodResult],
    dataset: Dataset,
    folder: Path,
    *,
    command: str,
    seed: int,
    overwrite: bool,
) -> None:
    """Write ``table.csv``, ``table.md`` and ``cumulative_error.png``.

    Parameters
    ----------
    results : sequence of MethodResult
        One or more.
    dataset : Dataset
        What they were run on.
    folder : Path
        Of the benchmark; it holds the methods' folders.
    command : str
        That repeats the benchmark.
    seed : int
        Of the bootstrap.
    overwrite : bool
        Replace older files.
    """
    rows = table_rows(results)
    with atomic_write(folder / "table.csv", overwrite=overwrite) as unfinished:
        write_rows(unfinished, rows)
    with atomic_write(folder / "table.md", overwrite=overwrite) as unfinished:
        text = _page(rows, results, dataset, command, seed)
        unfinished.write_text(text, encoding="utf-8")
    with atomic_write(folder / "cumulative_error.png", overwrite=overwrite) as unfinished:
        reports = {result.method: result.report for result in results}
        draw_cumulative_error(reports, unfinished, title=dataset.name)


def _page(
    rows: Sequence[dict[str, Any]],
    results: Sequence[MethodResult],
    dataset: Dataset,
    command: str,
    seed: int,
) -> str:
    keys = sdr_keys()
    twins = len(dataset.duplicates)
    lines = [
        f"# {dataset.name}",
        "",
        f"{len(dataset.test)} test images, template `{dataset.template_image}`, "
        f"{len(dataset.truth[dataset.template_image])} landmarks.",
        *(
            [
                f"{twins} test images show the same radiograph as a training image; "
                "rows *without duplicates* leave them out."
            ]
            if twins
            else []
        ),
        "",
        "| method | encoder | scoring | images | MRE ± SD mm | median mm | "
        + " | ".join(f"SDR {key} mm %" for key in keys)
        + " | s / image | training min | trained parameters | peak memory MB |",
        "|" + "---|" * (10 + len(keys)),
    ]
    for row in rows:
        cells = [
            row["method"],
            row["encoder"] or "none",
            row["scoring"].replace("_", " "),
            str(row["images"]),
            f"{_interval(row, 'mre_mm', 2)} ± {row['sd_mm']:.2f}",
            _interval(row, "median_mm", 2),
            *(_interval(row, f"sdr_{key}", 1) for key in keys),
            f"{row['seconds_per_image']:.2f}",
            *_training_cells(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "In brackets: 95 % percentile bootstrap intervals over images "
        f"({results[0].report.replicates} resamples, seed {seed}). SDR counts errors "
        "strictly below the distance. *native* is the distance at the image's own "
        "resolution; *grid384* scores integer cells of the 384 x 384 grid as the "
        "published tables do, which reads lower at 2.5 mm.",
        "",
        f"Command: `{command}`",
        "",
        f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on",
        "",
        *markdown_machine(describe()),
    ]
    failed = [str(error) for result in results for error in result.failed]
    if failed:
        lines += ["", "Images that could not be used:", "", *(f"- {f}" for f in failed)]
    return "\n".join(lines) + "\n"


def _training_cells(row: dict[str, Any]) -> list[str]:
    if row["training_seconds"] == "":
        return ["none", "0", ""]
    minutes = row["training_seconds"] / 60
    millions = row["parameters"] / 1e6
    return [f"{minutes:.1f}", f"{millions:.2f} M", f"{row['peak_memory_mb']:.0f}"]


def _interval(row: dict[str, Any], name: str, digits: int) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value == "":
        return "none"
    shown = f"{value:.{digits}f}"
    if low == "":
        return shown
    return f"{shown} ({low:.{digits}f}–{high:.{digits}f})"
