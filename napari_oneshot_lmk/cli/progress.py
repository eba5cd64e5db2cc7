"""Progress with the time that remains, on stderr."""

from __future__ import annotations

import time
from collections import deque
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
SECONDS_OF_RATE = 60.0
"""Of the latest past that a rate is taken from."""
LEAST_SECONDS = 2.0
"""Less says nothing."""


class Rate:
    """How many a second.

    The latest rate begins with the first that is done: starting workers, or reading
    a network, is no measure of what follows. Many may be done at one moment.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def add(self, done: int) -> None:
        """Note how many are done by now."""
        now = (time.monotonic(), done)
        if self._first is None:
            self._first = self._last = now
            return
        self._last = now
        # One sample a second is enough, however fast it goes.
        if len(self._samples) > 1 and now[0] - self._samples[-2][0] < 1:
            self._samples.pop()
        self._samples.append(now)
        while now[0] - self._samples[0][0] > SECONDS_OF_RATE and len(self._samples) > 2:
            self._samples.popleft()

    @property
    def latest(self) -> float | None:
        """Of the last minute; None while unknown."""
        if not self._samples:
            return None
        first, last = self._samples[0], self._samples[-1]
        return _per_second(first, last) if last[0] - first[0] >= LEAST_SECONDS else None

    @property
    def overall(self) -> float | None:
        """Since the beginning; None while unknown."""
        return _per_second(self._first, self._last) if self._first else None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._last[0] - self._first[0] if self._first else 0.0


def _per_second(before: tuple[float, int], after: tuple[float, int]) -> float | None:
    seconds, count = after[0] - before[0], after[1] - before[1]
    return count / seconds if seconds > 0 and count > 0 else None


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
def rate_bar(label: str, unit: str) -> Iterator[Advance]:
    """Show how many of many are done, how many a second, and the time left.

    The rate is that of the last minute, and what was done before the first call does
    not count for it: a run that goes on does not begin with a thousand a second.

    Yields
    ------
    callable
        To be called with (done, total), first of all before anything is done.
    """
    rate = Rate()
    if not messages.is_terminal:
        yield _lines_with_rate(label, unit, rate)
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        console=messages,
    )
    task = progress.add_task(label, total=None, visible=False, speed="")

    def advance(done: int, total: int) -> None:
        rate.add(done)
        progress.update(
            task,
            completed=done,
            total=total or None,
            visible=True,
            speed=_speed(rate, unit, total - done),
        )

    with progress:
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
def _shown(label: str, amount: ProgressColumn, unit: int, unit_name: str) -> Iterator[Advance]:
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


def _lines_with_rate(label: str, unit: str, rate: Rate) -> Advance:
    """Return a progress that writes plain lines, at the end and now and then."""
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        rate.add(done)
        ended = total > 0 and done >= total
        if not ended and time.monotonic() - last < SECONDS_BETWEEN_LINES:
            return
        last = time.monotonic()
        speed = _speed(rate, unit, total - done)
        say(f"{label}: {done} of {total}{', ' if speed else ''}{speed}")

    return advance


def _speed(rate: Rate, unit: str, left: int) -> str:
    """Say how fast it goes and how long it will take; nothing while unknown."""
    if left <= 0:
        overall = rate.overall
        if overall is None:
            return ""
        return f"{overall:.3g} {unit}/s, {_clock(rate.seconds)}"
    if rate.latest is None:
        return ""
    return f"{rate.latest:.3g} {unit}/s, {_clock(left / rate.latest)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
