"""One pass over the images before training: features, and first pseudo-labels.

The encoder is frozen and whole images are never augmented, so each is encoded once: its
maps after the poolings go into the cache, the similarity maps of instant detection are
kept coarsely, and where it finds the landmarks is the first label. The processes of a
group take turns and send one another what they have computed.
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
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.training.augmentation import TemplateAugmentation
from napari_oneshot_lmk.training.dataset import TrainingImage
from napari_oneshot_lmk.training.events import Event, Preparing
from napari_oneshot_lmk.training.feature_cache import FeatureCache
from napari_oneshot_lmk.training.task import TrainingTask

FINEST = 2
"""Stride of the maps that shape and similarity settle on."""
KEPT = 4
"""Stride of the instant maps that are kept: a fourth of the memory."""
TEMPLATE = "template"
"""What the cache knows the template by."""
IMAGES_AHEAD = 3
"""That are being read or wait while the encoder works."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """All images as training sees them.

    Parameters
    ----------
    cache : FeatureCache
        Maps of the template, its augmented copies and all images.
    images : tuple of TrainingImage
        In the order of the labels.
    detector : Detector
        Instant detection with the template.
    found_yx, expected_yx : list of ndarray, (N, 2)
        Instant detection's points and where the shape expects them, for each image,
        pixels of the network's grid.
    instant_maps : list of Tensor, (N, H / 4, W / 4)
        What it saw in each image, in half precision.
    bytes_by_content : dict of str to Tensor
        Images as 8-bit pixels, where patches are cut from them.
    """

    cache: FeatureCache
    images: tuple[TrainingImage, ...]
    detector: Detector
    found_yx: list[NDArray[np.float64]] = field(default_factory=list)
    expected_yx: list[NDArray[np.float64]] = field(default_factory=list)
    instant_maps: list[Tensor] = field(default_factory=list)
    bytes_by_content: dict[str, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> ShapeModel:
        """The template's shape step."""
        return self.detector.shape

    def instant_map(self, index: int) -> Tensor:
        """Return what instant detection saw in an image, (N, H / 2, W / 2)."""
        kept = self.instant_maps[index]
        return F.interpolate(
            kept[None].float(), scale_factor=KEPT / FINEST, mode="bilinear", align_corners=False
        )[0]

    def image(self, content: str) -> Tensor:
        """Return an image on the network's grid, (1, 1, H, W) in 0..1."""
        return self.bytes_by_content[content].float() / 255


@dataclass(frozen=True, eq=False)
class _Encoded:
    """An image or copy as the other processes need it: no maps where there are none."""

    content: str
    maps: tuple[Tensor, ...]
    pixels: Tensor | None
    instant: tuple[Tensor, NDArray[np.float64], NDArray[np.float64]] | None = None


def encode_images(
    task: TrainingTask, encoded: EncodedImages, copies: TemplateAugmentation | None
) -> Iterator[Event]:
    """Fill an `EncodedImages`: cache, labels, maps; yield `Preparing` for each image."""
    template = prepare_image(task.template.image, task.encoder.device)
    encoded.cache.get(TEMPLATE, lambda: template)
    if (pixels := _as_bytes(task, template)) is not None:
        encoded.bytes_by_content[TEMPLATE] = pixels
    count = len(encoded.images)
    images = task.group.gather_in_order(count, _encode_images(task, encoded))
    for done, one in enumerate(images, start=1):
        _keep(encoded, one)
        yield Preparing("images", done, count)
    if copies is None:
        return
    made = task.group.gather_in_order(len(copies), _encode_copies(task, encoded, copies))
    for done, one in enumerate(made, start=1):
        _keep(encoded, one)
        yield Preparing("copies", done, len(copies))


def _encode_images(task: TrainingTask, encoded: EncodedImages) -> Iterator[_Encoded]:
    """Encode the images of this process's shard, and detect in them."""

    def read(image: TrainingImage) -> Tensor:
        return prepare_image(task.images.read(image))

    shard = task.group.shard(encoded.images)
    for image, pixels in prefetch(shard, read, threads=1, waiting=IMAGES_AHEAD):
        if isinstance(pixels, OneshotError):
            raise pixels
        pyramid = task.encoder(pixels)
        encoded.cache.keep([image.sha256], pyramid.after_pooling.maps)
        with torch.inference_mode():
            seen = encoded.detector.log_maps(pyramid)
            found, expectation, _ = encoded.shape.fit(seen, FINEST)
            smaller = F.avg_pool2d(seen[None], KEPT // FINEST)[0]
        coarse = smaller.half().cpu().clone()
        yield _Encoded(
            image.sha256,
            _maps_for_others(task, encoded, image.sha256),
            _as_bytes(task, pixels),
            (coarse, found.numpy(), expectation.points_yx.numpy()),
        )


def _encode_copies(
    task: TrainingTask, encoded: EncodedImages, copies: TemplateAugmentation
) -> Iterator[_Encoded]:
    """Encode the augmented templates of this process's shard."""
    for index in task.group.shard(range(len(copies))):
        copy, content = copies.copy(index), copies.key(index)
        encoded.cache.get(content, lambda copy=copy: copy.image)  # type: ignore[misc]
        maps = _maps_for_others(task, encoded, content)
        yield _Encoded(content, maps, _as_bytes(task, copy.image))


def _keep(encoded: EncodedImages, one: _Encoded) -> None:
    """Keep what this process or another has encoded."""
    # Files that another process wrote are there already where they can be seen.
    if one.content not in encoded.cache:
        encoded.cache.keep([one.content], one.maps)
    if one.pixels is not None:
        encoded.bytes_by_content[one.content] = one.pixels
    if one.instant is not None:
        coarse, found_yx, expected_yx = one.instant
        encoded.instant_maps.append(coarse)
        encoded.found_yx.append(found_yx)
        encoded.expected_yx.append(expected_yx)


def _as_bytes(task: TrainingTask, image: Tensor) -> Tensor | None:
    """Return an image in 8 bits, where patches of it are trained on."""
    if not task.method.reads_patches(task.preset.training):
        return None
    return (image * 255).round().to(torch.uint8).cpu()


def _maps_for_others(
    task: TrainingTask, encoded: EncodedImages, content: str
) -> tuple[Tensor, ...]:
    """Return maps as they are kept, where there are other processes."""
    if not task.group.is_distributed:
        return ()
    return encoded.cache.batch([content], torch.device("cpu"), torch.float16)
