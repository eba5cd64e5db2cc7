"""How a command ends: one sentence and an exit code instead of a traceback."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import ParamSpec, TypeVar

import typer

from napari_oneshot_lmk.cli.console import complain
from napari_oneshot_lmk.errors import GeometryError, OneshotError, OutputError, UsageError

DEBUG_VARIABLE = "ONESHOT_LMK_DEBUG"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ExitCode(IntEnum):
    """What the exit code of a command means."""

    DONE = 0
    FAILED = 1
    """A file could not be used, or some of many could not."""
    WRONG_USE = 2
    """The call itself is wrong: an option, an output that exists."""
    INTERRUPTED = 130
    """Stopped with Ctrl-C."""


def code_of(error: OneshotError) -> ExitCode:
    """Return the exit code for an error that ends a command."""
    # A spacing of an option names no file, a spacing in a file does.
    wrong_option = isinstance(error, GeometryError) and error.file is None
    if wrong_option or isinstance(error, UsageError | OutputError):
        return ExitCode.WRONG_USE
    return ExitCode.FAILED


def ending_well(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a command so that errors end it with one sentence.

    With ``--debug``, or the environment variable ``ONESHOT_LMK_DEBUG`` set,
    the traceback is shown as well.
    """

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except OneshotError as error:
            if debugging():
                raise
            complain(str(error))
            raise typer.Exit(code_of(error)) from error
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt as error:
            complain("Stopped.")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except Exception as error:
            if debugging():
                raise
            what = " ".join(str(error).split()) or type(error).__name__
            complain(
                f"This should not have happened ({type(error).__name__}: {what}); "
                "run it again as “oneshot-lmk --debug …” and report what it prints, "
                "together with “oneshot-lmk info”."
            )
            raise typer.Exit(ExitCode.FAILED) from error

    return wrapped


def debugging() -> bool:
    """Say whether tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def list_failures(errors: Sequence[OneshotError], what: str = "image") -> None:
    """Print one sentence for each image, or whatever, that could not be used."""
    if not errors:
        return
    count = len(errors)
    complain(f"{count} {what}{'s' if count > 1 else ''} could not be used:")
    for error in errors:
        complain(f"  {error}")
