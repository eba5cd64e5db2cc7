"""Runs methods over the test images of a data folder; errors, tables and plots of each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.benchmark.machine import describe, markdown_machine
from napari_oneshot_lmk.benchmark.methods import Locator, Options, find_method
from napari_oneshot_lmk.benchmark.trained import TrainedMethod, TrainingStats
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.evaluation.metrics import sdr_keys
from napari_oneshot_lmk.evaluation.plots import draw_cumulative_error
from napari_oneshot_lmk.evaluation.report import Report, evaluate
from napari_oneshot_lmk.evaluation.write_report import accuracy_row, write_report_files, write_rows
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template

SCORINGS = ("native", "grid384")
WITHOUT = "_without_duplicates"


@dataclass(frozen=True)
class MethodResult:
    """What one method found, and its errors."""

    method: str
    found: tuple[Landmarks, ...]
    """One entry per test image that could be read."""
    failed: tuple[OneshotError, ...]
    """One per image that could not."""
    report: Report
    """On all test images that could be read."""
    report_without_duplicates: Report | None
    """Without test images that show the same radiograph as a training image; None
    where there are none."""
    seconds: float
    """Median per image, reading included."""
    training: TrainingStats | None = None
    """Of a method that was trained first."""

    @property
    def encoder(self) -> str:
        """Identities of the encoders, empty where the method has none."""
        return ", ".join(self.report.provenance.get("encoders", []))

    def summary(self) -> dict[str, Any]:
        """Return the content of the method's ``summary.json``."""
        summary = self.report.summary() | {
            "method": self.method,
            "encoder": self.encoder,
            "failed": [str(error) for error in self.failed],
            "seconds_per_image": self.seconds,
        }
        if self.training is not None:
            summary["training"] = asdict(self.training)
        if self.report_without_duplicates is not None:
            summary["without_duplicates"] = self.report_without_duplicates.summary()
        return summary

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row of ``table.csv`` for each scoring."""
        training = self.training
        for suffix, report in (("", self.report), (WITHOUT, self.report_without_duplicates)):
            for name in SCORINGS:
                scoring = report.scoring(name) if report else None
                if report is None or scoring is None:
                    continue
                yield {
                    "method": self.method,
                    "scoring": name + suffix,
                    "encoder": self.encoder,
                    "images": len(report.table.images),
                    **accuracy_row(scoring.overall, scoring.overall_ci95),
                    "failed_images": len(self.failed),
                    "seconds_per_image": self.seconds,
                    "training_seconds": training.seconds if training else "",
                    "parameters": training.parameters if training else "",
                    "peak_memory_mb": training.peak_memory_mb if training else "",
                }


def run_method(
    dataset: Dataset,
    template: Template,
    method: str,
    options: Options,
    *,
    seed: int = 0,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> MethodResult:
    """Run one method over the test images and evaluate what it finds.

    ``template`` is `Dataset.template`, ``method`` a name in `METHODS`, ``seed`` that of the
    bootstrap. ``on_image`` is called with (images done, images in all). A OneshotError says
    if the method cannot start, or no image could be read.
    """
    locate = find_method(method)(template, options)
    result = evaluate_locator(dataset, method, locate, seed=seed, on_image=on_image)
    return replace(result, training=locate.stats) if isinstance(locate, TrainedMethod) else result


def evaluate_locator(
    dataset: Dataset,
    method: str,
    locate: Locator,
    *,
    seed: int = 0,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> MethodResult:
    """Find the landmarks of all test images, then compare them with the truth.

    ``method`` is the name of the result; the other parameters and errors are those of
    `run_method`.
    """
    found: list[Landmarks] = []
    failed: list[OneshotError] = []
    seconds: list[float] = []
    on_image(0, len(dataset.test))
    for done, name in enumerate(dataset.test, start=1):
        started = time.perf_counter()
        try:
            found.append(_locate(dataset, name, locate))
        except OneshotError as error:
            failed.append(error.about(name))
        else:
            seconds.append(time.perf_counter() - started)
        on_image(done, len(dataset.test))
    if not found:
        raise failed[0]
    report = evaluate(found, dataset.test_truth, seed=seed)
    scored = set(report.table.images)
    twins = [name for name in dataset.duplicates if name in scored]
    without = report.without(twins) if twins and len(twins) < len(scored) else None
    sets = tuple(found), tuple(failed)
    return MethodResult(method, *sets, report, without, median(seconds))


def table_rows(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """Return the rows of ``table.csv``: one per method and scoring."""
    return [row for result in results for row in result.rows()]


def _locate(dataset: Dataset, name: str, locate: Locator) -> Landmarks:
    from napari_oneshot_lmk.imaging.reader import read_image

    image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
    # In the table an image is named with its folder where names repeat.
    return replace(locate(replace(image, name=name)), image=name)


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
    """Write ``table.csv``, ``table.md`` and ``cumulative_error.png`` of a benchmark's folder.

    ``command`` is the one that repeats it, ``seed`` that of the bootstrap.
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
    of_twins = (
        f"{len(dataset.duplicates)} test images show the same radiograph as a training image; "
        "rows *without duplicates* leave them out."
    )
    titles = [
        *("method", "encoder", "scoring", "images", "MRE ± SD mm", "median mm"),
        *(f"SDR {key} mm %" for key in sdr_keys()),
        *("s / image", "training min", "trained parameters", "peak memory MB"),
    ]
    lines = [
        f"# {dataset.name}",
        "",
        f"{len(dataset.test)} test images, template `{dataset.template_image}`, "
        f"{len(dataset.truth[dataset.template_image])} landmarks.",
        *([of_twins] if dataset.duplicates else []),
        "",
        f"| {' | '.join(titles)} |",
        "|" + "---|" * len(titles),
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
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


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [
        row["method"],
        row["encoder"] or "none",
        row["scoring"].replace("_", " "),
        str(row["images"]),
        f"{_interval(row, 'mre_mm', 2)} ± {row['sd_mm']:.2f}" if row["n"] else "none",
        _interval(row, "median_mm", 2),
        *(_interval(row, f"sdr_{key}", 1) for key in sdr_keys()),
        f"{row['seconds_per_image']:.2f}",
    ]
    if row["training_seconds"] == "":
        return [*cells, "none", "0", ""]
    minutes = row["training_seconds"] / 60
    millions = row["parameters"] / 1e6
    return [*cells, f"{minutes:.1f}", f"{millions:.2f} M", f"{row['peak_memory_mb']:.0f}"]


def _interval(row: dict[str, Any], name: str, digits: int) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value == "":
        return "none"
    interval = "" if low == "" else f" ({low:.{digits}f}–{high:.{digits}f})"
    return f"{value:.{digits}f}{interval}"
