"""Work in another thread, with an end that is always told.

napari's generator workers lose a ``RuntimeError``, and most errors of torch are
of that class. So nothing is raised across the threads: a failure is one more
value that the work yields.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker


@dataclass(frozen=True)
class Failure:
    """The work ended with an error.

    Parameters
    ----------
    error : Exception
        What was raised.
    report : str
        The traceback, for a bug report.
    """

    error: Exception
    report: str


@dataclass(frozen=True)
class Done:
    """The work came to its end."""


def guarded(work: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield what the work yields, then one :class:`Done` or :class:`Failure`."""
    try:
        yield from work()
    except Exception as error:
        yield Failure(error, traceback.format_exc())
    else:
        yield Done()


def start(
    work: Callable[[], Iterator[Any]],
    on_step: Callable[[Any], None],
    on_cancelled: Callable[[], None],
) -> GeneratorWorker:
    """Run a generator in another thread.

    Parameters
    ----------
    work : callable
        Returns the generator; it must touch no layer, viewer or widget.
    on_step : method of a QObject
        Called in the window's thread with each value, at last with
        :class:`Done` or :class:`Failure`.
    on_cancelled : method of a QObject
        Called instead of the last value after ``worker.quit()``.

    Returns
    -------
    GeneratorWorker
        Its ``quit()`` cancels at the next value.
    """
    worker = create_worker(guarded, work, _start_thread=False)
    worker.yielded.connect(on_step)
    worker.aborted.connect(on_cancelled)
    worker.start()
    return worker
