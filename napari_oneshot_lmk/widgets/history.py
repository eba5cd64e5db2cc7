"""Undo and redo for immutable values."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 500
"""Steps that can be taken back: a long day's work on one image."""


class History(Generic[T]):
    """A value with its past and its future.

    Parameters
    ----------
    value : T
        Immutable; where the history starts.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._past: list[T] = []
        self._future: list[T] = []

    @property
    def value(self) -> T:
        """The value now."""
        return self._value

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is anything to do again."""
        return bool(self._future)

    def record(self, value: T) -> None:
        """Go to a new value; what had been undone is forgotten."""
        self._past = [*self._past[-DEPTH + 1 :], self._value]
        self._future = []
        self._value = value

    def replace(self, value: T) -> None:
        """Change the value without a step to undo, as when only a cursor moves."""
        self._value = value

    def undo(self) -> T:
        """Take the last step back."""
        if self._past:
            self._future.append(self._value)
            self._value = self._past.pop()
        return self._value

    def redo(self) -> T:
        """Do the last undone step again."""
        if self._future:
            self._past.append(self._value)
            self._value = self._future.pop()
        return self._value
