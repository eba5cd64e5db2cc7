"""What PNG, JPEG and BMP share: a picture that Pillow has opened."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.stored_plane import check_size

# Modes whose arrays are grey, or red, green, blue and perhaps alpha, as they are.
_AS_THEY_ARE = {"L", "LA", "I", "F", "RGB", "RGBA", "RGBX"}


def values_of(picture: Image.Image) -> NDArray[Any]:
    """Return the pixels of an open picture: (H, W), or (H, W, C) with colours first.

    Raises
    ------
    ImageError
        If it has a kind of colour that nothing here uses.
    OSError
        If the file ends before the picture does.
    """
    check_size(*picture.size)
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.array(picture)
    if mode == "1":
        return np.array(picture.convert("L"))
    if mode in ("P", "PA"):
        # Transparent entries of a palette keep their colour.
        picture.info.pop("transparency", None)
        return np.array(picture.convert("RGB"))
    if mode in ("CMYK", "YCbCr"):
        return np.array(picture.convert("RGB"))
    if mode not in _AS_THEY_ARE:
        raise ImageError(
            f"the picture has colours of the kind {mode}, which cannot be read",
            remedy="save it as grey or RGB",
        )
    return np.array(picture)
