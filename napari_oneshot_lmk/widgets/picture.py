"""Pixels on their way from a layer to a radiograph, for any thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage

# ITU-R BT.601, what image libraries mean by "convert to grey".
LUMA_RGB = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels on their way from a layer to a radiograph.

    Parameters
    ----------
    pixels : array_like, (H, W) or (H, W, 3 or 4)
        As the layer holds them, perhaps not loaded yet.
    rgb : bool
        Whether the last axis holds colours.
    geometry : Geometry
        Where the pixels lie.
    name : str
        Name of the image for tables.
    path : Path, optional
        The file that it came from.
    """

    pixels: Any
    rgb: bool
    geometry: Geometry
    name: str
    path: Path | None = None

    def radiograph(self) -> GrayImage:
        """Load the pixels and turn them into grey ones; for any thread.

        Raises
        ------
        ImageError
            If the picture is empty, without contrast, or not made of numbers.
        """
        pixels = np.asarray(self.pixels)
        if self.rgb:
            # An alpha channel says nothing about the anatomy.
            pixels = pixels[..., :3].astype(np.float32) @ LUMA_RGB
        # A copy: the user may paint on the layer while the image is worked on.
        grey = np.array(pixels, dtype=np.float32)
        return GrayImage(grey, self.geometry, self.name, self.path)
