"""How far a training is: a bar on a terminal, a line an epoch in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from napari_oneshot_lmk.cli.console import messages, say, warn
from napari_oneshot_lmk.cli.progress import Advance, download_bar
from napari_oneshot_lmk.training.events import EpochEnded, Noted, Preparing, Stepped

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.events import Event

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
        (warn if event.serious else say)(event.text)
    elif isinstance(event, EpochEnded):
        say(_ended(event))


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
