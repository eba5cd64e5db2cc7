"""The grid of the fine stage: square pixels of one size on all images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.transforms import prepare_image

MOST_MAGNIFIED = 4.0
"""Grid pixels per pixel of an image, at most: a wrong spacing is not to fill the memory."""


@dataclass(frozen=True)
class CropGrid:
    """Pixels of one size in millimetres; without a spacing, in parts of the field of view.

    Where the template or an image does not state its spacing, both are taken to show the same
    field of view in square pixels.
    """

    template: Geometry
    pixel: float
    """Side of a grid pixel: millimetres, or pixels of the template if its spacing is unknown."""

    def geometry_of(self, image: Geometry) -> Geometry:
        """Return an image's geometry with this grid in the place of the network's."""
        if self.template.spacing_mm_yx is not None and image.spacing_mm_yx is not None:
            side_yx = self.pixel / np.array(image.spacing_mm_yx)
        else:
            template_px = self.pixel / np.sqrt(np.prod(self.template.spacing_mm_yx or (1.0, 1.0)))
            areas = np.prod(image.image_shape_yx) / np.prod(self.template.image_shape_yx)
            side_yx = np.full(2, template_px * np.sqrt(areas))
        sizes = np.array(image.image_shape_yx) / np.maximum(side_yx, 1 / MOST_MAGNIFIED)
        rows, columns = np.maximum(1, sizes.round()).astype(int).tolist()
        return image.with_network_shape((rows, columns))

    def prepare(self, image: GrayImage) -> torch.Tensor:
        """Bring an image to the grid, (1, 1, h, w) uint8; grey values as `prepare_image`."""
        geometry = self.geometry_of(image.geometry)
        prepared = prepare_image(replace(image, geometry=geometry))
        return (255 * prepared).round().to(torch.uint8)
