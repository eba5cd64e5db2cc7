"""Fine-tuning: the adapters of a fused model go on learning, from corrected images.

What all landmarks share stays as it is, to the last bit: lateral convolutions, decoder,
receptive field blocks, heads, with their batch norms. Trained are each landmark's own Conv-A_k
and RFB-A_k (`network.Adapter`): convolutions and the batch norms' gains and offsets. The running
statistics of all batch norms stay, so that what is trained is what detection computes.

The images are augmented copies of the template and of each corrected image, as in the template
stage of a training; their landmarks are known. Nothing unlabelled is read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.errors import ModelError, UsageError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.augmentation import (
    AugmentedTemplate,
    Copies,
    TemplateAugmentation,
)
from napari_oneshot_lmk.training.checkpoint import CheckpointSink, KeptNetwork, RunCheckpoints
from napari_oneshot_lmk.training.config import Stream, TrainingConfig, random_stream
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.events import EpochEnded, Event, EventLog, Finished
from napari_oneshot_lmk.training.feature_cache import FeatureCache
from napari_oneshot_lmk.training.methods import TEMPLATE_STAGE, Batch
from napari_oneshot_lmk.training.objective import StepLosses
from napari_oneshot_lmk.training.preset import FINE_TUNING, TemplateCopySettings
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels
from napari_oneshot_lmk.training.run_lifecycle import check_encoder, open_run
from napari_oneshot_lmk.training.state import NetworkState, trained_model
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.trainer import Trainer

ADAPTERS = "adapters."
"""Beginning of the names of the parameters that are trained."""


class SeveralAugmentations:
    """Augmented copies of several annotated images, with the landmarks of the first.

    A landmark that an image does not place counts as outside of its copies. The copies of an
    image depend on it alone, whatever the others are.
    """

    def __init__(
        self, templates: Sequence[Template], settings: TemplateCopySettings, seed: int
    ) -> None:
        self._names = [point.name for point in templates[0].landmarks.placed]
        self._each = [
            TemplateAugmentation(template, settings, _seed_of(template, seed))
            for template in templates
        ]
        self._count = settings.count

    def __len__(self) -> int:
        return self._count * len(self._each)

    def key(self, index: int) -> str:
        """Return a hash of all that a copy depends on, for caches."""
        return self._each[index // self._count].key(index % self._count)

    def copy(self, index: int) -> AugmentedTemplate:
        """Make a copy; those of one image follow one another."""
        one = self._each[index // self._count]
        made = one.copy(index % self._count)
        rows = {point.name: row for row, point in enumerate(one.template.landmarks.placed)}
        chosen = [rows.get(name, -1) for name in self._names]
        known = torch.tensor([row >= 0 for row in chosen])
        points_yx = torch.where(known[:, None], made.points_yx[chosen], 0.0)
        return AugmentedTemplate(made.image, points_yx, made.inside[chosen] & known)


def _seed_of(template: Template, seed: int) -> int:
    text = f"{seed} {template.content_sha256}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True, eq=False)
class FineTuning:
    """What is fine-tuned, and on what.

    Raises
    ------
    ModelError
        If the model has no adapters, or the template lacks one of its landmarks.
    UsageError
        If there is no corrected image, or the preset cannot be used.
    """

    model: TrainedModel
    template: Template
    """That detection compares images with."""
    corrected: tuple[Template, ...]
    """Images with the points that a person has decided on."""
    encoder: Encoder
    wanted: TrainingConfig
    """Seed, and preset or what replaces some of it; see `fine_tuning_config`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_tunable(self.model)
        if not self.corrected:
            raise UsageError("no image is corrected", remedy="correct some landmarks first")
        placed = {point.name for point in self.template.landmarks.placed}
        if missing := [name for name in self.part.landmarks if name not in placed]:
            raise ModelError(
                f"the model knows {', '.join(missing)}, which the template does not place",
                file=self.template.name,
                remedy="fine-tune with a template that places all its landmarks",
            )

    @property
    def part(self) -> Part:
        """The model's network."""
        return self.model.parts[0]

    @cached_property
    def config(self) -> TrainingConfig:
        """All numbers: the network and the anchor are those of the model."""
        card, network = self.model.card, self.part.network.config
        sizes = (
            *("width", "adapter_channels", "embedding_channels", "normalisation"),
            *("lateral_channels", "rfb"),
        )
        of_model: dict[str, Any] = {f"network.{name}": getattr(network, name) for name in sizes}
        of_model |= {
            "training.anchor": card.anchor,
            "training.together": True,
            "patch.size": card.patch_px,
            "detection.instant_share": card.instant_share,
            "detection.search_cells": card.search_cells,
        }
        preset = self.wanted.resolve_preset(lambda: self.encoder.device.type == "cuda")
        config = self.wanted.with_preset(preset.changed(of_model))
        # In the order of the adapters, not of the template.
        known = {
            "landmarks": self.part.landmarks,
            "template_sha256": self.template.content_sha256,
        }
        return config.model_copy(update=known)

    @property
    def key(self) -> str:
        """Return a name that no other fine-tuning has."""
        about = [
            self.model.content_sha256,
            *(template.content_sha256 for template in self.corrected),
            self.config.to_json(),
            dict(self.config.numbers.values()),
        ]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    @property
    def steps(self) -> int:
        """How many steps of the optimiser it takes."""
        numbers = self.config.numbers
        copies = numbers.template_copies.count * (1 + len(self.corrected))
        return numbers.training.epochs * -(-copies // numbers.training.batch)

    @property
    def task(self) -> TrainingTask:
        """The same as the training loop takes it: without unlabelled images."""
        images = TrainingSet((), self.template.image.geometry.network_shape_yx)
        return TrainingTask(self.config, self.template, images, self.encoder)

    @property
    def copies(self) -> Copies:
        """The images that it is trained on."""
        numbers = self.config.numbers.template_copies
        return SeveralAugmentations((self.template, *self.corrected), numbers, self.config.seed)


def fine_tuning_config(**values: Any) -> TrainingConfig:
    """Return a configuration of the preset `FINE_TUNING`, with some of its values replaced."""
    return TrainingConfig(**{"preset": FINE_TUNING} | values)


def check_tunable(model: TrainedModel) -> None:
    """Raise a `ModelError` if a model has no adapters that could be fine-tuned."""
    if len(model.parts) != 1 or not model.parts[0].network.config.adapter_channels:
        raise ModelError(
            f"the model (method {model.card.method}) has no adapters to fine-tune",
            remedy="train one with the method fused",
        )


class FineTuner(Trainer):
    """The training loop without pseudo-labels, in which only the adapters learn."""

    measures_sharpness = False

    def __init__(
        self,
        job: FineTuning,
        checkpoints: CheckpointSink,
        should_stop: Callable[[], bool],
        cache: FeatureCache | None = None,
    ) -> None:
        self.job = job
        super().__init__(job.task, checkpoints, should_stop, cache)

    def _make_copies(self) -> Copies:
        return self.job.copies

    def new_state(self, index: int) -> NetworkState:
        """Return the model's network, of which only the adapters learn."""
        placed = len(self.task.placed)
        none = PseudoLabels(np.zeros((0, placed, 2)), np.zeros((0, placed)))
        state = NetworkState.begin(self.task, index, self.channels, none)
        state.network.load_state_dict(self.job.part.network.state_dict())
        state.network.requires_grad_(False)
        assert isinstance(state.network, LandmarkNetwork)
        trained = state.network.adapters.requires_grad_(True).parameters()
        settings = self.settings
        state.optimiser = torch.optim.Adam(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        return state

    def _train_epoch(self, state: NetworkState, losses_of: StepLosses) -> Iterator[Event]:
        """One pass over all copies."""
        batches = self._batches(state)
        # Batch norms as in detection.
        state.network.eval()
        for _ in range(state.step, len(batches)):
            if self.should_stop():
                return
            yield from self._train_step(state, losses_of, batches)
        losses = state.mean_losses
        state.begin_epoch(state.epoch + 1)
        state.keep()
        seconds = self.clock.epoch_ended(inferring_since=time.monotonic())
        state.ended = EpochEnded(
            *("", state.epoch, self.settings.epochs, losses, 0.0, "px", None, True, seconds)
        )
        self._save(state)
        yield state.ended

    def _batches(self, state: NetworkState) -> list[Batch]:
        """Return the copies in random order, all landmarks in each step."""
        place = state.index, state.epoch
        random = random_stream(self.task.config.seed, Stream.BATCHES, *place)
        order = random.permutation(len(self.job.copies)).tolist()
        size, every = self.settings.batch, tuple(range(len(state.rows)))
        return [
            Batch(TEMPLATE_STAGE, (), tuple(order[first : first + size]), every)
            for first in range(0, len(order), size)
        ]

    def make_model(
        self, networks: Mapping[int, KeptNetwork], epoch: int, seconds: float
    ) -> TrainedModel:
        """Return the model with other adapters; its card says how many images were corrected."""
        before = self.job.model
        trained = trained_model(self.task, self.channels, networks, epoch, seconds)
        how = before.card.training.model_copy(
            update={
                "corrected": before.card.training.corrected + len(self.job.corrected),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "version": __version__,
            }
        )
        model = replace(
            before,
            card=before.card.model_copy(update={"training": how}),
            parts=trained.parts,
            template=self.job.template,
        )
        if before.encoder_weights is not None and not before.packed:
            # Of a bundle: a model's own folder takes them like this.
            return model.with_packed(before.encoder_weights)
        return model


def fine_tune(
    job: FineTuning,
    out: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    cache: FeatureCache | None = None,
) -> Generator[Event, None, None]:
    """Fine-tune, or go on with what was interrupted.

    Parameters
    ----------
    job : FineTuning
    out : Path
        Folder of the run: new, or one of the same job.
    should_stop : callable
        Called at each step: once true, the training ends with the model so far.
    cache : FeatureCache, optional
        Of the encoder, for several trainings on the same copies.

    Yields
    ------
    Event
        Each after it is in the run's log. The last one is `Finished`, or `Failed` where there was
        nothing to keep. Of a run that has finished before, its `Finished` alone.

    Raises
    ------
    OneshotError
        If the training cannot begin or go on.
    """
    with open_run(out, job.config, job.template) as run:
        if (before := run.finished) is not None:
            yield before
            return
        check_encoder(run, job.encoder)
        log = EventLog(run.events_path)
        try:
            for event in FineTuner(job, RunCheckpoints(run), should_stop, cache).events():
                if isinstance(event, Finished):
                    event = replace(event, model=str(run.model_path.absolute()))
                if not log.append(event):
                    continue
                if isinstance(event, Finished):
                    run.finish(event)
                yield event
        finally:
            log.close()
