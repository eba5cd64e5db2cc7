"""Work that a caller waits for while the window goes on drawing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from qtpy.QtCore import QEventLoop, QThread, QTimer
from qtpy.QtWidgets import QApplication

Result = TypeVar("Result")
POLL_MS = 10


def off_window(work: Callable[..., Result], *given: Any) -> Result:
    """Call a function in another thread and return what it returns.

    napari calls readers in the window's thread and waits for what they return. The
    first image that is read there would import PyTorch, which takes seconds. Clicks
    and keys wait meanwhile: nothing may change under the caller.

    Parameters
    ----------
    work : callable
        It must touch no layer, viewer or widget. What it raises is raised here.
    given : object
        What it is called with.
    """
    app = QApplication.instance()
    if app is None or QThread.currentThread() is not app.thread():
        return work(*given)
    loop, poll = QEventLoop(), QTimer()
    with ThreadPoolExecutor(1, "off-window") as threads:
        future = threads.submit(work, *given)
        poll.timeout.connect(lambda: loop.quit() if future.done() else None)
        poll.start(POLL_MS)
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        poll.stop()
    return future.result()
