"""Work in another thread, with an end that is always told.

napari's generator workers lose a ``RuntimeError``, and most errors of torch are
of that class. So nothing is raised across the threads: a failure is one more
value that the work yields.
"""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import texts


@dataclass(frozen=True)
class Failure:
    """The work ended with an error; the report is its traceback."""

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

    The generator must touch no layer, viewer or widget. The worker's ``quit()`` cancels it
    at the next value.

    Parameters
    ----------
    on_step : method of a QObject
        Called in the window's thread with each value, at last with `Done` or `Failure`.
    on_cancelled : method of a QObject
        Called instead of the last value after ``quit()``.
    """
    worker = create_worker(guarded, work, _start_thread=False)
    worker.yielded.connect(on_step)
    worker.aborted.connect(on_cancelled)
    worker.start()
    return worker


PACKAGES = ("napari-oneshot-lmk", "napari", "torch", "monai", "numpy")
WINDOWS_DLL_INIT_FAILED = 1114


def explained(failure: Failure) -> tuple[str, str]:
    """Return what is wrong and what to do, and a report to copy.

    The report is empty where the sentence says all there is.
    """
    error = failure.error
    if isinstance(error, OneshotError):
        return f"{error}.", ""
    if getattr(error, "winerror", None) == WINDOWS_DLL_INIT_FAILED:
        return f"{texts.TORCH_DLL}.", report(failure)
    # torch may not be imported for its class: the name is as good.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"{texts.OUT_OF_MEMORY}.", report(failure)
    text = texts.UNEXPECTED.format(kind=type(error).__name__, error=error)
    return text, report(failure)


def report(failure: Failure) -> str:
    """Write versions and the traceback, for a bug report."""
    lines = [f"Python {sys.version.split()[0]} on {platform.platform()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join([*lines, "", failure.report])
