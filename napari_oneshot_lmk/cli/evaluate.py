"""``oneshot-lmk evaluate``: how far found landmarks lie from the true ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from napari_oneshot_lmk.cli.console import (
    print_info,
    print_json,
    print_line,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Overwrite,
    Seed,
    SpacingText,
    option,
    spacing_from,
)
from napari_oneshot_lmk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_oneshot_lmk.evaluation.metrics import Accuracy, Intervals
    from napari_oneshot_lmk.evaluation.report import Report
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

MOST_NAMES_SHOWN = 5
SCORING_TITLES = {"native": "native resolution", "grid384": "384 grid (published)"}


@handle_errors
def evaluate_files(
    predicted: Annotated[Path, option("FILE", "Found landmarks.")],
    truth: Annotated[Path, option("FILE", "True landmarks.")],
    spacing: SpacingText = None,
    out: Annotated[Path | None, option("DIR", "Folder for summary, tables and plots.")] = None,
    pixels: Annotated[
        bool, option(None, "Errors in pixels, for images whose spacing nobody knows.")
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Compare found landmarks with true ones, in millimetres.

    Images are matched by name, then by name without folder and ending.
    """
    from napari_oneshot_lmk.evaluation.report import evaluate
    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.storage.atomic import check_writable

    spacing_mm_yx = spacing_from(spacing)
    if out is not None:
        check_writable(out, overwrite=overwrite)
    found, true = (read_landmarks(path, tell=print_warning) for path in (predicted, truth))
    if pixels:
        if spacing_mm_yx is not None:
            raise UsageError("--pixels needs no --spacing", remedy="leave out one of the two")
        _evaluate_pixels(found, true, out, overwrite, as_json)
        return
    report = evaluate(found, true, spacing_mm_yx=spacing_mm_yx, seed=seed)
    if out is not None:
        from napari_oneshot_lmk.evaluation.write_report import write_report

        write_report(report, out, overwrite=overwrite)
    sources = Counter(str(p.source) for la in found for p in la if p.source)
    if as_json:
        print_json({**report.summary(), "predicted_sources": sources})
    else:
        print_report(report)
        manual = sum(p.is_position_of_person for landmarks in found for p in landmarks)
        if manual:
            print_line(f"Predicted landmarks of a person, not of a detector: {manual}")
    if out is not None:
        print_info(f"Written to {out}")


def _evaluate_pixels(
    found: Sequence[Landmarks],
    true: Sequence[Landmarks],
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Print errors in pixels, and write the tables of them."""
    from napari_oneshot_lmk.evaluation.comparison import RADII, compare, landmark_rows, point_rows
    from napari_oneshot_lmk.storage.atomic import atomic_write

    comparison = compare(found, true, pixels=True)
    table = landmark_rows(comparison)
    if as_json:
        print_json(table.astype(object).where(table.notna(), None).to_dict("records"))
    else:
        rows = [
            [str(name), str(n), *("–" if v != v else f"{v:.2f}" for v in values)]
            for name, n, *values in table.itertuples(index=False)
        ]
        columns = ["", "n", "MRE px", "SD px", "median px"]
        columns += [f"< {radius:g} px %" for radius in RADII]
        count = len(comparison.images)
        print_table(f"Errors, {count} image{'s' if count != 1 else ''}", columns, rows)
    if out is not None:
        with atomic_write(out, overwrite=overwrite, folder=True) as unfinished:
            table.to_csv(unfinished / "per_landmark.csv", index=False, float_format="%.6g")
            points = point_rows(comparison)
            points.to_csv(unfinished / "errors.csv", index=False, float_format="%.9g")
        print_info(f"Written to {out}")


def print_report(report: Report, *, title: str = "Errors", each: bool = True) -> None:
    """Print the tables of a report, and what could not be matched.

    ``title`` stands above the first table; ``each`` adds one with a row per landmark.
    """
    from napari_oneshot_lmk.evaluation.metrics import sdr_keys

    columns = ["", "n", "MRE ± SD mm", "median mm", *(f"< {k} mm %" for k in sdr_keys())]
    rows = []
    for name, words in SCORING_TITLES.items():
        scoring = report.scoring(name)
        if scoring is not None:
            rows += [_cells(words, scoring.overall), _interval_cells(scoring.overall_ci95)]
    count = len(report.table.images)
    print_table(f"{title}, {count} image{'s' if count != 1 else ''}", columns, rows)
    if each and len(report.table.landmarks) > 1:
        rows = [_cells(name, part) for name, part in report.native.per_landmark.items()]
        print_table("Each landmark, native resolution", columns, rows)
    for line in _remarks(report):
        print_line(line)
    if report.grid384_reason:
        print_warning(f"No score on the 384 grid: {report.grid384_reason}.")


def _remarks(report: Report) -> list[str]:
    """Say what was not scored, and where the spacing came from."""
    from napari_oneshot_lmk.evaluation.error_table import Outcome, SpacingSource

    words = {
        Outcome.MISSED: "not found",
        Outcome.FALSE_ABSENT: "said to be absent although there",
        Outcome.FALSE_FOUND: "found although absent",
        Outcome.NOT_ANNOTATED: "without a true position",
    }
    counted = [f"{report.table.count(o)} {w}" for o, w in words.items() if report.table.count(o)]
    lines = [f"Not scored: {', '.join(counted)}"] if counted else []
    titles = {
        "predicted": "Images without truth",
        "truth": "Images without predictions",
        "predicted_landmarks": "Landmarks without truth",
        "truth_landmarks": "Landmarks without predictions",
    }
    for key, words_for_key in titles.items():
        names = report.unmatched.get(key, [])
        if names:
            shown = ", ".join(names[:MOST_NAMES_SHOWN])
            more = ", …" if len(names) > MOST_NAMES_SHOWN else ""
            lines.append(f"{words_for_key} ({len(names)}): {shown}{more}")
    whose = {
        SpacingSource.GIVEN: "given with --spacing",
        SpacingSource.TRUTH: "that the file of true landmarks states",
        SpacingSource.PREDICTED: "that the file of predicted landmarks states",
    }
    sources = " or ".join(whose[source] for source in sorted(report.table.spacing_sources))
    lines.append(f"Millimetres are of the pixel spacing {sources}.")
    return lines


def _cells(first: str, part: Accuracy) -> list[str]:
    if part.n == 0:
        return [first, "0", *["–"] * (2 + len(part.sdr_percent))]
    return [
        first,
        str(part.n),
        f"{part.mre_mm:.2f} ± {part.sd_mm:.2f}",
        f"{part.median_mm:.2f}",
        *(f"{share:.1f}" for share in part.sdr_percent),
    ]


def _interval_cells(ci95: Intervals) -> list[str]:
    pairs = [(ci95.mre_mm, 2), (ci95.median_mm, 2), *((p, 1) for p in ci95.sdr_percent)]
    shown = ["–" if low != low else f"{low:.{d}f}–{high:.{d}f}" for (low, high), d in pairs]
    return ["  95 % interval", "", *shown]
