"""Measurements of what comes before a detection: starting, and reading files."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import page, reading, start_up
from benchmarks.images import template_of
from benchmarks.large_files import KINDS, full_size, write_dicom
from benchmarks.options import Out
from benchmarks.random_models import random_model
from napari_oneshot_lmk.cli.console import counting_bar, print_table
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import Overwrite, Weights, encoder_with_bar
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.select import instant_encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.atomic import check_writable

LANDMARKS = 19

loading = typer.Typer()


@loading.command("start-up")
@handle_errors
def benchmark_start_up(
    out: Out,
    encoder_weights: Weights = None,
    other: Annotated[
        list[str] | None,
        typer.Option(
            "--other",
            metavar="NAME=DIR",
            help="Another checkout of this project, timed in the same rounds. Several times.",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the generated image.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Start the program and detect on one full-size DICOM, again and again.

    Each time in a process of its own, without training and with models of random weights,
    beside processes that only import a library. Writes start_up.json and start_up.md.
    """
    check_writable(out, overwrite=overwrite)
    others = {}
    for text in other or ():
        name, equals, folder = text.partition("=")
        if not equals or not Path(folder, "napari_oneshot_lmk").is_dir():
            raise UsageError(f"--other {text} is no checkout", remedy="write NAME=DIR")
        others[name] = Path(folder).resolve()
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        top = Path(scratch)
        template = template_of(LANDMARKS, seed)
        template.save(top / "template")
        write_dicom(top / "image.dcm", full_size(seed))
        encoder = instant_encoder(encoder_weights, "cpu")
        models = {"fused model": False, "fused model with a fine stage": True}
        for name, fine in models.items():
            random_model(template, encoder, "laptop", fine=fine).save(top / name)
        with counting_bar("Starting") as advance:
            measured = start_up.measure_start(
                top / "template",
                top / "image.dcm",
                None if encoder_weights is None else encoder_weights.resolve(),
                top,
                models={name: top / name for name in models},
                repeats=repeats,
                others=others,
                on_step=advance,
            )
    titles = ["", "seconds", "seconds of the processor"]
    table = start_up.rows_of(measured)
    content = asdict(measured) | {"seed": seed}
    page.show_table("start_up", "Start-up", titles, table, content, out, overwrite)


@loading.command("reading")
@handle_errors
def benchmark_reading(
    out: Out,
    encoder_weights: Weights = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Use the encoder that needs no download.")
    ] = False,
    images: Annotated[int, typer.Option("--images", min=2, help="In a folder.")] = 100,
    folders: Annotated[
        str, typer.Option("--folders", help="Kinds of files to fill folders with.")
    ] = "DICOM;PNG, 16 bits;DICOM, JPEG-LS",
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 9,
    seed: Annotated[int, typer.Option("--seed", help="Of the generated image.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Read full-size radiographs of several formats, and detect on them, on the processor.

    What a file costs beside detecting on it, and a folder of files beside the same images
    without reading. Writes reading.json and reading.md.
    """
    check_writable(out, overwrite=overwrite)
    by_title = {kind.title: kind for kind in KINDS}
    unknown = [title for title in folders.split(";") if title not in by_title]
    if unknown:
        raise UsageError(f"no kind of file {unknown[0]}", remedy=f"use {'; '.join(by_title)}")
    encoder = shipped_encoder("cpu") if shipped else encoder_with_bar(encoder_weights, "cpu")
    detector = Detector.instant(template_of(LANDMARKS, seed), encoder=encoder, upright=True)
    with (
        tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch,
        counting_bar("Reading") as advance,
    ):
        measured = reading.measure_reading(
            detector,
            full_size(seed),
            Path(scratch),
            images=images,
            repeats=repeats,
            folder_kinds=tuple(by_title[title] for title in folders.split(";")),
            on_step=advance,
        )
    titles = ["", "MB", "read, ms", "prepare, ms", "detect, ms", "(read + prepare) / detect"]
    rates = ["", "images/s from files", "images/s without reading", "rate"]
    files, folder_table = reading.file_rows(measured), reading.folder_rows(measured)
    load = "Load average before and after: {:.1f}, {:.1f}.".format(*measured.load)
    lines = [
        *page.table_lines(titles, files),
        "",
        *page.table_lines(rates, folder_table),
        "",
        f"{load} Milliseconds are the processor's, medians of {measured.repeats} rounds.",
    ]
    content = page.stamped(asdict(measured) | {"seed": seed, "encoder": encoder.card.identity})
    page.write_page("reading", lines, content, out, overwrite)
    print_table("Reading", titles, files)
    print_table("Folders", rates, folder_table)
