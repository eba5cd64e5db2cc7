"""How far a training is: each network with its optimiser, the time, and what comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_card import ModelCard, Training
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.weights_file import read_weights
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.checkpoint import pack, unpack
from napari_oneshot_lmk.training.events import (
    EpochEnded,
    Event,
    Noted,
    Previewed,
    event_from_json,
    event_to_json,
)
from napari_oneshot_lmk.training.preset import TrainingSettings
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels
from napari_oneshot_lmk.training.task import TrainingTask

LEAST_RATE = 0.02
"""Of the learning rate, where a cosine ends."""
NEW_STEP_WEIGHT = 0.1
"""Of the newest step in the running mean of their times."""


@dataclass(eq=False)
class NetworkState:
    """Everything about one network in training that a checkpoint has to hold."""

    index: int
    rows: tuple[int, ...]  # landmarks it is for, among the template's
    network: LandmarkNetwork
    optimiser: torch.optim.Adam
    labels: PseudoLabels  # of the epoch that runs
    epoch: int = 0  # epochs that have ended
    step: int = 0  # steps of the running one that are done
    sums: dict[str, float] = field(default_factory=dict)  # losses so far, by stage
    counts: dict[str, int] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)  # parameters, on the processor
    best_epoch: int = 0  # 0 before the first has ended
    lowest: NDArray[np.float64] | None = None  # (I,), at the epoch of the lowest mean
    processes: int = 1  # that train it together
    ended: EpochEnded | None = None  # what was reported of the epoch before

    @classmethod
    def begin(
        cls, task: TrainingTask, index: int, channels: tuple[int, ...], labels: PseudoLabels
    ) -> NetworkState:
        """Make a new network; its first numbers depend on the seed and index alone."""
        network = new_network(task, index, channels)
        network.to(task.encoder.device)
        settings = task.preset.training
        optimiser = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        rows = task.landmark_groups[index]
        return cls(index, rows, network, optimiser, labels, processes=task.group.size)

    def set_rate(self, settings: TrainingSettings, steps: int) -> None:
        """Set the learning rate of the next step, of ``steps`` in an epoch."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, self.epoch, self.step, steps)

    def add(self, losses: dict[str, float]) -> None:
        """Count a step's losses."""
        for stage, loss in losses.items():
            self.sums[stage] = self.sums.get(stage, 0.0) + loss
            self.counts[stage] = self.counts.get(stage, 0) + 1

    @property
    def mean_losses(self) -> dict[str, float]:
        """Mean loss of each stage of the epoch so far."""
        return {stage: total / self.counts[stage] for stage, total in self.sums.items()}

    def end_epoch(
        self, labels: PseudoLabels, agreements: NDArray[np.float64], selection: str
    ) -> bool:
        """Count an epoch and say whether its model is kept as the best so far.

        Parameters
        ----------
        labels : PseudoLabels
            Of the next epoch.
        agreements : ndarray, (I,)
            This epoch's criterion on each image; smaller is better.
        selection : {"last", "agreement"}
            Keep this model anyway, or unless it is significantly worse than the best.
        """
        self.epoch, self.step = self.epoch + 1, 0
        self.sums, self.counts, self.labels = {}, {}, labels
        kept = selection == "last" or not significantly_worse(agreements, self.lowest)
        if self.lowest is None or agreements.mean() < self.lowest.mean():
            self.lowest = agreements
        if kept:
            self.keep()
        return kept

    def regroup(self, processes: int) -> None:
        """Begin the running epoch again, by another number of processes."""
        self.processes, self.step = processes, 0
        self.sums, self.counts = {}, {}

    def keep(self) -> None:
        """Keep the parameters of this moment as the best."""
        state = self.network.state_dict()
        self.best = {key: value.detach().cpu().clone() for key, value in state.items()}
        self.best_epoch = self.epoch

    def tensors_and_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint holds."""
        content = {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "points_yx": torch.from_numpy(self.labels.points_yx),
            "residuals": torch.from_numpy(self.labels.residuals),
            "best": self.best,
            "progress": {
                "index": self.index,
                "epoch": self.epoch,
                "step": self.step,
                "sums": self.sums,
                "counts": self.counts,
                "best_epoch": self.best_epoch,
                "lowest": self.lowest,
                "processes": self.processes,
            },
        }
        tensors, rest = pack(content, "unit")
        ended = None if self.ended is None else event_to_json(self.ended)
        return tensors, {"unit": rest, "ended": ended}

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was made."""
        content = unpack(tensors, state["unit"])
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.labels = PseudoLabels(
            np.asarray(content["points_yx"].numpy()), content["residuals"].numpy()
        )
        self.best = dict(content["best"])
        progress = content["progress"]
        self.epoch, self.step = int(progress["epoch"]), int(progress["step"])
        self.sums, self.counts = dict(progress["sums"]), dict(progress["counts"])
        self.best_epoch = int(progress["best_epoch"])
        self.lowest = progress["lowest"]
        # Checkpoints of before there could be several know but one.
        self.processes = int(progress.get("processes", 1))
        ended = event_from_json(state.get("ended") or {})
        self.ended = ended if isinstance(ended, EpochEnded) else None


