"""Progress bars with the time that remains, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from napari_oneshot_lmk.cli.console import messages

Advance = Callable[[int, int], None]
"""Called with (done, total)."""


@contextmanager
def counting_bar(label: str) -> Iterator[Advance]:
    """Show how many of many are done.

    Yields
    ------
    callable
        To be called with (done, total).
    """
    with _bar(label, MofNCompleteColumn()) as advance:
        yield advance


@contextmanager
def download_bar(label: str) -> Iterator[Advance]:
    """Show how many bytes are there; nothing appears until the first call."""
    with _bar(label, DownloadColumn()) as advance:
        yield advance


@contextmanager
def _bar(label: str, amount: ProgressColumn) -> Iterator[Advance]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=messages,
    )
    task = progress.add_task(label, total=None, visible=False)

    def advance(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total or None, visible=True)

    with progress:
        yield advance
