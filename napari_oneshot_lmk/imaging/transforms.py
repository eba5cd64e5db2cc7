"""From an image in memory to the network's input.

The steps exist twice, and tests hold them to each other: `prepare_image` computes them, and
`preprocessing_config` writes them into MONAI bundles, which run without this program. MONAI's
own transforms would do for both, but importing MONAI takes longer than all else that a detection
needs. Points follow by `Geometry.points_to_network`, exact in double precision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage

DARKEST_PERCENT = 0.1
BRIGHTEST_PERCENT = 99.9


def prepare_image(image: GrayImage, device: str | torch.device = "cpu") -> torch.Tensor:
    """Bring an image to its geometry's network grid, and its grey values to 0..1.

    The image is resampled bilinearly and antialiased. Grey values are scaled to 0..1 from the
    0.1th to the 99.9th percentile, so that 8-bit scans, 12-bit detectors and Hounsfield units
    look alike whatever a burnt-in marker or a dead pixel holds. The percentiles of the small
    image are those of the large one up to noise, at a fraction of the time.

    Returns
    -------
    Tensor, (1, 1, H, W), float32

    Raises
    ------
    ImageError
        If all but a few of its pixels have the same value.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
    shape_yx = image.geometry.network_shape_yx
    resampled = F.interpolate(pixels, shape_yx, mode="bilinear", antialias=True)
    # NumPy's percentiles take a tenth of the time of torch's.
    low, high = np.percentile(resampled.numpy(), (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    if not high > low:
        raise ImageError(
            "all but a few pixels have the same value, there is nothing to match",
            file=image.name or None,
            remedy="check the exposure or the export",
        )
    scaled = ((resampled - float(low)) / float(high - low)).clamp(0, 1)
    return scaled.to(device)


def prepare_for_network(image: GrayImage, network_shape_yx: tuple[int, int]) -> PreparedImage:
    """Prepare an image for the grid of a network, with what detection needs of it."""
    geometry = image.geometry.with_network_shape(network_shape_yx)
    pixels = prepare_image(replace(image, geometry=geometry))
    return PreparedImage(pixels, geometry, image.name, image.spacing_source, image.notes)


def preprocessing_config() -> list[dict[str, Any]]:
    """Return the steps of `prepare_image` as a MONAI bundle writes them.

    They begin with a (1, rows, columns) image under the key ``image``; the configuration around
    them imports torch and holds ``network_shape_yx``. MONAI leaves an image without contrast
    unscaled, which `prepare_image` refuses.
    """
    return [
        {
            "_target_": "Lambdad",
            "keys": "image",
            "func": "$lambda image: torch.nn.functional.interpolate("
            "image[None], tuple(@network_shape_yx), mode='bilinear', "
            "align_corners=False, antialias=True)[0]",
        },
        {
            "_target_": "ScaleIntensityRangePercentilesd",
            "keys": "image",
            **{"lower": DARKEST_PERCENT, "upper": BRIGHTEST_PERCENT},
            **{"b_min": 0.0, "b_max": 1.0, "clip": True},
        },
    ]
