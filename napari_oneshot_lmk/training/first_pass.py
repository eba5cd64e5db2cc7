"""One pass over the images before training: features, and first pseudo-labels.

The encoder is frozen and whole images are never augmented, so each is encoded once: its maps
go into the cache, the similarity maps of instant detection are kept coarsely, and where it
finds the landmarks is the first label. The processes of a group take turns and exchange what
they have computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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
from napari_oneshot_lmk.network.windows import Region
from napari_oneshot_lmk.training.augmentation import Copies
from napari_oneshot_lmk.training.dataset import TrainingImage
from napari_oneshot_lmk.training.events import Event, Preparing
from napari_oneshot_lmk.training.feature_cache import FeatureCache
from napari_oneshot_lmk.training.task import TrainingTask

FINEST = 2
"""Stride of the maps that shape and similarity settle on."""
KEPT = 4
"""Stride of the instant maps that are kept: a fourth of the memory."""
NEAR = 48
"""Cells along a side, around the point that was found, that are kept at the finest stride."""
TEMPLATE = "template"
"""Key of the template in the cache."""
IMAGES_AHEAD = 3
"""Images that are being read or wait while the encoder works."""


class Instant(NamedTuple):
    """Instant detection in an image."""

    log_map: Tensor  # log-similarity (N, H / 4, W / 4) in half precision
    near: Tensor  # the same at the finest stride around ``found_yx``, (N, rows, columns)
    found_yx: NDArray[np.float64]  # (N, 2) network pixels
    expected_yx: NDArray[np.float64]  # (N, 2), where the shape expects them


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """All images as training sees them: the template, its augmented copies, unlabelled images."""

    cache: FeatureCache
    images: tuple[TrainingImage, ...]
    """Unlabelled, in the order of the labels."""
    detector: Detector
    """Instant detection with the template."""
    instants: list[Instant] = field(default_factory=list)
    """Of each image."""
    bytes_by_content: dict[str, Tensor] = field(default_factory=dict)
    """Images as 8-bit pixels, where patches are cut from them."""

    @property
    def shape(self) -> ShapeModel:
        """The template's shape step."""
        return self.detector.shape

    def instant_map(self, index: int) -> Tensor:
        """Return the log-similarity of instant detection in an image, (N, H / 2, W / 2).

        Around the points that it has found as it saw it, elsewhere smoother.
        """
        instant = self.instants[index]
        maps = F.interpolate(
            instant.log_map[None].float(),
            scale_factor=KEPT / FINEST,
            mode="bilinear",
            align_corners=False,
        )[0]
        region = _around(instant.found_yx, maps)
        rows, columns = region.cells(0)[0, :, :, None], region.cells(1)[0, :, None, :]
        landmarks = torch.arange(len(maps))[:, None, None]
        return maps.index_put((landmarks, rows, columns), instant.near.float())

    def image(self, content: str) -> Tensor:
        """Return an image on the network's grid, (1, 1, H, W) in 0..1."""
        return self.bytes_by_content[content].float() / 255


@dataclass(frozen=True, eq=False)
class _Encoded:
    """An image or copy as the other processes need it."""

    content: str
    maps: tuple[Tensor, ...] = ()  # only where there are other processes
    pixels: Tensor | None = None  # 8 bits, only where patches of it are trained on
    instant: Instant | None = None


def encode_images(
    task: TrainingTask, encoded: EncodedImages, copies: Copies | None
) -> Iterator[Event]:
    """Fill an `EncodedImages`: cache, labels, maps; yield `Preparing` for each image."""
    template = prepare_image(task.template.image, task.encoder.device)
    encoded.cache.get(TEMPLATE, lambda: template)
    _keep(encoded, _for_others(task, encoded, TEMPLATE, template))
    steps = [("images", len(encoded.images), _encode_images(task, encoded))]
    if copies is not None:
        steps.append(("copies", len(copies), _encode_copies(task, encoded, copies)))
    for what, count, own in steps:
        for done, one in enumerate(task.group.gather_in_order(count, own), start=1):
            _keep(encoded, one)
            yield Preparing(what, done, count)


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
            near = _around(found.numpy(), seen).crop(seen[None, :, None])[0, :, 0]
        instant = Instant(
            smaller.half().cpu().clone(),
            near.half().cpu().clone(),
            found.numpy(),
            expectation.points_yx.numpy(),
        )
        yield _for_others(task, encoded, image.sha256, pixels, instant)


def _around(points_yx: NDArray[np.float64], maps: Tensor) -> Region:
    """Return the cells that are kept of (N, h, w) maps around (N, 2) points."""
    full_yx = (int(maps.shape[-2]), int(maps.shape[-1]))
    return Region.around(torch.from_numpy(points_yx)[None], FINEST, NEAR, full_yx)


def _encode_copies(
    task: TrainingTask, encoded: EncodedImages, copies: Copies
) -> Iterator[_Encoded]:
    """Encode the augmented templates of this process's shard."""
    for index in task.group.shard(range(len(copies))):
        image, content = copies.copy(index).image, copies.key(index)
        if content not in encoded.cache:
            encoded.cache.keep([content], encoded.cache.encode(image))
        yield _for_others(task, encoded, content, image)


def _keep(encoded: EncodedImages, one: _Encoded) -> None:
    """Keep what this process or another has encoded."""
    # Files that another process wrote are there already where they can be seen.
    if one.content not in encoded.cache:
        encoded.cache.keep([one.content], one.maps)
    if one.pixels is not None:
        encoded.bytes_by_content[one.content] = one.pixels
    if one.instant is not None:
        encoded.instants.append(one.instant)


def _for_others(
    task: TrainingTask,
    encoded: EncodedImages,
    content: str,
    image: Tensor,
    instant: Instant | None = None,
) -> _Encoded:
    maps: tuple[Tensor, ...] = ()
    pixels = None
    if task.group.is_distributed:
        maps = encoded.cache.batch([content], torch.device("cpu"), torch.float16)
    if task.method.reads_patches(task.preset.training):
        pixels = (image * 255).round().to(torch.uint8).cpu()
    return _Encoded(content, maps, pixels, instant)
