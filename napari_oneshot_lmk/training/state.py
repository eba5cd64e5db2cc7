"""The state of a training: each network with its optimiser, the time, and the model of it."""

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
from napari_oneshot_lmk.network.heatmap_network import Network, build_network
from napari_oneshot_lmk.training.checkpoint import KeptNetwork, pack, unpack
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
"""Fraction of the learning rate at which a cosine schedule ends."""
NEW_STEP_WEIGHT = 0.1
"""Of the newest step in the running mean of step times."""
_PROGRESS = ("epoch", "step", "sums", "counts", "best_epoch", "lowest", "processes", "made_worse")
"""Attributes of a `NetworkState` that are restored as they are."""


@dataclass(eq=False)
class NetworkState:
    """Everything about one network in training that a checkpoint has to hold."""

    index: int
    rows: tuple[int, ...]  # its landmarks, as indices of the template's
    network: Network
    optimiser: torch.optim.Adam
    labels: PseudoLabels  # of the running epoch
    epoch: int = 0  # epochs that have ended
    step: int = 0  # steps of the running epoch that are done
    sums: dict[str, float] = field(default_factory=dict)  # losses so far, by stage
    counts: dict[str, int] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)  # parameters, on the CPU
    best_epoch: int = 0  # 0 before the first has ended
    made_worse: tuple[str, ...] = ()  # its landmarks that instant detection sees better
    lowest: NDArray[np.float64] | None = None  # (I,), at the epoch of the lowest mean
    processes: int = 1  # that train it together
    ended: EpochEnded | None = None  # what was reported of the epoch before

    @classmethod
    def begin(
        cls, task: TrainingTask, index: int, channels: tuple[int, ...], labels: PseudoLabels
    ) -> NetworkState:
        """Make a new network; its initial parameters depend on the seed and index alone."""
        network = _new_network(task, index, channels).to(task.encoder.device)
        settings = task.preset.training
        optimiser = torch.optim.Adam(
            # Not fused: what that computes depends on the number of threads, to the last bit.
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        rows = task.landmark_groups[index]
        return cls(index, rows, network, optimiser, labels, processes=task.group.size)

    def add(self, losses: dict[str, float]) -> None:
        """Add a step's losses to the epoch's."""
        for stage, loss in losses.items():
            self.sums[stage] = self.sums.get(stage, 0.0) + loss
            self.counts[stage] = self.counts.get(stage, 0) + 1

    @property
    def mean_losses(self) -> dict[str, float]:
        """Mean loss of each stage of the epoch so far."""
        return {stage: total / self.counts[stage] for stage, total in self.sums.items()}

    def end_epoch(
        self,
        labels: PseudoLabels,
        agreements: NDArray[np.float64],
        selection: str,
        made_worse: tuple[str, ...] = (),
    ) -> bool:
        """Count an epoch and return whether its model is kept as the best so far.

        ``labels`` are those of the next epoch, ``agreements`` (I,) this epoch's criterion on
        each image; smaller is better. A model is always kept where the selection is
        ``"last"``, otherwise unless it is significantly worse than the best; with it, which
        landmarks it has ``made_worse``.
        """
        self.begin_epoch(self.epoch + 1)
        self.labels = labels
        kept = selection == "last" or not significantly_worse(agreements, self.lowest)
        if self.lowest is None or agreements.mean() < self.lowest.mean():
            self.lowest = agreements
        if kept:
            self.keep()
            self.made_worse = made_worse
        return kept

    def begin_epoch(self, epoch: int) -> None:
        """Go to the first step of an epoch, counted from 0."""
        self.epoch, self.step = epoch, 0
        self.sums, self.counts = {}, {}

    def keep(self) -> None:
        """Keep the current parameters as the best."""
        state = self.network.state_dict()
        self.best = {key: value.detach().cpu().clone() for key, value in state.items()}
        self.best_epoch = self.epoch

    @property
    def kept(self) -> KeptNetwork:
        """The best network."""
        return KeptNetwork(self.best, self.best_epoch, self.made_worse)

    def tensors_and_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint holds."""
        content = {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "points_yx": torch.from_numpy(self.labels.points_yx),
            "residuals": torch.from_numpy(self.labels.residuals),
            "best": self.best,
            "progress": {name: getattr(self, name) for name in ("index", *_PROGRESS)},
        }
        tensors, rest = pack(content, "unit")
        ended = None if self.ended is None else event_to_json(self.ended)
        return tensors, {"unit": rest, "ended": ended}

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was made."""
        content = unpack(tensors, state["unit"])
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.labels = PseudoLabels(content["points_yx"].numpy(), content["residuals"].numpy())
        self.best = dict(content["best"])
        # Checkpoints of earlier versions do not hold these.
        progress = {"processes": 1, "made_worse": ()} | content["progress"]
        for name in _PROGRESS:
            setattr(self, name, progress[name])
        self.made_worse = tuple(self.made_worse)
        ended = event_from_json(state.get("ended") or {})
        self.ended = ended if isinstance(ended, EpochEnded) else None


def significantly_worse(
    agreements: NDArray[np.float64], lowest: NDArray[np.float64] | None
) -> bool:
    """Whether an epoch's criterion, (I,), is worse than the lowest, by more than chance.

    That is a mean difference, image by image, of more than its own standard error. Later
    epochs have seen more, so what is no worse is preferred.

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


def _new_network(task: TrainingTask, index: int, channels: tuple[int, ...]) -> Network:
    """Make a network of a task for the encoder's five maps, with random parameters."""
    landmarks = len(task.landmark_groups[index])
    config = task.method.network_config(task.preset.network, channels, landmarks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.config.seed * 1009 + index)
        return build_network(config)


def learning_rate(settings: TrainingSettings, epoch: int, step: int, steps: int) -> float:
    """Rate of a step; a function of epoch and step, so that no scheduler has to be stored."""
    rate = settings.learning_rate
    if settings.schedule == "step":
        return float(rate * settings.step_factor ** (epoch // settings.step_epochs))
    if settings.schedule == "cosine":
        part = (epoch * steps + step) / (settings.epochs * steps)
        cosine = (1 + math.cos(math.pi * part)) / 2
        return rate * (LEAST_RATE + (1 - LEAST_RATE) * cosine)
    return rate


class Clock:
    """Training time over all sessions of a run, and an estimate of what is left."""

    def __init__(self, networks: int, epochs: int) -> None:
        self._networks, self._epochs = networks, epochs
        self._before = 0.0
        self._begun = self._saved = self._epoch_begun = time.monotonic()
        self._step_s: float | None = None
        self._infer_s: float | None = None

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self._before + time.monotonic() - self._begun

    @property
    def since_saved(self) -> float:
        """Seconds since the newest checkpoint."""
        return time.monotonic() - self._saved

    def saved(self) -> None:
        """Note that there is a checkpoint."""
        self._saved = time.monotonic()

    def stepped(self, seconds: float, steps: int) -> None:
        """Note a step's time. The first ones of a process are slower than the rest."""
        known = self._step_s
        mean = seconds if known is None else known + NEW_STEP_WEIGHT * (seconds - known)
        self._step_s = min(mean, seconds) if known is None or steps < 3 else mean

    def epoch_ended(self, inferring_since: float) -> float:
        """Note how long new pseudo-labels took; return the time since the last epoch's end."""
        now = time.monotonic()
        self._infer_s = now - inferring_since
        taken, self._epoch_begun = now - self._epoch_begun, now
        return taken

    def left(self, network: int, epoch: int, step: int, steps: int) -> float | None:
        """Return the seconds until all is trained, None while unknown; all counted from 0."""
        if self._step_s is None:
            return None
        # Until it was measured: new labels take about half as long as the steps.
        infer = self._infer_s if self._infer_s is not None else steps * self._step_s / 2
        epoch_s = steps * self._step_s + infer
        epochs = self._epochs - epoch + (self._networks - network - 1) * self._epochs
        return epochs * epoch_s - step * self._step_s

    def restore(self, seconds: float) -> None:
        """Go on counting from a checkpoint's training time."""
        self._before, self._begun = seconds, time.monotonic()


def trained_model(
    task: TrainingTask,
    channels: tuple[int, ...],
    networks: Mapping[int, KeptNetwork],
    epoch: int,
    seconds: float,
) -> TrainedModel:
    """Join the trained networks to one model.

    ``channels`` are those of the encoder's five maps, ``networks`` are by their index;
    ``epoch`` was kept, by the last of several networks, and ``seconds`` is the training time.
    """
    parts = []
    for index, kept in sorted(networks.items()):
        network = _new_network(task, index, channels)
        network.load_state_dict(dict(kept.state))
        network.to(task.encoder.device).requires_grad_(False).eval()
        parts.append(Part(_names(task, task.landmark_groups[index]), network))
    worse = {name for kept in networks.values() for name in kept.made_worse}
    instant = tuple(name for name in task.placed if name in worse)
    card = _model_card(task, epoch, seconds).model_copy(update={"instant": instant})
    model = TrainedModel(card, tuple(parts), task.template, origin=task.encoder.card.origin)
    if task.packed_weights is None:
        return model
    return model.with_packed(read_weights(task.packed_weights))


def preview(task: TrainingTask, state: NetworkState) -> Iterator[Event]:
    """Find the landmarks in the preview images with the current network."""
    paths = task.preview_images()
    if not paths:
        return
    was_training = state.network.training
    part = Part(_names(task, state.rows), state.network.eval())
    model = TrainedModel(_model_card(task, state.epoch, 0.0), (part,), task.template)
    # A network that has hardly begun to learn is no judge of how an image lies.
    detector = TrainedDetector(model, task.template, task.encoder, upright=True)
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


def _names(task: TrainingTask, rows: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(task.placed[row] for row in rows)


def _model_card(task: TrainingTask, epoch: int, seconds: float) -> ModelCard:
    preset = task.preset
    return ModelCard(
        method=task.method.name,
        encoder=task.encoder.card.identity,
        anchor=task.method.detection_anchor(preset.training),
        patch_px=preset.patch.size,
        instant_share=preset.detection.instant_share,
        search_cells=0 if task.method.draws_heatmaps else preset.detection.search_cells,
        training=Training(
            images=len(task.images),
            epoch=epoch,
            epochs=preset.training.epochs,
            seed=task.config.seed,
            seconds=seconds,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
        ),
    )
