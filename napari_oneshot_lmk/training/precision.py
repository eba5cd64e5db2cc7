"""The spread of each landmark's target, chosen by reinforcement learning while a network trains.

The idea is that of *Learn Fine-grained Adaptive Loss for Multiple Anatomical Landmark Detection in
Medical Images* (arXiv 2105.09124), of which the abstract alone was read; what follows is ours. An
agent with tabular Q-learning, one table for all landmarks:

- *state*: whether a narrower and a wider target gave this landmark a smaller error than the present
  one, as far as tried;
- *action*: divide the spread by `FACTOR`, keep it, or multiply it;
- *reward*: by how much the error on held-out copies of the template fell (log), compared with the
  landmarks that kept their spread meanwhile, all of which learn on;
- *policy*: ε-greedy, ε falls;
- *early stop*: a landmark whose neighbouring spreads are both known to be no better, and where the
  policy is to keep, is no longer asked; in the end each landmark has the best of its spreads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FACTOR = 2**0.5
"""Between two neighbouring spreads."""
MOST_STEPS = 2
"""That a spread goes from the one it begins with, either way."""
DISCOUNT = 0.3
"""Of what is expected after a reward. With more of it, leaving the best spread looks harmless:
coming back is a gain."""
LEAST_RATE = 0.1
"""Of learning; before, an entry of the table is the mean of what was seen."""
LEAST_EXPLORED = 0.05
BEGINS_AT = 0.2
"""Fraction of the training before the first decision: until then landmarks learn at paces so
different that their errors say nothing of the spreads."""
EXPLORED_UNTIL = 0.4
"""Fraction of all decisions in which ε falls from 1 to `LEAST_EXPLORED`."""
ENDS_AT = 0.7
"""Fraction of all decisions after which no landmark is asked any more."""
TRIALS = 2
"""Decisions after which the error with a spread is known to the early stop."""
RECENT = 0.3
"""Least weight of a new error in the mean of those with the same spread."""
LEAST_ERROR_PX = 0.05
"""Smaller errors are the same."""


class Action(IntEnum):
    """What happens to a spread."""

    KEEP = 0
    NARROW = 1
    WIDEN = 2


STEPS = np.array([0, -1, 1])
"""Of each action."""
LEVELS = 2 * MOST_STEPS + 1
"""Spreads that there are."""
STATES = 9
"""Narrower and wider: unknown, better, or not better."""


@dataclass(eq=False)
class PrecisionAgent:
    """Chooses spreads; all of it is in `content`, and what is random depends on the decision.

    Parameters
    ----------
    landmarks : int
    first_px : float
        The spread, a standard deviation, that all begin with.
    decisions : int
        In the whole training, were none left out at its beginning.
    stream : callable
        Returns the random numbers of a decision, counted from 0.
    """

    landmarks: int
    first_px: float
    decisions: int
    stream: Callable[[int], np.random.Generator]
    made: int = 0
    values: Array = field(default_factory=lambda: np.zeros((STATES, len(Action))))
    visits: Integers = field(default_factory=lambda: np.zeros((STATES, len(Action)), np.int64))
    levels: Integers = field(init=False)
    """(N,) index of each spread, 0 the narrowest."""
    settled: NDArray[np.bool_] = field(init=False)
    """(N,)"""
    errors: Array = field(init=False)
    """(N, LEVELS) mean log error with each spread, less what all landmarks learn; 0 if untried."""
    trials: Integers = field(init=False)
    """(N, LEVELS) decisions that `errors` are from."""
    _actions: Integers = field(init=False)
    _states: Integers = field(init=False)
    _log_errors: Array = field(init=False)
    _learnt: float = 0.0
    """Log by which errors fell without a change of spread, since the first decision."""

    def __post_init__(self) -> None:
        count = self.landmarks
        self.levels = np.full(count, MOST_STEPS, np.int64)
        self.settled = np.zeros(count, bool)
        self.errors = np.zeros((count, LEVELS))
        self.trials = np.zeros((count, LEVELS), np.int64)
        self._actions = np.full(count, Action.KEEP, np.int64)
        self._states = np.zeros(count, np.int64)
        self._log_errors = np.zeros(count)

    @property
    def spreads_px(self) -> Array:
        """(N,) standard deviations of the targets."""
        return np.asarray(self.first_px * FACTOR ** (self.levels - MOST_STEPS))

    @property
    def explored(self) -> float:
        """ε: the share of the next decisions that are random."""
        part = self._part / EXPLORED_UNTIL
        return min(1.0, max(LEAST_EXPLORED, 1 - part))

    @property
    def waits(self) -> bool:
        """Whether it is too early for a decision."""
        return self.made < self._first

    @property
    def _first(self) -> int:
        return round(BEGINS_AT * self.decisions)

    @property
    def _part(self) -> float:
        """Fraction of the decisions that were made, without those that were left out."""
        return (self.made - self._first) / max(1, self.decisions - self._first)

    def wait(self) -> None:
        """Leave a decision out."""
        self.made += 1

    def decide(self, errors_px: Array) -> None:
        """Learn from the errors (N,) on held-out copies, then choose the next spreads."""
        log_errors = np.log(np.maximum(errors_px, LEAST_ERROR_PX))
        is_first = self.made == self._first
        fell = np.zeros(self.landmarks) if is_first else self._log_errors - log_errors
        kept = self._actions == Action.KEEP
        common = float(fell[kept].mean() if kept.any() else fell.mean())
        self._learnt += common
        self._remember(log_errors + self._learnt)
        states, best = self._look()
        if not is_first:
            self._learn(np.clip(fell - common, -1, 1), states)
        random = self.stream(self.made)
        greedy = self.values[states].argmax(1)
        tried = random.integers(len(Action), size=self.landmarks)
        is_tried = random.random(self.landmarks) < self.explored
        self.made += 1
        self._settle(states, greedy, best)
        actions = np.where(self.settled, Action.KEEP, np.where(is_tried, tried, greedy))
        moved = np.clip(self.levels + STEPS[actions], 0, LEVELS - 1)
        # An action that the limits forbid is to keep.
        self._actions = np.where(moved == self.levels, Action.KEEP, actions).astype(np.int64)
        self.levels, self._states, self._log_errors = moved, states, log_errors

    def _remember(self, errors: Array) -> None:
        each = np.arange(self.landmarks)
        self.trials[each, self.levels] += 1
        rates = np.maximum(RECENT, 1 / self.trials[each, self.levels])
        self.errors[each, self.levels] += rates * (errors - self.errors[each, self.levels])

    def _look(self) -> tuple[Integers, Integers]:
        """Return the state (N,) of each landmark, and which of its spreads has the least error."""
        known = np.where(self.trials > 0, self.errors, np.nan)
        # Beyond the limits nothing is better.
        known = np.pad(known, ((0, 0), (1, 1)), constant_values=np.inf)
        each = np.arange(self.landmarks)
        sides = []
        for step in (-1, 1):
            gain = known[each, self.levels + 1] - known[each, self.levels + 1 + step]
            sides.append(np.where(np.isnan(gain), 0, np.where(gain > 0, 1, 2)))
        tried = np.where(self.trials >= TRIALS, self.errors, np.inf)
        tried[each, self.levels] = self.errors[each, self.levels]
        return np.asarray(3 * sides[0] + sides[1]), tried.argmin(1)

    def _learn(self, rewards: Array, states: Integers) -> None:
        for landmark in np.flatnonzero(~self.settled):
            place = self._states[landmark], self._actions[landmark]
            self.visits[place] += 1
            rate = max(LEAST_RATE, 1 / self.visits[place])
            expected = rewards[landmark] + DISCOUNT * self.values[states[landmark]].max()
            self.values[place] += rate * (expected - self.values[place])

    def _settle(self, states: Integers, greedy: Integers, best: Integers) -> None:
        if self._part >= ENDS_AT:
            self.levels = np.where(self.settled, self.levels, best)
            self.settled[:] = True
            return
        if self.explored > 0.5:
            return
        tried = np.pad(self.trials, ((0, 0), (1, 1)), constant_values=TRIALS) >= TRIALS
        each = np.arange(self.landmarks)
        around = np.all([tried[each, self.levels + 1 + step] for step in STEPS], axis=0)
        self.settled |= around & (states == STATES - 1) & (greedy == Action.KEEP)

    def content(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from what `content` returned."""
        for name, own in self.content().items():
            value = content[name]
            setattr(self, name, type(own)(value) if np.isscalar(own) else np.array(value))


_KEPT = (
    *("made", "values", "visits", "levels", "settled", "errors", "trials"),
    *("_actions", "_states", "_log_errors", "_learnt"),
)
