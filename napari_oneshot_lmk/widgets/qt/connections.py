"""Connections that end with a widget, and a flag to ignore events of one's own changes.

napari deletes the Qt half of a closed dock at once, but not its Python half:
an event that arrived there afterwards would raise.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtWidgets import QWidget


def connect_until_destroyed(widget: QWidget, handler: Callable[..., None], *signals: Any) -> None:
    """Connect a handler to events of napari or signals of psygnal while a widget exists."""
    for signal in signals:
        signal.connect(handler)

    def disconnect(*_: object) -> None:
        for signal in signals:
            # The layer or viewer may have dropped its listeners already.
            with suppress(ValueError):
                signal.disconnect(handler)

    widget.destroyed.connect(disconnect)


def without_argument(action: Callable[[], None]) -> Callable[..., None]:
    """Return the action as a slot for signals that carry something."""
    return lambda *_: action()


class Flag:
    """True inside its ``with`` blocks, which may be nested."""

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
