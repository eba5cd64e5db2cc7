"""Where a training stands: what its events so far come to, without Qt."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_oneshot_lmk.training.events import (
    EpochEnded,
    Event,
    Failed,
    Finished,
    Noted,
    Preparing,
    Stepped,
)

KEPT_POINTS = 600
"""So many points of a curve are kept: more than the dock has pixels."""


class LossTrace:
    """Losses of many steps in bounded memory: neighbours are averaged in time.

    A long run has a million steps; the curve needs a few hundred points.
    """

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._each = 1
        self._open: list[tuple[float, float]] = []

    def add(self, epoch: float, loss: float) -> None:
        """Add a step that ended at a (fractional) epoch."""
        last = self._open or self._points
        if last and epoch <= last[-1][0]:
            # Resumed: the steps after the last checkpoint are done again.
            self._points = [point for point in self._points if point[0] < epoch]
            self._open = [point for point in self._open if point[0] < epoch]
        self._open.append((epoch, loss))
        if len(self._open) < self._each:
            return
        self._points.append(_mean(self._open))
        self._open = []
        if len(self._points) >= 2 * KEPT_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_mean(list(pair)) for pair in pairs]
            self._each *= 2

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """(epoch, loss) in order, at most twice `KEPT_POINTS`."""
        return tuple(self._points)


@dataclass
class TrainingProgress:
    """What is known of a run that trains ``models`` networks, one after the other."""

    models: int = 1
    preparing: Preparing | None = None
    step: Stepped | None = None
    epoch: EpochEnded | None = None
    best_epoch: int = 0
    trace: LossTrace = field(default_factory=LossTrace)
    stages: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: list[Noted] = field(default_factory=list)
    finished: Finished | None = None
    failed: Failed | None = None
    _seen: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Move on by one event."""
        if isinstance(event, Stepped):
            self._turn_to(event.model)
            self.preparing = None
            self.step = event
            self.trace.add(event.epoch - 1 + event.step / event.steps, event.loss)
        elif isinstance(event, EpochEnded):
            self._turn_to(event.model)
            self.epoch = event
            if event.best:
                self.best_epoch = event.epoch
            for stage, loss in event.losses.items():
                earlier = self.stages.get(stage, [])
                kept = [point for point in earlier if point[0] < event.epoch]
                self.stages[stage] = [*kept, (float(event.epoch), loss)]
        elif isinstance(event, Preparing):
            self.preparing = event
        elif isinstance(event, Noted):
            if event not in self.notes:
                self.notes.append(event)
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Failed):
            self.failed = event

    @property
    def ended(self) -> bool:
        """Whether the training has told its end."""
        return self.finished is not None or self.failed is not None

    @property
    def fraction(self) -> float:
        """Share of the steps that is done, 0..1, over all models."""
        step = self.step
        if step is None:
            return 0.0
        epochs = (step.epoch - 1 + step.step / step.steps) / step.epochs
        before = max(0, len(self._seen) - 1)
        return min(1.0, (before + epochs) / max(1, self.models))

    @property
    def seconds_left(self) -> float | None:
        """Until all is trained; None while unknown."""
        return None if self.step is None else self.step.seconds_left

    def _turn_to(self, model: str) -> None:
        """Begin a new curve with each model."""
        if self._seen[-1:] == [model]:
            return
        # A resumed run tells of earlier models again.
        if model in self._seen:
            self._seen.remove(model)
        self._seen.append(model)
        self.trace = LossTrace()
        self.stages = {}
        self.best_epoch = 0
        self.epoch = None


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    # Where the last one stands: a curve must not lie behind its bar.
    return points[-1][0], sum(loss for _, loss in points) / len(points)
