"""How much faster a training step is than the plain one, with the same loss."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.plain_step import plain_loss
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.device import keep_freed_memory
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import Inspection
from napari_oneshot_lmk.training.feature_cache import FeatureCache, pooled_levels
from napari_oneshot_lmk.training.first_pass import EncodedImages, encode_images
from napari_oneshot_lmk.training.methods import LABEL_STAGE, Batch
from napari_oneshot_lmk.training.objective import Objective
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.pseudo_labels import initial_labels
from napari_oneshot_lmk.training.state import NetworkState
from napari_oneshot_lmk.training.task import TrainingTask

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.dataset import Dataset


@dataclass(frozen=True)
class StepTimes:
    """What one step cost in both ways; a sample is one landmark of one image.

    Parameters
    ----------
    plain_s, ours_s : float
        Seconds a sample, forward and backward.
    plain_loss, ours_loss : float
        Of the same samples, float32.
    samples, plain_samples : int
        In our step, and in the plain one, which is too slow for as many.
    """

    plain_s: float
    ours_s: float
    plain_loss: float
    ours_loss: float
    samples: int
    plain_samples: int

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.plain_s / self.ours_s

    def as_dict(self) -> dict[str, Any]:
        """Return the members and the ratio by name."""
        return asdict(self) | {"ratio": self.ratio}


def fused_task(dataset: Dataset, preset: str, encoder: Encoder) -> TrainingTask:
    """Return a fused training on as many training images of a data folder as a batch has.

    Labels are not weighted: the plain step knows no weights.
    """
    template = dataset.template()
    settings = Preset.load(preset)
    names = [n for n in dataset.train if n != dataset.template_image]
    count = settings.training.batch
    inspection = Inspection(template)
    for name in (names or dataset.test)[:count]:
        inspection.inspect(dataset.file_of(name))
    config = TrainingConfig(preset=settings.changed({"labels.weigh": False}), template_stage=False)
    return TrainingTask(
        config=config.resolved(template, lambda: False),
        template=template,
        images=inspection.result(),
        encoder=encoder,
    )


def measure_step(task: TrainingTask, *, plain_landmarks: int = 2, repeats: int = 5) -> StepTimes:
    """Time both steps on the same images in one run, in float32.

    Parameters
    ----------
    task : TrainingTask
        Fused, anchors from the template, a soft target; as many images as a batch.
    plain_landmarks : int
        Of the first image, that the plain step is given; the losses are compared on
        these.
    repeats : int
        Of our step; the median counts.
    """
    keep_freed_memory()
    cache = FeatureCache(task.encoder, len(task.images) + 1)
    encoded = EncodedImages(cache, task.images.usable, Detector(task.template, task.encoder))
    for _ in encode_images(task, encoded, None):
        pass
    labels = initial_labels(task, encoded)
    channels = tuple(level.channels for level in pooled_levels(task.encoder))
    state = NetworkState.begin(task, 0, channels, labels)
    assert isinstance(state.network, LandmarkNetwork)
    # Batch statistics depend on what is computed together, so both steps take the
    # running ones; gradients flow as in training.
    state.network.eval()
    objective = Objective(task, encoded, None, state.network, state.rows)
    every = tuple(range(len(state.rows)))
    images = tuple(range(len(encoded.images)))

    def ours(plan: Batch) -> tuple[float, float]:
        state.optimiser.zero_grad(set_to_none=True)
        started = time.perf_counter()
        loss = objective.losses(plan, labels, torch.Generator())[LABEL_STAGE]
        loss.backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - started, float(loss.detach())

    full = Batch(LABEL_STAGE, images, (), every)
    ours(full)
    ours_s = median(ours(full)[0] for _ in range(repeats))
    few = every[:plain_landmarks]
    _, ours_loss = ours(Batch(LABEL_STAGE, images[:1], (), few))

    pictures = [prepare_image(task.images.read(encoded.images[0]), task.encoder.device)]
    state.optimiser.zero_grad(set_to_none=True)
    started = time.perf_counter()
    loss = plain_loss(
        state.network,
        task.encoder,
        prepare_image(task.template.image, task.encoder.device),
        _pairs(task.template_points_yx[[state.rows[k] for k in few]]),
        pictures,
        [_pairs(labels.points_yx[0, [state.rows[k] for k in few]])],
        task.preset.loss,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    plain_s = (time.perf_counter() - started) / len(few)
    samples = len(images) * len(every)
    return StepTimes(plain_s, ours_s / samples, float(loss.detach()), ours_loss, samples, len(few))


def step_lines(times: StepTimes) -> list[str]:
    """Return the lines of ``step.md``."""
    return [
        "# A training step",
        "",
        "| | plain | ours |",
        "|---|---|---|",
        f"| s / sample | {times.plain_s:.3f} | {times.ours_s:.4f} |",
        f"| loss, same samples | {times.plain_loss:.5f} | {times.ours_loss:.5f} |",
        "",
        f"Ours is {times.ratio:.1f} times faster. A sample is one landmark of one "
        f"image, forward and backward; {times.samples} in our step, "
        f"{times.plain_samples} in the plain one.",
    ]


def _pairs(points_yx: np.ndarray[Any, Any]) -> list[tuple[float, float]]:
    return [(float(y), float(x)) for y, x in points_yx]
