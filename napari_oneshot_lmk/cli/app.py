"""The command ``oneshot-lmk``: registers every sub-command."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.cli import (
    advise,
    benchmark,
    convert,
    corrections,
    demo,
    detect,
    evaluate,
    export_bundle,
    info,
    measure,
    morphometrics,
    project,
    template,
    train,
)
from napari_oneshot_lmk.cli.console import print_line
from napari_oneshot_lmk.cli.errors import DEBUG_VARIABLE

EPILOG = (
    "Exit codes: 0 done, 1 a file could not be used, 2 wrong use, 130 stopped with "
    "Ctrl-C. Results go to stdout, messages and progress bars to stderr."
)

app = typer.Typer(
    name="oneshot-lmk",
    help="Anatomical landmarks on 2-D medical images from one annotated template.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("advise")(advise.advise_template)
app.command("template")(template.make_template)
app.command("train")(train.train_model)
app.command("detect")(detect.detect)
app.command("convert")(convert.convert)
app.command("export-bundle")(export_bundle.export_model)
app.command("corrections")(corrections.try_corrections)
app.command("evaluate")(evaluate.evaluate_files)
app.command("measure")(measure.measure_landmarks)
app.add_typer(morphometrics.morphometrics_app, name="morphometrics")
app.add_typer(project.project_app, name="project")
scoring = typer.Typer(
    help="Measure accuracy.", no_args_is_help=True, pretty_exceptions_enable=False
)
scoring.command("accuracy")(benchmark.benchmark_folder)
# Its earlier name, for scripts that call it.
scoring.command("cephalogram", hidden=True)(benchmark.benchmark_folder)
app.add_typer(scoring, name="benchmark")
app.command("demo")(demo.demo)
app.command("info")(info.info)


def _print_version(asked: bool) -> None:
    if asked:
        print_line(f"oneshot-lmk {__version__}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Handle the options that stand before a sub-command."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def main() -> None:
    """Run the command line."""
    # Read once, when torch is loaded. By default its threads wait for one another
    # actively, which slows a training beside another busy program
    # (docs/benchmarks/training.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # A terminal that does not know a character must not end a long run.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
