"""``oneshot-lmk morphometrics observers``: how far repeated digitisations differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import print_info, print_json, print_table, print_warning
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.image_lookup import NamedImages
from napari_oneshot_lmk.cli.landmark_input import landmark_files, read_files, read_project
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, SpacingText, option, spacing_from
from napari_oneshot_lmk.errors import OneshotError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from napari_oneshot_lmk.measure.morphometrics.observers import Agreement, Reading

SHOWN_NAMES = 5


@dataclass(frozen=True)
class _Source:
    """One reading as a user names it."""

    reader: str
    path: Path


@handle_errors
def compare_observers(
    readings: Annotated[
        list[str],
        typer.Argument(
            metavar="[READER=]FILE|FOLDER|PROJECT",
            help="Two or more digitisations of the same images; the same READER for one who "
            "repeated it.",
        ),
    ],
    chosen: Annotated[
        str,
        typer.Option(
            "--set", metavar="NAME|FILE", help="Which measurements are compared, too: a TOML file."
        ),
    ] = "lateral_cephalogram",
    images: Annotated[
        list[str] | None,
        option("FOLDER|GLOB", "Where the images are; for files that lack their size (TPS)."),
    ] = None,
    spacing: SpacingText = None,
    out: Annotated[Path | None, option("DIR", "Folder for the tables.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Report intra- and inter-observer error of repeated digitisation.

    Per landmark: mean distance and Dahlberg's error; per measurement: technical error and
    ICC(2,1). In millimetres where the spacing of all images is known, else in pixels.
    """
    from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
    from napari_oneshot_lmk.measure.morphometrics.observers import compare_readings
    from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

    spacing_mm_yx = spacing_from(spacing)
    if out is not None:
        check_writable(out, overwrite=overwrite)
    definitions = MeasurementSet.load(chosen)
    sources = [_source(text) for text in readings]
    beside = NamedImages(images or (), spacing_mm_yx if images else None, None)
    failed: list[OneshotError] = []
    read = _read(sources, beside, failed)
    found = {
        title: compare_readings(group, definitions.measurement, spacing_mm_yx)
        for title, group in _groups(sources, read).items()
    }
    if as_json:
        print_json({title: _content(each) for title, each in found.items()})
    else:
        for title, each in found.items():
            _print(title, each)
    if out is not None:
        with atomic_write(out, overwrite=overwrite, folder=True) as unfinished:
            for name, table in _tables(found).items():
                table.to_csv(unfinished / f"{name}.csv", index=False, float_format="%.6g")
        print_info(f"Written to {out}")
    list_failures(failed, what="file")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _source(text: str) -> _Source:
    """Split READER=FILE; a file whose own name holds a = is taken as it is."""
    reader, given, path = text.partition("=")
    if not given or Path(text).exists():
        return _Source("", Path(text))
    if not reader.strip() or not path:
        raise UsageError(f"{text} names no reader and file", remedy="write it like ada=first.csv")
    return _Source(reader.strip(), Path(path))


def _read(
    sources: Sequence[_Source], beside: NamedImages, failed: list[OneshotError]
) -> list[Reading]:
    from napari_oneshot_lmk.measure.morphometrics.observers import Reading
    from napari_oneshot_lmk.review.project_files import PROJECT_FILE

    names = [source.path.name for source in sources]
    read = []
    for source, name in zip(sources, names, strict=True):
        if (source.path / PROJECT_FILE).is_file():
            batch = read_project(source.path)
        else:
            batch = read_files(landmark_files(source.path), beside)
        if not batch.done:
            list_failures(batch.failed[1:], what="file")
            raise batch.failed[0]
        failed += batch.failed
        unique = name if names.count(name) == 1 else str(source.path)
        read.append(Reading(unique, tuple(batch.done)))
    twice = [name for name, count in Counter(each.name for each in read).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} was named twice", remedy="name another file")
    return read


