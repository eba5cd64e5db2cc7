"""Trains a fine stage: a generator of events, as the training of the coarse model.

A student learns from where the coarse detector has found the landmarks on unlabelled images, and
from the template, where they are known. Between two rounds the labels are found anew with it. All
that is random depends on the seed, the epoch and the step; everything else is in the checkpoint.
The spreads of the targets are those of the settings, or adapt (`precision.PrecisionAgent`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.encoders.device import autocast, keep_freed_memory, resolve_precision
from napari_oneshot_lmk.imaging.crop_grid import CropGrid
from napari_oneshot_lmk.matching.crops import soft_argmax
from napari_oneshot_lmk.network.crop_config import CropNetworkConfig
from napari_oneshot_lmk.network.crop_network import CropNetwork
from napari_oneshot_lmk.training.checkpoint import (
    SECONDS_BETWEEN_CHECKPOINTS,
    Checkpoint,
    pack,
    unpack,
)
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.events import EpochEnded, Event, Noted, Preparing, Stepped
from napari_oneshot_lmk.training.fine_crops import CropBatch, CropSampler, HeldOutCrops
from napari_oneshot_lmk.training.fine_images import Array, Labels, ShapeResiduals, find_coarse
from napari_oneshot_lmk.training.methods import LABEL_STAGE, TEMPLATE_STAGE
from napari_oneshot_lmk.training.precision import PrecisionAgent
from napari_oneshot_lmk.training.preset import FineSettings, Preset

NAME = "fine stage"
"""Of its network, in events."""
WARM_UP = 0.25
"""Of a round's steps, in which the learning rate rises."""
LEAST_RATE = 0.04
"""Fraction of the learning rate at which a round begins; it ends near 0."""


class TrainedStage(NamedTuple):
    """The result of a training."""

    stage: FineStage  # in evaluation mode, on the CPU
    seconds: float  # over all sessions


def train_fine(
    detector: Detector,
    images: TrainingSet,
    preset: Preset,
    seed: int,
    checkpoints: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    landmarks: Sequence[str] = (),
) -> Generator[Event, None, TrainedStage | None]:
    """Train a fine stage for a detector, from the beginning or from the newest checkpoint.

    Parameters
    ----------
    detector : Detector
        Without a fine stage; its template is the only annotation that is read.
    images : TrainingSet
        Unlabelled.
    preset : Preset
        All numbers.
    seed : int
    checkpoints : Path, optional
        Folder for them; without one, a training that is killed begins again.
    should_stop : callable
        Called at each step and image; once it is true, the training ends without a result.
    landmarks : sequence of str
        Only these; by default all that the template places.

    Returns
    -------
    TrainedStage or None
        None if asked to stop.
    """
    keep_freed_memory()
    trainer = _FineTrainer(detector, images, preset, seed, checkpoints, should_stop, landmarks)
    return (yield from trainer.run())


def fine_card(
    settings: FineSettings,
    landmarks: tuple[str, ...],
    pixel: float,
    network: CropNetworkConfig,
    spreads_px: tuple[float, ...] | None = None,
) -> FineCard:
    """Return the card of a stage; without ``spreads_px`` its targets' are those of the settings."""
    return FineCard(
        landmarks=landmarks,
        shares=(settings.share,) * len(landmarks),
        pixel=pixel,
        side=settings.side,
        factors=(1, settings.wider),
        looks=settings.looks,
        coarse_sd_px=settings.coarse_sd_px,
        window=settings.window,
        target_sds_px=spreads_px or (settings.target_sd_px,) * len(landmarks),
        network=network,
    )


@dataclass(eq=False)
class _State:
    """Everything that a checkpoint has to hold."""

    network: CropNetwork
    optimiser: torch.optim.AdamW
    coarse: Labels
    labels: Labels
    orientations: list[str]
    agent: PrecisionAgent | None
    """Where the spreads of the targets adapt."""
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def checkpoint(self) -> Checkpoint:
        content = {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "coarse": tuple(self.coarse),
            "labels": tuple(self.labels),
            "orientations": self.orientations,
            "sums": self.sums,
            "seconds": self.seconds,
        }
        if self.agent is not None:
            content["precision"] = self.agent.content()
        tensors, rest = pack(content, "fine")
        return Checkpoint(self.epoch, self.step, tensors, {"fine": rest})

    def restore(self, checkpoint: Checkpoint, content: dict[str, Any]) -> None:
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.labels = Labels(*content["labels"])
        if self.agent is not None:
            self.agent.restore(content["precision"])
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self.sums, self.seconds = dict(content["sums"]), float(content["seconds"])


