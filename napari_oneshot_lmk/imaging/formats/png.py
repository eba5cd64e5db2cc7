"""PNG, through Pillow; 16-bit colour, which Pillow cuts to 8 bits, by imagecodecs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.formats.base import (
    StatedGeometry,
    StoredPlane,
    check_size,
    choose_slice,
    values_of,
)

# What Pillow calls the rows of 16-bit pictures that it would read as 8-bit ones.
_CUT_TO_8_BITS = {"LA;16B", "RGB;16B", "RGBA;16B"}


def read(path: Path, slice_index: int | None) -> StoredPlane:
    """Read a PNG file; of an animated one the picture that others show of it.

    Raises
    ------
    SyntaxError, OSError, ValueError
        If a checksum is wrong or the file ends early.
    """
    choose_slice(1, slice_index)
    with PngImageFile(path) as picture:
        check_size(*picture.size)
        # Looks at all checksums, which reading does not, and uses the picture up.
        picture.verify()
    with PngImageFile(path) as picture:
        notes = _notes(picture)
        if picture.tile and picture.tile[0][3] in _CUT_TO_8_BITS:
            values: NDArray[Any] = _sixteen_bits(path)
        else:
            picture.load()
            values = values_of(picture)
    # Dots per inch say how large to print, not how large a patient is.
    return StoredPlane(values, StatedGeometry(), FileKind.PNG, notes)


def _sixteen_bits(path: Path) -> NDArray[Any]:
    import imagecodecs

    values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    # Of grey and alpha the grey; alpha of colours stays behind them.
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 2 else values


def _notes(picture: PngImageFile) -> tuple[str, ...]:
    frames = getattr(picture, "n_frames", 1)
    if frames < 2:
        return ()
    return (f"the file is an animation of {frames} pictures, of which one is read",)
