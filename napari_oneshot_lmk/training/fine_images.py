"""What the fine stage is trained on: images on its grid, with the points found before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.orientation import Orientation
from napari_oneshot_lmk.detection.points_on_image import points_on_network
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.crop_grid import CropGrid
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.training.dataset import TrainingSet

Array = NDArray[np.float64]
IMAGES_AHEAD = 3
"""Images that are being read or wait while the encoder works."""


class Labels(NamedTuple):
    """Pseudo-labels of all images."""

    points_yx: Array
    """(I, N, 2) as fractions of the field of view: 0 and 1 are its borders, in the template's
    orientation."""
    residuals: Array
    """(I, N) distance from where the other landmarks expect each, as a fraction of the
    template's size."""


class Found(NamedTuple):
    """An image that was read and detected on."""

    pixels: Tensor  # (1, 1, h, w) uint8 on the crop grid, in the template's orientation
    points_yx: Array  # (N, 2) as of `Labels`
    orientation: str


def find_coarse(
    detector: Detector, grid: CropGrid, images: TrainingSet, known: list[str] | None = None
) -> Iterator[Found]:
    """Read all images and detect on them.

    ``known`` are the orientations of each: then nothing is detected, and points are NaN.
    """
    names = [point.name for point in detector.template.landmarks.placed]

    def prepare(index: int) -> tuple[PreparedImage | None, Tensor]:
        image: GrayImage = images.read(images.usable[index])
        # Detection prepares an image a second time, in this thread, too.
        return (None if known else detector.prepare(image)), grid.prepare(image)

    arriving = prefetch(range(len(images)), prepare, threads=1, waiting=IMAGES_AHEAD)
    for index, made in arriving:
        if isinstance(made, OneshotError):
            raise made
        prepared, pixels = made
        points_yx, lies = np.full((len(names), 2), np.nan), known[index] if known else ""
        if prepared is not None:
            [found] = detector.detect_batch([prepared])
            on_grid = points_on_network(found, names)
            points_yx = (on_grid + 0.5) / prepared.geometry.network_shape_yx
            lies = found.provenance.orientation
        yield Found(Orientation.named(lies).undone(pixels), points_yx, lies)


@dataclass(frozen=True, eq=False)
class ShapeResiduals:
    """How far points are from where the others expect them."""

    shape: ShapeModel
    network_shape_yx: tuple[int, int]

    def __call__(self, points_yx: Array) -> Array:
        """Return (N,) residuals of the (N, 2) points of an image, as of `Labels`."""
        on_grid = torch.from_numpy(points_yx * self.network_shape_yx - 0.5)
        expected = self.shape.expect(on_grid).points_yx
        apart = (on_grid - expected) * self.shape.pixel_size_yx
        return np.asarray((apart.norm(dim=1) / self.shape.size).numpy())

    def labels(self, points_yx: Array) -> Labels:
        """Return (I, N, 2) points of all images with their residuals."""
        return Labels(points_yx, np.stack([self(each) for each in points_yx]))
