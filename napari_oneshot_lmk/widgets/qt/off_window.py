"""Work that must be done before a function returns, but not in the window's thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from qtpy.QtCore import QEventLoop, QThread, QTimer
from qtpy.QtWidgets import QApplication

Result = TypeVar("Result")
POLL_MS = 10


def off_window(work: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in another thread and return its result, or raise its error.

    napari calls readers in the window's thread and waits for what they return. The
    first image that is read there would import PyTorch, which takes seconds. Clicks
    and keys wait meanwhile: nothing may change under the caller. The function must
    touch no layer, viewer or widget.
    """
    app = QApplication.instance()
    if app is None or QThread.currentThread() is not app.thread():
        return work(*arguments)
    loop, poll = QEventLoop(), QTimer()
    with ThreadPoolExecutor(1, "off-window") as threads:
        future = threads.submit(work, *arguments)
        poll.timeout.connect(lambda: loop.quit() if future.done() else None)
        poll.start(POLL_MS)
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        poll.stop()
    return future.result()
