"""What the docks need of a training's process, whoever starts it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.events import Event


class Child(Protocol):
    """What the dock needs of a training's process."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def poll(self) -> list[Event]:
        """Return new events, a few at most; never wait."""

    def stop(self) -> None:
        """Ask it to end with the best model so far."""

    def kill(self) -> None:
        """End it at once."""

    def report(self) -> str:
        """Return its last words, for a bug report."""


class Children(Protocol):
    """Starts trainings and finds them again; tests bring their own."""

    def start(self, arguments: Sequence[str], run_folder: Path) -> Child:
        """Start a training."""

    def find(self, run_folder: Path) -> Child | None:
        """Return the training of a run, ended or not; None where there is none."""


class Phase(StrEnum):
    """Where a training stands."""

    NONE = "none"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DISCARDING = "discarding"
    DONE = "done"
    FAILED = "failed"
