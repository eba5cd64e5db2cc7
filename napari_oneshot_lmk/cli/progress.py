"""Progress with the time that remains, on stderr."""

from __future__ import annotations

import time
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

from napari_oneshot_lmk.cli.console import messages, say

Advance = Callable[[int, int], None]
"""Called with (done, total)."""

SECONDS_BETWEEN_LINES = 20.0


@contextmanager
def counting_bar(label: str) -> Iterator[Advance]:
    """Show how many of many are done.

    A bar on a terminal; elsewhere, in a log, a line now and then.

    Yields
    ------
    callable
        To be called with (done, total).
    """
    with _shown(label, MofNCompleteColumn(), 1, "") as advance:
        yield advance


@contextmanager
def download_bar(label: str) -> Iterator[Advance]:
    """Show how many bytes are there; nothing appears until the first call.

    Yields
    ------
    callable
        To be called with (bytes done, bytes in all).
    """
    with _shown(label, DownloadColumn(), 1_000_000, " MB") as advance:
        yield advance


@contextmanager
def _shown(
    label: str, amount: ProgressColumn, unit: int, unit_name: str
) -> Iterator[Advance]:
    if not messages.is_terminal:
        yield _lines(label, unit, unit_name)
        return
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


def _lines(label: str, unit: int, unit_name: str) -> Advance:
    """Return a progress that writes plain lines, at the end and now and then."""
    started = last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal started, last
        now = time.monotonic()
        if done == 0:
            # What went before, such as a training, is not part of what is counted.
            started = now
        ended = total > 0 and done >= total
        if not ended and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        words = f"{label}: {done // unit} of {total // unit}{unit_name}"
        elapsed = now - started
        if ended:
            say(f"{words}, {_clock(elapsed)}")
        elif done > 0:
            say(f"{words}, {_clock(elapsed * (total - done) / done)} left")

    return advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
