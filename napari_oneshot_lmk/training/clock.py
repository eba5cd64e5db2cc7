"""How long a training has taken, and how long it will."""

from __future__ import annotations

import time

SLOWLY = 0.1
"""Weight of the newest step in the running mean."""


class Clock:
    """Counts working time over all sessions of a run.

    Parameters
    ----------
    units : int
        Networks that are trained one after the other.
    epochs : int
        Of each.
    """

    def __init__(self, units: int, epochs: int) -> None:
        self._units, self._epochs = units, epochs
        self._before = 0.0
        self._begun = self._saved = self._epoch_begun = time.monotonic()
        self._step_s: float | None = None
        self._infer_s: float | None = None

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return self._before + time.monotonic() - self._begun

    @property
    def since_saved(self) -> float:
        """Seconds since the newest checkpoint."""
        return time.monotonic() - self._saved

    def saved(self) -> None:
        """Note that there is a checkpoint."""
        self._saved = time.monotonic()

    def stepped(self, seconds: float, steps: int) -> None:
        """Note a step's time. The first ones of a process are not like the rest."""
        known = self._step_s
        mean = seconds if known is None else known + SLOWLY * (seconds - known)
        self._step_s = min(mean, seconds) if known is None or steps < 3 else mean

    def inferred(self, seconds: float) -> None:
        """Note how long new pseudo-labels took."""
        self._infer_s = seconds

    def epoch_seconds(self) -> float:
        """Return the time since the last epoch's end."""
        now = time.monotonic()
        taken, self._epoch_begun = now - self._epoch_begun, now
        return taken

    def left(self, unit: int, epoch: int, step: int, steps: int) -> float | None:
        """Return the seconds until all is trained, as far as one can know.

        Parameters
        ----------
        unit, epoch : int
            Those that run, from 0.
        step, steps : int
            Done of how many in the epoch.
        """
        if self._step_s is None:
            return None
        # Until it was seen once: new labels take about half as long as the steps.
        infer = self._infer_s if self._infer_s is not None else steps * self._step_s / 2
        epoch_s = steps * self._step_s + infer
        epochs = self._epochs - epoch + (self._units - unit - 1) * self._epochs
        return epochs * epoch_s - step * self._step_s

    def state(self) -> dict[str, float]:
        """Return what a checkpoint holds."""
        return {"seconds": self.seconds}

    def restore(self, state: dict[str, float]) -> None:
        """Go on counting from a checkpoint."""
        self._before = float(state["seconds"])
        self._begun = time.monotonic()
