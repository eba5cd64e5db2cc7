"""The one training loop of all rivals: Adam, a stepped learning rate, a budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.errors import TrainingError, UsageError


@dataclass(frozen=True)
class Schedule:
    """How a rival was trained by its authors."""

    steps: int
    """Of the optimiser."""
    batch: int
    """Images a step."""
    learning_rate: float
    """Of Adam."""
    weight_decay: float = 0.0
    """Of Adam, coupled."""
    factor: float = 1.0
    """Of the learning rate after each part of the training."""
    parts: int = 1
    """Parts of equal length that the training has."""

    def rate(self, done: float) -> float:
        """Return the learning rate after a share ``done`` of the training, 0 to 1.

        Examples
        --------
        >>> schedule = Schedule(steps=300, batch=8, learning_rate=0.1, factor=0.5, parts=3)
        >>> [schedule.rate(done) for done in (0.0, 0.4, 0.99)]
        [0.1, 0.05, 0.025]
        """
        part = min(int(done * self.parts), self.parts - 1)
        return self.learning_rate * self.factor**part


@dataclass(frozen=True)
class Budget:
    """When a training ends; without a number, after the published steps."""

    minutes: float | None = None
    """Of computing, so that other programs on the machine do not count: on a processor, its own
    time for each thread; on another device, the time that passes."""
    steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse a budget that allows nothing."""
        for name, value in (("minutes", self.minutes), ("steps", self.steps)):
            if value is not None and not value > 0:
                raise UsageError(f"a budget of {value} {name} allows no step")

    def done(self, seconds: float, steps: int, schedule: Schedule) -> float:
        """Return the share of the training that is over; from 1 on it ends."""
        limit = self.steps or (schedule.steps if self.minutes is None else None)
        shares = [0.0]
        if limit is not None:
            shares.append(steps / limit)
        if self.minutes is not None:
            shares.append(seconds / (60 * self.minutes))
        return max(shares)


@dataclass(frozen=True)
class Trained:
    """What a training cost and where its loss was."""

    steps: int
    seconds: float
    """That passed."""
    computing_seconds: float
    """As a budget counts them."""
    first_loss: float
    """Mean over the first tenth of the steps."""
    last_loss: float
    """Mean over the last tenth."""


def optimise(
    network: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    budget: Budget,
    seed: int,
    tell: Callable[[int, float, float], None] = lambda step, done, loss: None,
) -> Trained:
    """Train a network in place; it is left in evaluation mode.

    ``loss`` returns that of one step, drawing what is random from the generator it gets, which
    lives on the CPU. ``tell`` is called with the step, the share of the training that is over,
    and the loss. A budget in minutes ends at another step on another machine.
    """
    parameters = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(
        parameters, schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    network.train()
    clock = computing_clock(parameters[0].device)
    start, started, done = time.monotonic(), clock(), 0.0
    while done < 1:
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(done)
        step_loss = loss(generator)
        if not math.isfinite(step_loss.item()):
            raise TrainingError(f"the loss of step {len(losses) + 1} is not a finite number")
        optimiser.zero_grad(set_to_none=True)
        step_loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(step_loss.detach()))
        done = budget.done(clock() - started, len(losses), schedule)
        tell(len(losses), done, losses[-1])
    network.eval()
    tenth = max(1, len(losses) // 10)
    first, last = losses[:tenth], losses[-tenth:]
    seconds = time.monotonic() - start, clock() - started
    return Trained(len(losses), *seconds, sum(first) / tenth, sum(last) / tenth)


def computing_clock(device: torch.device) -> Callable[[], float]:
    """Return a clock, in seconds, that a budget is counted by; see `Budget`."""
    if device.type != "cpu":
        return time.monotonic
    threads = torch.get_num_threads()
    return lambda: time.process_time() / threads
