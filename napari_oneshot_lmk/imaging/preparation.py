"""From a radiograph to the network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.radiograph import Radiograph
from napari_oneshot_lmk.imaging.spacing_source import SpacingSource

if TYPE_CHECKING:
    import torch

DARKEST_PERCENT = 0.1
BRIGHTEST_PERCENT = 99.9


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image on the network's grid: all that detection needs of a file.

    Parameters
    ----------
    pixels : Tensor, (1, 1, H, W), float32
        In 0..1, in main memory.
    geometry : Geometry
        From that grid to the image's own.
    name : str
        Of the image.
    spacing_source, notes
        As of the `Radiograph`.
    """

    pixels: torch.Tensor
    geometry: Geometry
    name: str
    spacing_source: SpacingSource | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: Radiograph, network_shape_yx: tuple[int, int]) -> PreparedImage:
        """Prepare an image for a network's grid.

        Raises
        ------
        ImageError
            As `prepared`.
        """
        geometry = image.geometry.with_network_shape(network_shape_yx)
        if geometry != image.geometry:
            image = replace(image, geometry=geometry)
        pixels = prepared(image)
        return cls(pixels, geometry, image.name, image.spacing_source, image.notes)


def prepared(image: Radiograph, device: str | torch.device = "cpu") -> torch.Tensor:
    """Resample an image to the network's grid and scale its grey values to 0..1.

    The range runs from the 0.1th to the 99.9th percentile, so that 8-bit films,
    12-bit detectors and Hounsfield units arrive alike, and a burnt-in marker or a
    dead pixel does not decide.

    Parameters
    ----------
    image : Radiograph
        Any size and grey range.
    device : str or torch.device
        Where the result lies.

    Returns
    -------
    Tensor, (1, 1, H, W), float32
        On the network's grid of the image's geometry.

    Raises
    ------
    ImageError
        If all but a few of its pixels have the same value.
    """
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
    small = image.geometry.pixels_to_network(pixels)
    # The percentiles of the small image are those of the large one up to noise,
    # at a fraction of the time.
    low, high = np.percentile(small.numpy(), [DARKEST_PERCENT, BRIGHTEST_PERCENT])
    if not high > low:
        raise ImageError(
            "all but a few pixels have the same value, there is nothing to match",
            file=image.name or None,
            remedy="check the exposure or the export",
        )
    return ((small - float(low)) / float(high - low)).clamp(0, 1).to(device)
