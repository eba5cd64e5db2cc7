"""PNG, through Pillow; 16-bit colour, which Pillow cuts to 8 bits, by imagecodecs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from napari_oneshot_lmk.imaging.formats.base import (
    ImagePlane,
    check_size,
    choose_slice,
    pillow_values,
)

# What Pillow calls the rows of 16-bit images that it would read as 8-bit ones.
_CUT_TO_8_BITS = {"LA;16B", "RGB;16B", "RGBA;16B"}


def read(path: Path, slice_index: int | None) -> ImagePlane:
    """Read a PNG file; of an animated one the image that other programs show of it."""
    choose_slice(1, slice_index)
    with PngImageFile(path) as image:
        check_size(*image.size)
        # Looks at all checksums, which reading does not, and uses the image up.
        image.verify()
    with PngImageFile(path) as image:
        frames = getattr(image, "n_frames", 1)
        if image.tile and image.tile[0][3] in _CUT_TO_8_BITS:
            import imagecodecs

            values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        else:
            image.load()
            values = pillow_values(image)
    notes = (f"the file is an animation of {frames} images, of which one is read",)
    # Dots per inch say how large to print, not how large a patient is.
    return ImagePlane(values, notes=notes if frames > 1 else ())
