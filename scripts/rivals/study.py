"""What a rival may see of a data folder: the template with its landmarks, other images without.

No landmark but the template's is in a `Study`: a rival cannot read a test image's truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.feature_files import FeatureFiles
from napari_oneshot_lmk.encoders.device import autocast, resolve_precision
from napari_oneshot_lmk.encoders.encoder import Encoder, FeaturePyramid
from napari_oneshot_lmk.errors import WeightsError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Points
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import BRIGHTEST_PERCENT, DARKEST_PERCENT, prepare_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.template import Template

SIDE = NETWORK_SHAPE_YX[0]
"""Pixels along a side of the grid that all rivals but FM-OSD's fine stage see."""
STRIDES = (2, 4, 8, 16, 32)
"""Of VGG19's maps after its poolings, which CC2D reads."""


class PooledMaps:
    """VGG19 as CC2D reads it: the five maps after its poolings."""

    def __init__(self, encoder: Encoder) -> None:
        if encoder.card.name != "vgg19":
            raise WeightsError(
                "the rivals read VGG19, whose weights were not found",
                remedy="name a file with --encoder-weights",
            )
        self._encoder, self.card, self.device = encoder, encoder.card, encoder.device

    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1."""
        return self._encoder(images).after_pooling


@dataclass(frozen=True, eq=False)
class Query:
    """One image on which landmarks are sought."""

    image: GrayImage
    pixels: Tensor
    """(1, 1, 384, 384), grey values in 0..1."""


@dataclass(frozen=True, eq=False)
class Study:
    """Template, unlabelled images and the frozen encoder."""

    template: Template
    images: tuple[Tensor, ...]
    """Training images, (1, 1, 384, 384) uint8 each, the template's own among them where the
    data folder has it there."""
    encoder: PooledMaps
    folder: Path
    """Where features of whole images are kept."""
    seed: int = 0
    others: tuple[tuple[Tensor, ...], ...] = ()
    """Images of other anatomies, one tuple each; only UOD reads them."""
    own: tuple[bool, ...] = ()
    """Which of the images is the template's."""

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        encoder: Encoder,
        folder: Path,
        seed: int = 0,
        also: tuple[Dataset, ...] = (),
    ) -> Study:
        """Read the training images and the template of a data folder."""
        return cls(
            dataset.template(),
            _images(dataset),
            PooledMaps(encoder),
            folder,
            seed,
            tuple(_images(other) for other in also),
            tuple(name == dataset.template_image for name in dataset.train),
        )

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.encoder.device

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the encoder's five maps, fine to coarse."""
        return tuple(each.channels for each in self.encoder.card.levels if each.after_pooling)

    @cached_property
    def _kept(self) -> FeatureFiles:
        return FeatureFiles(self.encoder, self.folder)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the five maps of (B, 1, H, W) patches, which are seen once."""
        with torch.no_grad():
            return [each.float() for each in self.encoder(pixels.to(self.device)).maps]

    def kept_maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the five maps of whole images (B, 1, H, W), each encoded once for all rivals."""
        with torch.no_grad():
            each = [self._kept(one[None]).maps for one in pixels]
        return [torch.cat(level).float() for level in zip(*each, strict=True)]

    def encode_all(self, tell: Callable[[int, int], None]) -> None:
        """Encode the training images and the template, where that is not done yet."""
        every = [self.template_pixels, *(self.pixels([i]) for i in range(len(self.images)))]
        for done, pixels in enumerate(every, start=1):
            with torch.no_grad():
                self._kept(pixels)
            tell(done, len(every))

    def pixels(self, indices: list[int] | tuple[int, ...]) -> Tensor:
        """Return training images, (B, 1, 384, 384), grey values in 0..1."""
        return torch.cat([self.images[i] for i in indices]).to(self.device).float() / 255

    def draw(self, count: int, generator: torch.Generator) -> list[int]:
        """Draw so many different training images."""
        return torch.randperm(len(self.images), generator=generator)[:count].tolist()

    @cached_property
    def unlabelled(self) -> tuple[int, ...]:
        """Training images but the template's."""
        return tuple(i for i, own in enumerate(self.own) if not own)

    @cached_property
    def template_pixels(self) -> Tensor:
        """The template on the network's grid, (1, 1, 384, 384)."""
        return prepare_image(self.template.image, self.device)

    @cached_property
    def template_yx(self) -> Tensor:
        """The template's placed landmarks, (N, 2) float32, network pixels."""
        positions = [p.position_yx for p in self.template.landmarks.placed]
        points: Points = self.template.image.geometry.points_to_network(np.array(positions))
        return torch.from_numpy(points).float().to(self.device)

    def autocast(self) -> torch.autocast:
        """Compute in the precision that is quick here, inside a ``with`` block."""
        return autocast(self.device, resolve_precision(self.device, "auto"))

    def query(self, image: GrayImage) -> Query:
        """Prepare an image in which landmarks are sought."""
        return Query(image, prepare_image(image, self.device))


def native_grey(image: GrayImage) -> Tensor:
    """Return an image at its own resolution, (1, 1, h, w), scaled as by `prepare_image`."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
    small = image.geometry.pixels_to_network(pixels).numpy()
    low, high = np.percentile(small, [DARKEST_PERCENT, BRIGHTEST_PERCENT])
    return ((pixels - float(low)) / float(high - low)).clamp(0, 1)


def _images(dataset: Dataset) -> tuple[Tensor, ...]:
    """Read the training images of a folder as 8-bit pixels of the network's grid."""
    read = []
    for name in dataset.train:
        spacing = dataset.spacing_mm_yx(name)
        image = read_image(dataset.file_of(name).path, spacing_mm_yx=spacing)
        read.append((prepare_image(image) * 255).round().to(torch.uint8))
    return tuple(read)
