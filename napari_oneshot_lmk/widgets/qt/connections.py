"""Listening to events for as long as a widget lives, and no longer.

napari deletes the Qt half of a closed dock at once, but not its Python half:
an event that arrived there afterwards would raise.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from psygnal import SignalInstance
from qtpy.QtWidgets import QWidget


class Connections:
    """Connections that end together.

    Parameters
    ----------
    widget : QWidget
        They end, at the latest, when it is destroyed.
    """

    def __init__(self, widget: QWidget) -> None:
        self._ends: list[Callable[[], None]] = []
        ends = self._ends

        def end_all(*_: object) -> None:
            while ends:
                ends.pop()()

        self._end_all = end_all
        widget.destroyed.connect(end_all)

    def follow(self, signal: Any, handler: Callable[..., None]) -> None:
        """Connect a handler to an event of napari or a signal of psygnal."""
        signal.connect(handler)

        def end() -> None:
            if isinstance(signal, SignalInstance):
                signal.disconnect(handler, missing_ok=True)
            else:
                # The layer or viewer may have dropped its listeners already.
                with suppress(ValueError):
                    signal.disconnect(handler)

        self._ends.append(end)

    def end(self) -> None:
        """Disconnect everything."""
        self._end_all()
