"""An image with its feature maps, and how it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_oneshot_lmk.detection.orientation import UPRIGHT, Orientation
from napari_oneshot_lmk.encoders.encoder import Encoder, FeaturePyramid
from napari_oneshot_lmk.imaging.image import PreparedImage


@dataclass(frozen=True)
class EncodedImage:
    """An image on the network's grid, encoded."""

    prepared: PreparedImage
    pyramid: FeaturePyramid
    """Of the image turned from ``orientation`` to that of the template."""
    orientation: Orientation | None = None
    """How it lies; None: taken as the template, before the first look."""

    @property
    def lies(self) -> Orientation:
        """How it was matched."""
        return self.orientation or UPRIGHT


def encode_images(encoder: Encoder, images: Sequence[PreparedImage]) -> list[EncodedImage]:
    """Run the encoder once and split its maps by image."""
    if not images:
        return []
    pyramid = encoder(torch.cat([image.pixels for image in images]).to(encoder.device))
    return [
        EncodedImage(
            image,
            FeaturePyramid(tuple(level[i : i + 1] for level in pyramid.maps), pyramid.levels),
        )
        for i, image in enumerate(images)
    ]
