"""Ctrl-C in two steps: once to end well, twice to end now."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """What the user has asked for with Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False
        """Whether Ctrl-C was pressed since there is something to end well."""
        self.worth_ending = False
        """Whether there is: before that, once is enough to quit."""

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.worth_ending:
            # A third one ends even what does not listen.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def two_step_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C instead of ending at the first."""
    interrupts = Interrupts()
    before = signal.signal(signal.SIGINT, interrupts._on_signal)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
