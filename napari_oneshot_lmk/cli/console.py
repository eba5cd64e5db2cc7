"""Prints results to stdout, everything else to stderr; progress bars."""

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
"""A rate over a shorter time means nothing."""


class Rate:
    """How many are done per second.

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
    """Show how many are done of how many, as a bar or, in a log, as a line now and then.

    Yields a function to be called with (done, total).
    """
    with _shown(label, _lines(label), MofNCompleteColumn(), *_times()) as advance:
        yield advance


@contextmanager
def rate_bar(label: str, unit: str) -> Iterator[Advance]:
    """Show how many are done of how many, how many per second, and the time left.

    The rate is that of the last minute, and what was done before the first call does
    not count for it: a run that goes on does not begin with a thousand a second.

    Yields a function to be called with (done, total), first of all before anything is done.
    """
    rate = Rate()

    def speed(done: int, total: int) -> str:
        rate.add(done)
        if done >= total:
            return f"{rate.overall:.3g} {unit}/s, {clock(rate.seconds)}" if rate.overall else ""
        latest = rate.latest
        return f"{latest:.3g} {unit}/s, {clock((total - done) / latest)} left" if latest else ""

    columns = MofNCompleteColumn(), TextColumn("{task.fields[speed]}")
    with _shown(label, _lines(label, speed=speed), *columns, speed=speed) as advance:
        yield advance


@contextmanager
def download_bar(label: str) -> Iterator[Advance]:
    """Show how many bytes are there; nothing appears until the first call.

    Yields a function to be called with (bytes done, bytes in all).
    """
    lines = _lines(label, 1_000_000, " MB")
    with _shown(label, lines, DownloadColumn(), *_times()) as advance:
        yield advance


Speed = Callable[[int, int], str]
"""Called with (done, total), says how fast it goes; empty while unknown."""


def _times() -> Sequence[ProgressColumn]:
    return TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(compact=True)


@contextmanager
def _shown(
    label: str, lines: Advance, *columns: ProgressColumn, speed: Speed = lambda done, total: ""
) -> Iterator[Advance]:
    """Show a bar with these columns on a terminal, else the lines."""
    if not messages.is_terminal:
        yield lines
        return
    text = TextColumn("{task.description}")
    progress = Progress(text, BarColumn(), *columns, console=messages)
    task = progress.add_task(label, total=None, visible=False, speed="")

    def advance(done: int, total: int) -> None:
        said = speed(done, total)
        progress.update(task, completed=done, total=total or None, visible=True, speed=said)

    with progress:
        yield advance


def _lines(label: str, unit: int = 1, unit_name: str = "", speed: Speed | None = None) -> Advance:
    """Return a progress that writes plain lines, at the end and now and then."""
    started = last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal started, last
        said = "" if speed is None else speed(done, total)
        now = time.monotonic()
        if done == 0:
            # What went before, such as a training, is not part of what is counted.
            started = now
        ended = 0 < total <= done
        if not ended and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        if speed is None and ended:
            said = clock(now - started)
        elif speed is None:
            if done == 0:
                return
            said = f"{clock((now - started) * (total - done) / done)} left"
        amount = f"{done // unit} of {total // unit}{unit_name}"
        print_info(f"{label}: {amount}{', ' if said else ''}{said}")

    return advance


FETCHING = "Fetching the encoder's weights"
PREPARING = {
    "files": "Reading images",
    "images": "Preparing images",
    "copies": "Preparing copies of the template",
    "certainty": "Finding out how sure points are",
}


@contextmanager
def training_bar(models: Sequence[str]) -> Iterator[tuple[Callable[[Event], None], Advance]]:
    """Show the events of a training on stderr.

    ``models`` are the networks that are trained, in their order; see `Stepped`. Yields a
    function for each event, and one for (bytes done, bytes in all) while weights are fetched.
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
            what = f"{PREPARING.get(event.what, 'Preparing')} {event.done}/{event.total}"
            total = event.total or None
            progress.update(task, description=what, completed=event.done, total=total, left="")
        elif isinstance(event, Stepped):
            # A fine stage follows them all.
            own = event.model in models
            before = models.index(event.model) * event.epochs if own else 0
            left = event.seconds_left
            progress.update(
                task,
                description=f"{escape(_epoch(event))}, loss {event.loss:.3f}",
                completed=before + event.epoch - 1 + event.step / event.steps,
                total=(len(models) if own else 1) * event.epochs,
                left="" if left is None else f"{clock(left)} left",
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
        losses = ", ".join(f"{stage} {loss:.3f}" for stage, loss in event.losses.items())
        moved = f"pseudo-labels moved {event.shift:.2f} {event.unit}"
        if event.agreement is not None:
            moved += f"; agreement {event.agreement:.2f} {event.unit}"
        best = " (best so far)" if event.best else ""
        print_info(f"{_epoch(event)}: loss {losses}; {moved}; {event.seconds:.0f} s{best}")


def _epoch(event: Stepped | EpochEnded) -> str:
    epoch = f"poch {event.epoch} of {event.epochs}"
    return f"{event.model}, e{epoch}" if event.model else f"E{epoch}"


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
