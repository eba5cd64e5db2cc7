"""How a command ends: one sentence and an exit code instead of a traceback."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from napari_oneshot_lmk.cli.console import print_error
from napari_oneshot_lmk.errors import (
    GeometryError,
    OneshotError,
    OutputError,
    SourceError,
    UsageError,
)

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.distributed.group import ProcessGroup

DEBUG_VARIABLE = "ONESHOT_LMK_DEBUG"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ExitCode(IntEnum):
    """What the exit code of a command means."""

    DONE = 0
    FAILED = 1  # what is to be read is not there or cannot be used, or some of many cannot
    WRONG_USE = 2  # the call itself is wrong: an option, files that do not fit together, an output
    INTERRUPTED = 130  # stopped with Ctrl-C


def code_of(error: OneshotError) -> ExitCode:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, SourceError):
        return ExitCode.FAILED
    # A spacing of an option names no file, a spacing in a file does.
    wrong_option = isinstance(error, GeometryError) and error.file is None
    if wrong_option or isinstance(error, UsageError | OutputError):
        return ExitCode.WRONG_USE
    return ExitCode.FAILED


def handle_errors(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a command so that errors end it with one sentence.

    With ``--debug``, or the environment variable ``ONESHOT_LMK_DEBUG``, they are raised.
    """

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except OneshotError as error:
            if debugging():
                raise
            print_error(str(error))
            raise typer.Exit(code_of(error)) from error
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt as error:
            print_error("Stopped.")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except Exception as error:
            if debugging():
                raise
            what = " ".join(str(error).split()) or type(error).__name__
            print_error(
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
    if errors:
        print_error(f"{len(errors)} {what}{'s' if errors[1:] else ''} could not be used:")
    for error in errors:
        print_error(f"  {error}")


class Interrupts:
    """What the user has asked for with Ctrl-C.

    ``asked`` says whether it was pressed since there is something to keep, ``worth_ending``
    whether there is: before that, once is enough to quit.
    """

    def __init__(self) -> None:
        self.asked = self.worth_ending = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.worth_ending:
            # A third one ends even what does not listen.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def two_step_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C instead of ending at the first."""
    interrupts = Interrupts()
    before = signal.signal(signal.SIGINT, interrupts._on_signal)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def main_process_reports(group: ProcessGroup) -> Iterator[None]:
    """Let a process end without a message where another one tells the user why.

    The main process always does; where it is the only one, nothing changes.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        if group.is_main:
            raise
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:
        if debugging() or group.reports(error):
            raise
        code = code_of(error) if isinstance(error, OneshotError) else ExitCode.FAILED
        raise typer.Exit(code) from error
