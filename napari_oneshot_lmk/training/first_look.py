"""One pass over the images before training: features, and a first guess.

The encoder is frozen and whole images are never augmented, so each is encoded
once: its maps after the poolings go into the store, what instant detection sees
in it is kept coarsely, and where it finds the landmarks is the first label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.preparation import prepared
from napari_oneshot_lmk.matching.shape import ShapeStep
from napari_oneshot_lmk.training.events import Event, Preparing
from napari_oneshot_lmk.training.feature_store import FeatureStore
from napari_oneshot_lmk.training.images import TrainingImage
from napari_oneshot_lmk.training.read_ahead import Source, read_ahead
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.template_copies import TemplateCopies

FINEST = 2
"""Stride of the maps that shape and similarity settle on."""
KEPT = 4
"""Stride of the instant maps that are kept: a fourth of the memory."""
TEMPLATE = "template"
"""What the store knows the template by."""


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What was seen.

    Parameters
    ----------
    store : FeatureStore
        Maps of the template, its copies and all images.
    images : tuple of TrainingImage
        In the order of the labels.
    detector : Detector
        Instant detection with the template.
    found_yx, expected_yx : list of ndarray, (N, 2)
        Instant detection's points and where the shape expects them, for each image,
        pixels of the network's grid.
    """

    store: FeatureStore
    images: tuple[TrainingImage, ...]
    detector: Detector
    found_yx: list[NDArray[np.float64]] = field(default_factory=list)
    expected_yx: list[NDArray[np.float64]] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)
    pictures: dict[str, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> ShapeStep:
        """The template's shape step."""
        return self.detector.shape

    def instant_map(self, index: int) -> Tensor:
        """Return what instant detection saw in an image, (N, H / 2, W / 2)."""
        kept = self.maps[index]
        return F.interpolate(
            kept[None].float(),
            scale_factor=KEPT / FINEST,
            mode="bilinear",
            align_corners=False,
        )[0]

    def picture(self, content: str) -> Tensor:
        """Return an image on the network's grid, (1, 1, H, W) in 0..1."""
        return self.pictures[content].float() / 255


def first_look(
    task: TrainingTask, look: FirstLook, copies: TemplateCopies | None
) -> Iterator[Event]:
    """Fill a `FirstLook`.

    Parameters
    ----------
    task : TrainingTask
        What is trained.
    look : FirstLook
        Filled here: the store, the labels, the maps.
    copies : TemplateCopies, optional
        Of the template, where they are trained on.

    Yields
    ------
    Event
        `Preparing`, one an image.
    """
    keep_pictures = task.preset.training.anchor == "patch" or task.method == "joint"

    def remember(content: str, picture: Tensor) -> None:
        if keep_pictures:
            look.pictures[content] = (picture * 255).round().to(torch.uint8).cpu()

    template = prepared(task.template.image, task.encoder.device)
    remember(TEMPLATE, template)
    look.store.get(TEMPLATE, lambda: template)
    count = len(look.images)
    sources = [
        Source(image.sha256, lambda image=image: prepared(task.images.read(image)))  # type: ignore[misc]
        for image in look.images
    ]
    for done, (read, picture) in enumerate(read_ahead(sources, 1), start=1):
        pyramid = task.encoder(picture)
        look.store.keep([read[0].content], pyramid.after_pooling.maps)
        remember(read[0].content, picture)
        with torch.inference_mode():
            seen = look.detector.log_maps(pyramid)
            found, expectation, _ = look.shape.settle(seen, FINEST)
            smaller = F.avg_pool2d(seen[None], KEPT // FINEST)[0]
        look.maps.append(smaller.half().cpu().clone())
        look.found_yx.append(found.numpy())
        look.expected_yx.append(expectation.points_yx.numpy())
        yield Preparing("images", done, count)
    if copies is None:
        return
    for index in range(len(copies)):
        copy = copies.copy(index)
        remember(copies.key(index), copy.image)
        look.store.get(copies.key(index), lambda copy=copy: copy.image)  # type: ignore[misc]
        yield Preparing("copies", index + 1, len(copies))
