"""Work in another thread that always reports its end.

napari's generator workers lose a ``RuntimeError``, and most errors of torch are
of that class. So nothing is raised across the threads: a failure is one more
value that the work yields.
"""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk._version import package_versions
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import texts

PACKAGES = ("napari-oneshot-lmk", "napari", "torch", "monai", "numpy")
WINDOWS_DLL_INIT_FAILED = 1114

Work = Callable[[], Any]
"""A function that returns a generator."""


@dataclass(frozen=True)
class Failure:
    """The work ended with an error; the report is its traceback."""

    error: Exception
    report: str


@dataclass(frozen=True)
class Done:
    """The work came to its end and returned something."""

    result: Any = None


def guarded(work: Work) -> Iterator[Any]:
    """Yield what the work yields, then one `Done` or `Failure`."""
    try:
        result = yield from work()
    except Exception as error:
        yield Failure(error, traceback.format_exc())
    else:
        yield Done(result)


def start(
    work: Work, on_step: Callable[[Any], None], on_cancelled: Callable[[], None]
) -> GeneratorWorker:
    """Run a generator in another thread.

    The generator must touch no layer, viewer or widget. The worker's ``quit()`` cancels it
    at the next value. ``on_step`` and ``on_cancelled`` are methods of a QObject: the former
    is called in the window's thread with each value, at last with `Done` or `Failure`, the
    latter instead of that after ``quit()``.
    """
    worker = create_worker(guarded, work, _start_thread=False)
    worker.yielded.connect(on_step)
    worker.aborted.connect(on_cancelled)
    worker.start()
    return worker


class WorkerRun(QObject):
    """Work in another thread, one piece at a time; signals arrive in the window's thread."""

    going = Signal(str, int, int)
    """What runs, in words; steps done and in all, or 0 where nobody knows."""
    ended = Signal(str, bool, str)
    """What to tell, whether something failed, and a report to copy or ""."""
    cancelled_text, failed_text = "", "{error}"

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

    def _work(self, work: Work) -> None:
        """Start work that returns what to tell and whether something failed.

        It yields signals with their arguments, which are emitted in the window's thread, or
        None: each is a point where it can be cancelled.
        """
        self._worker = start(work, self._on_step, self._on_cancelled)

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Done | Failure):
            self._worker = None
            self._on_ended(step)
        elif step is not None:
            signal, *arguments = step
            signal.emit(*arguments)

    def _on_ended(self, end: Done | Failure) -> None:
        if isinstance(end, Done):
            self.ended.emit(*end.result, "")
        else:
            text, report = explained(end)
            self.ended.emit(self.failed_text.format(error=text), True, report)

    def _on_cancelled(self) -> None:
        # Cancelled during its last step, it has told its end already.
        if self._worker is not None:
            self._worker = None
            self.ended.emit(self.cancelled_text, False, "")


_last_report = ""


def last_report() -> str:
    """Return the report of the last unexpected error in this window, for a bug report."""
    return _last_report


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
    versions = package_versions(PACKAGES)
    lines = [f"Python {versions['python']} on {platform.platform()}"]
    lines += [f"{name} {versions.get(name, 'is not installed')}" for name in PACKAGES]
    global _last_report
    _last_report = "\n".join([*lines, "", failure.report])
    return text, _last_report
