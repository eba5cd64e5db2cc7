"""Where words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
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
from rich.table import Table

from napari_oneshot_lmk.training.events import EpochEnded, Noted, Preparing, Stepped

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.events import Event

# Wide enough for the tables where there is no terminal, so that a log keeps them.
PIPE_WIDTH = 120

results = Console()
messages = Console(stderr=True)


def print_info(sentence: str) -> None:
    """Tell the user something that is not a result."""
    messages.print(escape(sentence), highlight=False, soft_wrap=True)


def print_warning(sentence: str) -> None:
    """Tell the user something that may need attention."""
    messages.print(f"[yellow]{escape(sentence)}[/yellow]", highlight=False, soft_wrap=True)


def print_error(sentence: str) -> None:
    """Tell the user what went wrong."""
    messages.print(f"[red]{escape(sentence)}[/red]", highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Print one line of a result as it is."""
    results.print(escape(text), highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print a result for machines; nothing else may go to stdout then."""
    # ASCII, because not every terminal's encoding knows every file name.
    print_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """Print a piece of a result for machines as it is, without a line break."""
    results.file.write(text)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        side: JustifyMethod = "right" if index else "left"
        table.add_column(escape(column), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = results if results.is_terminal else Console(width=PIPE_WIDTH)
    console.print(table, highlight=False)


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

    A bar on a terminal; in a log a line now and then.

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
            print_info(f"{words}, {_clock(elapsed)}")
        elif done > 0:
            print_info(f"{words}, {_clock(elapsed * (total - done) / done)} left")

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
        print_info(f"{label}: {done} of {total}{', ' if speed else ''}{speed}")

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


FETCHING = "Fetching the encoder's weights"
PREPARING = {
    "files": "Reading images",
    "images": "Preparing images",
    "copies": "Preparing copies of the template",
}


@contextmanager
def training_bar(models: Sequence[str]) -> Iterator[tuple[Callable[[Event], None], Advance]]:
    """Show the events of a training on stderr.

    Parameters
    ----------
    models : sequence of str
        Names of the networks that are trained, in their order; see `Stepped`.

    Yields
    ------
    callable
        To be called with each event.
    callable
        To be called with bytes done and in all while weights are fetched.
    """
    if not messages.is_terminal:
        with download_bar(FETCHING) as lines:
            yield _tell, lines
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=messages,
    )
    task = progress.add_task("Starting", total=None, left="")

    def show(event: Event) -> None:
        if isinstance(event, Preparing):
            what = PREPARING.get(event.what, "Preparing")
            progress.update(
                task,
                description=f"{what} {event.done}/{event.total}",
                completed=event.done,
                total=event.total or None,
            )
        elif isinstance(event, Stepped):
            before = models.index(event.model) * event.epochs + event.epoch - 1
            progress.update(
                task,
                description=f"{escape(_epoch(event))}, loss {event.loss:.3f}",
                completed=before + event.step / event.steps,
                total=len(models) * event.epochs,
                left="" if event.seconds_left is None else f"{_left(event)} left",
            )
        else:
            _tell(event)

    # In the same bar: a terminal shows one at a time.
    def fetch(done: int, total: int) -> None:
        progress.update(task, description=FETCHING, completed=done, total=total or None)

    with progress:
        yield show, fetch


def _tell(event: Event) -> None:
    """Write what stays on the screen."""
    if isinstance(event, Noted):
        (print_warning if event.serious else print_info)(event.text)
    elif isinstance(event, EpochEnded):
        print_info(_ended(event))


def _ended(event: EpochEnded) -> str:
    losses = ", ".join(f"{stage} {loss:.3f}" for stage, loss in event.losses.items())
    words = [
        f"{_epoch(event)}: loss {losses}",
        f"pseudo-labels moved {event.shift:.2f} {event.unit}",
    ]
    if event.agreement is not None:
        words.append(f"agreement {event.agreement:.2f} {event.unit}")
    best = " (best so far)" if event.best else ""
    return f"{'; '.join(words)}; {event.seconds:.0f} s{best}"


def _epoch(event: Stepped | EpochEnded) -> str:
    epoch = f"poch {event.epoch} of {event.epochs}"
    return f"{event.model}, e{epoch}" if event.model else f"E{epoch}"


def _left(event: Stepped) -> str:
    return clock(event.seconds_left or 0.0)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
