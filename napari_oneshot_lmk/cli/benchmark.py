"""``oneshot-lmk benchmark accuracy``: methods over a data folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    download_bar,
    print_info,
    print_json,
    print_line,
    print_table,
)
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Overwrite, Seed, Weights, option

benchmark_app = typer.Typer(
    help="Measure accuracy.", no_args_is_help=True, pretty_exceptions_enable=False
)


# The second is its earlier name, for scripts that call it.
@benchmark_app.command("accuracy")
@benchmark_app.command("cephalogram", hidden=True)
@handle_errors
def benchmark_folder(
    data: Annotated[
        Path,
        option(
            "DIR",
            "Holds images/, landmarks.csv and dataset.json; any landmarks, any "
            "sizes, cephalograms or not.",
        ),
    ],
    out: Annotated[Path, option("DIR", "Where results go.")],
    encoder_weights: Weights = None,
    methods: Annotated[
        list[str] | None,
        option(
            "NAME[,NAME...]",
            "instant, vgg19, shipped, template-copy, grey-patches, and those that train first: "
            "joint, sla, atd, fused, student, fine, instant-fine. Default: instant.",
        ),
    ] = None,
    preset: Annotated[
        str, option("laptop|gpu|paper|FILE", "Settings of the methods that train.")
    ] = "laptop",
    adapter_channels: Annotated[int | None, option(None, "Instead of the preset's.", min=0)] = None,
    device: DeviceName = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Run methods over the test images of a data folder and score them.

    Writes DIR/table.csv with one row for each method and scoring, DIR/table.md,
    and for each method DIR/METHOD/found.csv and its report. Methods that train keep
    their run in DIR/runs/METHOD: interrupted, the same command with --overwrite goes
    on with it.
    """
    from napari_oneshot_lmk.benchmark.methods import Options, checked_methods
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.storage.atomic import check_writable

    chosen = checked_methods(methods or ["instant"])
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)

    from napari_oneshot_lmk.benchmark.run import run_method, table_rows, write_method, write_table
    from napari_oneshot_lmk.benchmark.trained import TrainingOptions
    from napari_oneshot_lmk.training.preset import Preset

    settings = Preset.load(preset)
    if adapter_channels is not None:
        settings = settings.changed({"network.adapter_channels": adapter_channels})
    template = dataset.template()
    results = []
    for method in chosen:
        with (
            download_bar("Fetching the encoder's weights") as fetching,
            counting_bar(method) as advance,
        ):
            training = TrainingOptions(dataset, out, settings, seed, _show_event)
            options = Options(encoder_weights, device, fetching, training)
            result = run_method(dataset, template, method, options, seed=seed, on_image=advance)
        # At once: an interrupted benchmark keeps the methods that it finished.
        write_method(result, out / method, overwrite=overwrite)
        results.append(result)
    command = shlex.join(["oneshot-lmk", *sys.argv[1:]])
    write_table(results, dataset, out, command=command, seed=seed, overwrite=overwrite)
    rows = table_rows(results)
    if as_json:
        print_json([{k: None if v == "" else v for k, v in row.items()} for row in rows])
    else:
        _print_rows(dataset.name, rows)
        print_info(f"Written to {out}")
    failed = [error for result in results for error in result.failed]
    list_failures(failed)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _show_event(event: object) -> None:
    """Print notes and ends of epochs; steps are in the run's log."""
    from napari_oneshot_lmk.training.events import EpochEnded, Noted

    if isinstance(event, Noted):
        print_info(event.text)
    elif isinstance(event, EpochEnded):
        model = f"{event.model}: " if event.model else ""
        losses = ", ".join(f"{k} {v:.2f}" for k, v in event.losses.items())
        # A fine stage has none: its points are not rated.
        agreement = ""
        if event.agreement is not None:
            agreement = f" agreement {event.agreement:.3f} {event.unit},"
        print_info(
            f"{model}epoch {event.epoch} of {event.epochs}, loss {losses},{agreement} "
            f"{event.seconds:.0f} s"
        )


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    from napari_oneshot_lmk.benchmark.run import WITHOUT
    from napari_oneshot_lmk.evaluation.metrics import sdr_keys

    columns = ["method", "scoring", "images", "MRE ± SD mm", "median mm"]
    columns += [f"< {key} mm %" for key in sdr_keys()]
    cells = [
        [
            row["method"],
            row["scoring"].replace(WITHOUT, "*"),
            str(row["images"]),
            f"{row['mre_mm']:.2f} ± {row['sd_mm']:.2f}",
            f"{row['median_mm']:.2f}",
            *(f"{row[f'sdr_{key}']:.1f}" for key in sdr_keys()),
        ]
        for row in rows
        if row["n"]
    ]
    print_table(title, columns, cells)
    if any(row["scoring"].endswith(WITHOUT) for row in rows):
        print_line("* without test images that show the radiograph of a training image")
    encoders = dict.fromkeys(f"{row['method']}: {row['encoder'] or 'none'}" for row in rows)
    print_line(f"Encoder of {', '.join(encoders)}")
