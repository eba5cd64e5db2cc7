"""One pass over the images before training: features, and a first guess.

The encoder is frozen and whole images are never augmented, so each is encoded
once: its maps after the poolings go into the store, what instant detection sees
in it is kept coarsely, and where it finds the landmarks is the first label.
Processes that train together take turns and show one another what they saw.
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
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.matching.shape import ShapeStep
from napari_oneshot_lmk.training.augmentation import TemplateCopies
from napari_oneshot_lmk.training.dataset import TrainingImage
from napari_oneshot_lmk.training.events import Event, Preparing
from napari_oneshot_lmk.training.feature_cache import FeatureStore, Source, read_ahead
from napari_oneshot_lmk.training.task import TrainingTask

FINEST = 2
"""Stride of the maps that shape and similarity settle on."""
KEPT = 4
"""Stride of the instant maps that are kept: a fourth of the memory."""
TEMPLATE = "template"
"""What the store knows the template by."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image or copy as the others need it: the maps only where there are any."""

    content: str
    maps: tuple[Tensor, ...]
    picture: Tensor | None
    instant: tuple[Tensor, NDArray[np.float64], NDArray[np.float64]] | None = None


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
            kept[None].float(), scale_factor=KEPT / FINEST, mode="bilinear", align_corners=False
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
    template = prepare_image(task.template.image, task.encoder.device)
    look.store.get(TEMPLATE, lambda: template)
    if (picture := _picture(task, template)) is not None:
        look.pictures[TEMPLATE] = picture
    images = task.world.all_of(len(look.images), _images_seen(task, look))
    for done, seen in enumerate(images, start=1):
        _remember(look, seen)
        yield Preparing("images", done, len(look.images))
    if copies is None:
        return
    for done, seen in enumerate(
        task.world.all_of(len(copies), _copies_seen(task, look, copies)), start=1
    ):
        _remember(look, seen)
        yield Preparing("copies", done, len(copies))


def _images_seen(task: TrainingTask, look: FirstLook) -> Iterator[_Seen]:
    """Encode the images whose turn is this process's, and detect in them."""
    sources = [
        Source(image.sha256, lambda image=image: prepare_image(task.images.read(image)))  # type: ignore[misc]
        for image in task.world.turns(look.images)
    ]
    for read, picture in read_ahead(sources, 1):
        content = read[0].content
        pyramid = task.encoder(picture)
        look.store.keep([content], pyramid.after_pooling.maps)
        with torch.inference_mode():
            seen = look.detector.log_maps(pyramid)
            found, expectation, _ = look.shape.settle(seen, FINEST)
            smaller = F.avg_pool2d(seen[None], KEPT // FINEST)[0]
        coarse = smaller.half().cpu().clone()
        instant = (coarse, found.numpy(), expectation.points_yx.numpy())
        maps = _maps_for_others(task, look, content)
        yield _Seen(content, maps, _picture(task, picture), instant)


def _copies_seen(task: TrainingTask, look: FirstLook, copies: TemplateCopies) -> Iterator[_Seen]:
    """Encode the copies whose turn is this process's."""
    for index in task.world.turns(range(len(copies))):
        copy, content = copies.copy(index), copies.key(index)
        look.store.get(content, lambda copy=copy: copy.image)  # type: ignore[misc]
        maps = _maps_for_others(task, look, content)
        yield _Seen(content, maps, _picture(task, copy.image))


def _remember(look: FirstLook, seen: _Seen) -> None:
    """Keep what this process or another has seen."""
    # Files that another process wrote are there already where it can be seen.
    if seen.content not in look.store:
        look.store.keep([seen.content], seen.maps)
    if seen.picture is not None:
        look.pictures[seen.content] = seen.picture
    if seen.instant is not None:
        smaller, found_yx, expected_yx = seen.instant
        look.maps.append(smaller)
        look.found_yx.append(found_yx)
        look.expected_yx.append(expected_yx)


def _picture(task: TrainingTask, picture: Tensor) -> Tensor | None:
    """Return a picture in 8 bits, where patches of it are trained on."""
    if not task.method.reads_patches(task.preset.training):
        return None
    return (picture * 255).round().to(torch.uint8).cpu()


def _maps_for_others(task: TrainingTask, look: FirstLook, content: str) -> tuple[Tensor, ...]:
    """Return maps as they are kept, where there are other processes."""
    if not task.world.several:
        return ()
    return look.store.batch([content], torch.device("cpu"), torch.float16)
