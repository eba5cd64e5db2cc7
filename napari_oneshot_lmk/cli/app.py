"""The command ``oneshot-lmk``: which module has each sub-command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.cli.console import print_line
from napari_oneshot_lmk.cli.errors import DEBUG_VARIABLE

EPILOG = (
    "Exit codes: 0 done, 1 a file could not be used, 2 wrong use, 130 stopped with "
    "Ctrl-C. Results go to stdout, messages and progress bars to stderr."
)

COMMANDS = {
    "advise": "advise_template",
    "template": "make_template",
    "train": "train_model",
    "detect": "detect",
    "convert": "convert",
    "export-bundle": "export_model",
    "corrections": "try_corrections",
    "evaluate": "evaluate_files",
    "measure": "measure_landmarks",
    "demo": "demo",
    "info": "info",
    "morphometrics": "morphometrics_app",
    "project": "project_app",
    "benchmark": "benchmark_app",
}
"""The function of each command, or its `typer.Typer`, in the module of this folder that has the
command's name."""


class _Commands(Mapping[str, Any]):
    """Typer's commands by their names, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        attribute = COMMANDS[name]
        module = import_module(f"{__package__}.{name.replace('-', '_')}")
        command = getattr(module, attribute)
        one = typer.Typer()
        if isinstance(command, typer.Typer):
            one.add_typer(command, name=name)
        else:
            one.command(name)(command)
        return get_group(one).commands[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _LateGroup(TyperGroup):
    """A group that imports no command but the one that runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)


app = typer.Typer(
    name="oneshot-lmk",
    cls=_LateGroup,
    help="Anatomical landmarks on 2-D medical images from one annotated template.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


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
