"""Work in another thread that always reports its end.

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
from qtpy.QtCore import QObject

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import texts

PACKAGES = ("napari-oneshot-lmk", "napari", "torch", "monai", "numpy")
WINDOWS_DLL_INIT_FAILED = 1114


@dataclass(frozen=True)
class Failure:
    """The work ended with an error; the report is its traceback."""

    error: Exception
    report: str


@dataclass(frozen=True)
class Done:
    """The work came to its end."""


def guarded(work: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield what the work yields, then one `Done` or `Failure`."""
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


class WorkerRun(QObject):
    """Work in another thread, one piece at a time; signals arrive in the window's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._worker: Any = None

    @property
    def running(self) -> bool:
        """Whether work is under way."""
        return self._worker is not None

    def cancel(self) -> None:
        """Stop after the step that is being done."""
        if self._worker is not None:
            self._worker.quit()


def explained(failure: Failure) -> tuple[str, str]:
    """Return what is wrong and what to do, and a report to copy.

    The report is empty where the message says all there is.
    """
    error = failure.error
    if isinstance(error, OneshotError):
        return f"{error}.", ""
    if getattr(error, "winerror", None) == WINDOWS_DLL_INIT_FAILED:
        text = f"{texts.TORCH_DLL}."
    # By name, because torch may not be imported here.
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = f"{texts.OUT_OF_MEMORY}."
    else:
        text = texts.UNEXPECTED.format(kind=type(error).__name__, error=error)
    lines = [f"Python {sys.version.split()[0]} on {platform.platform()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return text, "\n".join([*lines, "", failure.report])
