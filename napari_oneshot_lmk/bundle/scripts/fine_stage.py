"""The second look of a bundle whose model has a fine stage: crops at a finer resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import MapTransform

MOST_MAGNIFIED = 4.0
PERCENTILES = (0.1, 99.9)


class CropGridd(MapTransform):
    """Resamples an image to pixels of one size and scales its grey values to 0..1.

    Parameters
    ----------
    keys : str
        Of a (1, rows, columns) image with its metadata.
    pixel : float
        Side of a pixel: millimetres, or pixels of the template if its spacing is unknown.
    template_shape_yx, template_spacing_mm_yx
        Of the template's image; where either spacing is unknown, both images are taken to show
        the same field of view in square pixels.
    """

    def __init__(
        self,
        keys: str,
        pixel: float,
        template_shape_yx: Sequence[int],
        template_spacing_mm_yx: Sequence[float] | None,
    ) -> None:
        super().__init__(keys)
        self.pixel = pixel
        self.shape_yx = np.array(template_shape_yx)
        self.spacing_mm_yx = template_spacing_mm_yx

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Resample each."""
        done = dict(data)
        for key in self.key_iterator(done):
            image = done[key]
            spacing = np.asarray(image.meta["spacing_mm_yx"], dtype=float)
            sizes = self._sizes(np.array(image.shape[-2:]), spacing)
            grey = F.interpolate(
                image.as_tensor()[None],
                sizes,
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )[0]
            low, high = np.percentile(grey.numpy(), PERCENTILES)
            scaled = ((grey - float(low)) / float(high - low)).clamp(0, 1)
            # In steps of 8 bits, as it was trained on.
            done[key] = (255 * scaled).round() / 255
        return done

    def _sizes(self, shape_yx: np.ndarray, spacing_mm_yx: np.ndarray) -> list[int]:
        if self.spacing_mm_yx is not None and np.isfinite(spacing_mm_yx).all():
            side_yx = self.pixel / spacing_mm_yx
        else:
            template_px = self.pixel / np.sqrt(np.prod(self.spacing_mm_yx or (1.0, 1.0)))
            areas = np.prod(shape_yx) / np.prod(self.shape_yx)
            side_yx = np.full(2, template_px * np.sqrt(areas))
        sizes = shape_yx / np.maximum(side_yx, 1 / MOST_MAGNIFIED)
        return [int(size) for size in np.maximum(1, sizes.round())]


class TwoLooks(torch.nn.Module):
    """Finds points on the small image, then looks again around each on the finer one."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images: torch.Tensor, crop_images: torch.Tensor) -> torch.Tensor:
        """Return (1, N, 5), the points of one image."""
        refined: torch.Tensor = self.second(crop_images, self.first(images))
        return refined


def prepare_batch(
    batch: Mapping[str, Any], device: torch.device, non_blocking: bool, **_: Any
) -> tuple[torch.Tensor, None, tuple[torch.Tensor], dict[str, Any]]:
    """Give an evaluator's network both images."""
    small, fine = (batch[k].to(device, non_blocking=non_blocking) for k in ("image", "crop"))
    return small, None, (fine,), {}