def _groups(sources: Sequence[_Source], read: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Return what is compared with what: each reader's repetitions, and the readers.

    Files without a reader are by one reader each.
    """
    of_reader: dict[str, list[Reading]] = {}
    for source, reading in zip(sources, read, strict=True):
        of_reader.setdefault(source.reader or reading.name, []).append(reading)
    groups = {
        f"Intra-observer error of {reader}": readings
        for reader, readings in of_reader.items()
        if len(readings) > 1
    }
    if len(of_reader) > 1:
        # Each reader's first: a repetition is better known than what it repeats.
        groups["Inter-observer error"] = [readings[0] for readings in of_reader.values()]
    if not groups:
        raise UsageError("there is nothing to compare with", remedy="name two or more files")
    return groups


def _tables(found: dict[str, Agreement]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    points, measured = [], []
    for title, each in found.items():
        compared = {"comparison": title, "readings": " / ".join(each.readings)}
        for row in (*each.landmarks, each.overall):
            points.append({**compared, "unit": each.unit, **asdict(row)})
        measured += [{**compared, **asdict(row)} for row in each.measurements]
    tables = {"landmarks": pd.DataFrame(points).replace({"landmark": {"": "all"}})}
    return tables | ({"measurements": pd.DataFrame(measured)} if measured else {})


def _content(found: Agreement) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if value != value else value

    content: dict[str, Any] = plain(asdict(found))
    return content


def _print(title: str, found: Agreement) -> None:
    unit = found.unit
    print_table(
        f"{title}: {', '.join(found.readings)}, {len(found.images)} images",
        [
            *("", "n", f"mean ± SD {unit}", f"max {unit}"),
            *("Dahlberg x", "Dahlberg y", "bias x", "bias y"),
        ],
        [
            [
                row.landmark or "all",
                str(row.n),
                f"{row.mre:.2f} ± {row.sd:.2f}",
                *(f"{value:.2f}" for value in (row.maximum, row.dahlberg_x, row.dahlberg_y)),
                *(f"{value:+.2f}" for value in (row.bias_x, row.bias_y)),
            ]
            if row.n
            else [row.landmark, "0", *["–"] * 6]
            for row in (*found.landmarks, found.overall)
        ],
    )
    if found.measurements:
        print_table(
            f"{title}: measurements",
            ["", "n", "mean", "technical error", "relative", "bias", "ICC(2,1)"],
            [
                [
                    row.measurement,
                    str(row.n),
                    f"{row.mean:.2f} {row.unit}",
                    f"{row.technical_error:.2f} {row.unit}",
                    _or_dash(row.relative_error_percent, ".1f", " %"),
                    f"{row.bias:+.2f} {row.unit}",
                    _or_dash(row.icc, ".3f"),
                ]
                for row in found.measurements
            ],
        )
    else:
        print_info("No measurement of the set can be taken; name another one with --set.")
    for name, images in found.only_in.items():
        print_warning(f"{name}: {_listed('image', images)} not in all readings.")
    for name, landmarks in found.landmarks_only_in.items():
        print_warning(f"{name}: {_listed('landmark', landmarks)} not in all readings.")
    if found.partly:
        points = [f"{name} on {image}" for image, name in found.partly]
        print_warning(f"Not placed in all readings: {_listed('point', points)}.")
    if found.spacing_unknown and unit == "px":
        print_info(
            f"In pixels: the spacing of {_listed('image', found.spacing_unknown)} unknown "
            "(--spacing)."
        )


def _or_dash(value: float, form: str, unit: str = "") -> str:
    return "–" if value != value else f"{value:{form}}{unit}"


def _listed(noun: str, names: Sequence[str]) -> str:
    """Return "1 image (a.png) is", "2 images (a.png, b.png) are"."""
    shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if names[SHOWN_NAMES:] else "")
    plural = "s" if len(names) != 1 else ""
    return f"{len(names)} {noun}{plural} ({shown}) {'are' if plural else 'is'}"
