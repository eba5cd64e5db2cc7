"""Several processes run one command, and one of them talks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from napari_oneshot_lmk.cli.endings import ExitCode, code_of, debugging
from napari_oneshot_lmk.errors import OneshotError

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.distributed.group import ProcessGroup


@contextmanager
def one_voice(group: ProcessGroup) -> Iterator[None]:
    """Let a process end without a word where another tells the user why.

    Parameters
    ----------
    group : ProcessGroup
        The leader always tells; where it is one process, nothing changes.
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