class _FineTrainer:
    def __init__(
        self,
        detector: Detector,
        images: TrainingSet,
        preset: Preset,
        seed: int,
        checkpoints: Path | None,
        should_stop: Callable[[], bool],
        landmarks: Sequence[str],
    ) -> None:
        self.detector, self.images, self.seed = detector, images, seed
        self.settings, self.place, self.should_stop = preset.fine, checkpoints, should_stop
        self.device = detector.device
        self.dtype = resolve_precision(self.device, preset.training.precision)
        template = detector.template
        placed = template.landmarks.with_points(template.landmarks.placed)
        geometry = template.image.geometry
        names = tuple(point.name for point in placed)
        self.rows = tuple(i for i, name in enumerate(names) if not landmarks or name in landmarks)
        self.names = tuple(names[row] for row in self.rows)
        self.template_yx = (placed.positions_yx + 0.5) / geometry.image_shape_yx
        pixel = self.settings.pixel * float(detector.shape.size)
        self.grid = CropGrid(geometry, pixel)
        self.residuals = ShapeResiduals(detector.shape, geometry.network_shape_yx)
        self.pixels: list[Tensor] = []

    def run(self) -> Generator[Event, None, TrainedStage | None]:
        """Everything from the first image to the result."""
        before = None if self.place is None else Checkpoint.load(self.place)
        content = None
        if before is not None:
            content = unpack(before.tensors, before.state["fine"])
        known = None if content is None else list(content["orientations"])
        points, orientations = [], []
        for done, found in enumerate(
            find_coarse(self.detector, self.grid, self.images, known), start=1
        ):
            self.pixels.append(found.pixels)
            points.append(found.points_yx)
            orientations.append(found.orientation)
            yield Preparing("images", done, len(self.images))
            if self.should_stop():
                return None
        if content is None:
            coarse = self.residuals.labels(np.stack(points))
        else:
            coarse = Labels(*content["coarse"])
        sampler = CropSampler(
            self.settings,
            [*self.pixels, self.grid.prepare(self.detector.template.image)],
            self.template_yx,
            self.rows,
            self.seed,
        )
        state = self._begin(coarse, orientations)
        if before is not None and content is not None:
            state.restore(before, content)
        else:
            self._save(state)
        return (yield from self._train(state, sampler))

    def _begin(self, coarse: Labels, orientations: list[str]) -> _State:
        config = CropNetworkConfig(
            landmarks=len(self.names), width=self.settings.width, cell=self.settings.cell
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = CropNetwork(config).to(self.device)
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )
        agent = None
        if self.settings.target_precision == "adaptive":
            agent = PrecisionAgent(
                landmarks=len(self.names),
                first_px=self.settings.target_sd_px,
                decisions=self.epochs * self.settings.epoch_steps // self.settings.precision_steps,
                stream=lambda made: random_stream(self.seed, Stream.PRECISION, made),
            )
        return _State(network, optimiser, coarse, coarse, orientations, agent)

    def _train(
        self, state: _State, sampler: CropSampler
    ) -> Generator[Event, None, TrainedStage | None]:
        steps = self.settings.epoch_steps
        epochs, agent = self.epochs, state.agent
        # None where spreads are fixed, or do not change any more.
        held_out = None
        if agent is not None and not agent.settled.all():
            held_out = sampler.held_out(self.settings.precision_copies)
        saved_at = time.monotonic()
        start, step_s, epoch_at = saved_at - state.seconds, 0.0, saved_at
        while state.epoch < epochs:
            for step in range(state.step, steps):
                if self.should_stop():
                    self._save(state)
                    return None
                before = time.monotonic()
                spreads_px = None if agent is None else agent.spreads_px
                batch = sampler.batch(state.epoch, step, state.labels, spreads_px)
                loss = self._step(state, batch, steps)
                state.step = step + 1
                if self._adapt(state, held_out):
                    yield Noted(self._spreads_in_words(state))
                now = time.monotonic()
                step_s = now - before if not step_s else step_s + 0.1 * (now - before - step_s)
                if now - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                    state.seconds, saved_at = now - start, now
                    self._save(state)
                left = ((epochs - state.epoch) * steps - step - 1) * step_s
                yield Stepped(NAME, state.epoch + 1, epochs, step + 1, steps, loss, left)
            shift = 0.0
            if (state.epoch + 1) % self.settings.epochs == 0 and state.epoch + 1 < epochs:
                labels = self._renewed(state)
                moved = (labels.points_yx - state.labels.points_yx).reshape(-1, 2)
                shift = self._median_length(moved)
                state.labels = labels
            losses = {k: v / steps for k, v in state.sums.items()}
            state.epoch, state.step, state.sums = state.epoch + 1, 0, {}
            saved_at = time.monotonic()
            state.seconds, taken, epoch_at = saved_at - start, saved_at - epoch_at, saved_at
            self._save(state)
            known = self.detector.template.image.geometry.spacing_mm_yx is not None
            yield EpochEnded(
                NAME,
                state.epoch,
                epochs,
                losses,
                shift,
                "mm" if known else "px",
                None,
                True,
                taken,
                {} if agent is None else self._spreads_px(agent),
            )
        return TrainedStage(self.stage(state.network, agent), state.seconds)

    @property
    def epochs(self) -> int:
        """Of all rounds."""
        return self.settings.epochs * (self.settings.renewals + 1)

    def _adapt(self, state: _State, held_out: HeldOutCrops | None) -> bool:
        """Choose the spreads of the next steps where it is time; return if it was the last time."""
        agent, done = state.agent, state.epoch * self.settings.epoch_steps + state.step
        if agent is None or held_out is None or agent.settled.all():
            return False
        if done % self.settings.precision_steps:
            return False
        if agent.waits:
            agent.wait()
            return False
        agent.decide(self._errors_px(state.network, held_out))
        return bool(agent.settled.all())

    @torch.inference_mode()
    def _errors_px(self, network: CropNetwork, held_out: HeldOutCrops) -> Array:
        """Return the mean error of each landmark on held-out crops, (N,) pixels of a crop."""
        network.eval()
        apart = []
        parts = (torch.split(each, self.settings.batch) for each in held_out)
        for crops, landmarks, offsets_yx in zip(*parts, strict=True):
            with autocast(self.device, self.dtype):
                maps = network(crops.to(self.device), landmarks.to(self.device))
            found = soft_argmax(maps.float(), self.settings.window)
            apart.append((found.cpu() - offsets_yx).norm(dim=1))
        return torch.cat(apart).double().view(len(self.names), -1).mean(1).numpy()

    def _spreads_px(self, agent: PrecisionAgent) -> dict[str, float]:
        return dict(zip(self.names, agent.spreads_px.tolist(), strict=True))

    def _spreads_in_words(self, state: _State) -> str:
        assert state.agent is not None
        spreads = self._spreads_px(state.agent).items()
        each = ", ".join(f"{name} {spread:.1f}" for name, spread in spreads)
        return f"The spreads of the targets have settled: {each} pixels of a crop."

    def _median_length(self, moved: Array) -> float:
        """Return the median length of (M, 2) parts of the field of view, in mm or pixels."""
        size = np.array(self.residuals.network_shape_yx) * self.detector.shape.pixel_size_yx.numpy()
        return float(np.median(np.hypot(*(moved * size).T)))

    def _rate(self, epoch: int, step: int, steps: int) -> float:
        """Learning rate of a step: one cycle in each round (Smith & Topin 2018)."""
        part = (epoch % self.settings.epochs * steps + step) / (self.settings.epochs * steps)
        top = self.settings.learning_rate
        if part < WARM_UP:
            rising = (1 - math.cos(math.pi * part / WARM_UP)) / 2
            return top * (LEAST_RATE + (1 - LEAST_RATE) * rising)
        falling = (1 + math.cos(math.pi * (part - WARM_UP) / (1 - WARM_UP))) / 2
        return max(top * falling, top * 1e-4)

    def _step(self, state: _State, batch: CropBatch, steps: int) -> float:
        for group in state.optimiser.param_groups:
            group["lr"] = self._rate(state.epoch, state.step, steps)
        batch = CropBatch(*(each.to(self.device) for each in batch))
        state.network.train()
        with autocast(self.device, self.dtype):
            maps = state.network(batch.crops, batch.landmarks)
        log_shares = maps.float().flatten(1).log_softmax(1)
        losses = -(batch.targets.flatten(1) * log_shares).sum(1)
        loss = (batch.weights * losses).sum() / batch.weights.sum()
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        state.optimiser.step()
        stages = {TEMPLATE_STAGE: batch.of_template, LABEL_STAGE: ~batch.of_template}
        for stage, chosen in stages.items():
            if chosen.any():
                mean = float(losses.detach()[chosen].mean())
                state.sums[stage] = state.sums.get(stage, 0.0) + mean
        return float(loss.detach())

    def stage(self, network: CropNetwork, agent: PrecisionAgent | None = None) -> FineStage:
        """Return what detection looks with."""
        spreads_px = None if agent is None else tuple(agent.spreads_px.tolist())
        card = fine_card(self.settings, self.names, self.grid.pixel, network.config, spreads_px)
        state = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
        return FineStage.build(card, state, self.grid.template)

    def _renewed(self, state: _State) -> Labels:
        """Return the labels that the student sees together with the coarse points."""
        stage = self.stage(state.network, state.agent).to(self.device)
        landmarks = torch.arange(len(self.names), device=self.device)
        points, rows = [], list(self.rows)
        for pixels, coarse_yx in zip(self.pixels, state.coarse.points_yx, strict=True):
            shape = np.array(pixels.shape[-2:])
            start = torch.from_numpy(coarse_yx[rows] * shape - 0.5).float().to(self.device)
            with torch.inference_mode():
                seen = stage(pixels.to(self.device).float() / 255, start, landmarks)
            seen_yx = (seen.cpu().double().numpy() + 0.5) / shape
            points_yx = coarse_yx.copy()
            points_yx[rows] += self.settings.share * (seen_yx - coarse_yx[rows])
            points.append(points_yx)
        return self.residuals.labels(np.stack(points))

    def _save(self, state: _State) -> None:
        if self.place is not None:
            state.checkpoint().save(self.place)
