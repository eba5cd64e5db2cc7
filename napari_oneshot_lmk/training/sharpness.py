"""How sharp the maps of a trained model are, compared with those of detection without training.

The error of a point is estimated from how widely its posterior spreads, and a trained network's
spreads less without being so much better. So the posterior is flattened until it spreads as widely,
on the training's own images, as that of detection without training, for which it is known what a
spread says (docs/method.md). No annotation is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import FeaturePyramid
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.matching.uncertainty import log_spread
from napari_oneshot_lmk.training.events import Event, Preparing
from napari_oneshot_lmk.training.task import TrainingTask

IMAGES = 20
"""Images that are looked at: some hundred points."""
IMAGES_IF_STOPPED = 1
"""Who has stopped a training waits for its model."""
TRIED = tuple(float(each) for each in np.geomspace(0.1, 6.0, 13))
"""Between these it is interpolated."""


def measure_sharpness(
    model: TrainedModel, task: TrainingTask, instant: Detector, *, stopped: bool = False
) -> Generator[Event, None, TrainedModel]:
    """Return the model with its sharpness in its card; as it is where no image can be read.

    Only landmarks that its networks see are looked at: others are as sharp as without training.

    Yields `Preparing` for each image that was looked at. Of a training that was ``stopped`` these
    are few. ``instant`` is detection with the task's template, without training.
    """
    trained = TrainedDetector.from_model(model, encoder=task.encoder)
    aims, spreads, rows = [], [], trained.trained_rows
    if not rows:
        return model
    total = min(IMAGES_IF_STOPPED if stopped else IMAGES, len(task.images))
    for pyramid in _pyramids(task, total):
        # Not around the loop: what takes the events would be in inference mode, too.
        with torch.inference_mode():
            aims.append(_log_spreads(instant, pyramid, rows, (instant.sharpness,)))
            spreads.append(_log_spreads(trained, pyramid, rows, TRIED))
        yield Preparing("certainty", len(aims), total)
    if not aims:
        return model
    # A sharper posterior spreads less: ascending from the sharpest.
    means = np.mean(spreads, axis=0)[::-1]
    sharpness = np.exp(np.interp(np.mean(aims), means, np.log(TRIED)[::-1]))
    card = model.card.model_copy(update={"sharpness": round(float(sharpness), 4)})
    return replace(model, card=card)


def _pyramids(task: TrainingTask, count: int) -> Iterator[FeaturePyramid]:
    """Encode images from all over the training set, once more: not all features were kept."""
    every = task.images.usable
    chosen = np.linspace(0, len(every) - 1, count).round().astype(int)
    for index in chosen:
        try:
            image = task.images.read(every[index])
        except OneshotError:
            # Moved since the training began; it was trained on, and others are left.
            continue
        yield task.encoder(prepare_image(image, task.encoder.device))


def _log_spreads(
    detector: Detector, pyramid: FeaturePyramid, rows: list[int], sharpnesses: tuple[float, ...]
) -> list[float]:
    """Return the mean over the landmarks of some rows for each sharpness."""
    stride = min(level.stride for level in pyramid.levels)
    found, _, posterior = detector.shape.fit(detector.log_maps(pyramid), stride)
    each = (
        log_spread(posterior, found, detector.shape, stride, sharpness) for sharpness in sharpnesses
    )
    return [float(spread[rows].mean()) for spread in each]