def significantly_worse(
    agreements: NDArray[np.float64], lowest: NDArray[np.float64] | None
) -> bool:
    """Say whether an epoch's criterion, (I,), is worse than the lowest, by more than chance.

    Later epochs have seen more, so what is no worse is better. Worse is a mean
    difference, image by image, of more than its own standard error.

    >>> significantly_worse(np.array([1.1, 2.1, 2.9]), np.array([1.0, 2.0, 3.0]))
    False
    >>> significantly_worse(np.array([1.1, 2.1, 3.1]), np.array([1.0, 2.0, 3.0]))
    True
    """
    if lowest is None:
        return False
    difference = agreements - lowest
    chance = 0.0
    if len(difference) > 1:
        chance = difference.std(ddof=1) / math.sqrt(len(difference))
    return bool(difference.mean() > chance)


def new_network(task: TrainingTask, index: int, channels: tuple[int, ...]) -> LandmarkNetwork:
    """Make a network of a task for the encoder's five maps, with its first random numbers."""
    landmarks = len(task.landmark_groups[index])
    config = task.method.network_config(task.preset.network, channels, landmarks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed * 1009 + index)
        return LandmarkNetwork(config)


def learning_rate(settings: TrainingSettings, epoch: int, step: int, steps: int) -> float:
    """Rate of one of an epoch's steps: a function of its place, so nothing need be stored."""
    rate = settings.learning_rate
    if settings.schedule == "step":
        return float(rate * settings.step_factor ** (epoch // settings.step_epochs))
    if settings.schedule == "cosine":
        part = (epoch * steps + step) / (settings.epochs * steps)
        cosine = (1 + math.cos(math.pi * part)) / 2
        return rate * (LEAST_RATE + (1 - LEAST_RATE) * cosine)
    return rate


class Clock:
    """Working time over all sessions of a run, and how long it will go on."""

    def __init__(self, networks: int, epochs: int) -> None:
        self._networks, self._epochs = networks, epochs
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
        mean = seconds if known is None else known + NEW_STEP_WEIGHT * (seconds - known)
        self._step_s = min(mean, seconds) if known is None or steps < 3 else mean

    def inferred(self, seconds: float) -> None:
        """Note how long new pseudo-labels took."""
        self._infer_s = seconds

    def epoch_seconds(self) -> float:
        """Return the time since the last epoch's end."""
        now = time.monotonic()
        taken, self._epoch_begun = now - self._epoch_begun, now
        return taken

    def left(self, network: int, epoch: int, step: int, steps: int) -> float | None:
        """Return the seconds until all is trained, as far as one can know; counted from 0."""
        if self._step_s is None:
            return None
        # Until it was seen once: new labels take about half as long as the steps.
        infer = self._infer_s if self._infer_s is not None else steps * self._step_s / 2
        epoch_s = steps * self._step_s + infer
        epochs = self._epochs - epoch + (self._networks - network - 1) * self._epochs
        return epochs * epoch_s - step * self._step_s

    def state(self) -> dict[str, float]:
        """Return what a checkpoint holds."""
        return {"seconds": self.seconds}

    def restore(self, state: dict[str, float]) -> None:
        """Go on counting from a checkpoint."""
        self._before = float(state["seconds"])
        self._begun = time.monotonic()


def trained_model(
    task: TrainingTask,
    channels: tuple[int, ...],
    states: Mapping[int, Mapping[str, Tensor]],
    epoch: int,
    seconds: float,
) -> TrainedModel:
    """Join the trained networks to one model.

    Parameters
    ----------
    task : TrainingTask
        What was trained.
    channels : tuple of int
        Of the encoder's five maps, fine to coarse.
    states : mapping
        Parameters of each network that was trained, by its index.
    epoch : int
        That was kept; of the last network where there are several.
    seconds : float
        Working time.
    """
    parts = []
    for index, state in sorted(states.items()):
        network = new_network(task, index, channels)
        network.load_state_dict(dict(state))
        network.to(task.encoder.device).requires_grad_(False).eval()
        names = tuple(task.placed[row] for row in task.landmark_groups[index])
        parts.append(Part(names, network))
    card = _model_card(task, epoch, seconds)
    model = TrainedModel(card, tuple(parts), task.template, origin=task.encoder.card.origin)
    if task.packed_weights is None:
        return model
    return model.with_packed(read_weights(task.packed_weights))


def preview(task: TrainingTask, state: NetworkState) -> Iterator[Event]:
    """Show the model of this moment on the images that are being looked at."""
    paths = task.preview_images()
    if not paths:
        return
    was_training = state.network.training
    part = Part(tuple(task.placed[row] for row in state.rows), state.network.eval())
    model = TrainedModel(_model_card(task, state.epoch, 0.0), (part,), task.template)
    detector = TrainedDetector(model, task.template, task.encoder)
    for path in paths:
        try:
            detector.set_image(read_image(path))
            found = detector.detect()
        except OneshotError as error:
            yield Noted(f"No preview: {error.about(path)}.")
            continue
        points = {point.name: point.position_yx for point in found if point.position_yx is not None}
        yield Previewed(str(path), points)
    state.network.train(was_training)


def _model_card(task: TrainingTask, epoch: int, seconds: float) -> ModelCard:
    preset = task.preset
    return ModelCard(
        method=task.method.name,
        encoder=task.encoder.card.identity,
        anchor=task.method.detection_anchor(preset.training),
        patch_px=preset.patch.size,
        instant_share=preset.detection.instant_share,
        search_cells=preset.detection.search_cells,
        training=Training(
            images=len(task.images),
            epoch=epoch,
            epochs=preset.training.epochs,
            seed=task.seed,
            seconds=seconds,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
        ),
    )
