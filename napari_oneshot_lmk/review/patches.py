"""The surroundings of one landmark on two images, at the same scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_oneshot_lmk.geometry import Geometry

PART = 0.16
"""Side of a patch, as a fraction of the template image's longer side."""


def patch_sizes_yx(template: Geometry, image: Geometry) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows and columns of a patch on the template and on an image.

    The same millimetres on both where both spacings are known, and otherwise the same part
    of the longer side.
    """
    side = PART * max(template.image_shape_yx)
    ours, theirs = image.spacing_mm_yx, template.spacing_mm_yx
    if ours is not None and theirs is not None:
        mm = side * min(theirs)
        return mm / np.array(theirs), mm / np.array(ours)
    return np.full(2, side), np.full(2, PART * max(image.image_shape_yx))


def patch_frame(
    centre_yx: tuple[float, float], size_yx: NDArray[Any]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the first pixel (row, column) of a patch, and its rows and columns.

    The centre lies in the middle of the middle pixel: sides are odd.
    """
    half = np.maximum(1, np.round(np.asarray(size_yx) / 2).astype(int))
    return np.round(np.asarray(centre_yx)).astype(int) - half, 2 * half + 1


def cut_patch(pixels: Any, centre_yx: tuple[float, float], size_yx: NDArray[Any]) -> NDArray[Any]:
    """Cut the `patch_frame` out of (H, W) or (H, W, C) pixels; what lies outside is 0.

    Only the part that is cut is read, so the pixels may lie on disk.
    """
    first, sides = patch_frame(centre_yx, size_yx)
    last = first + sides
    shape = np.array(pixels.shape[:2])
    begin, end = np.clip(first, 0, shape), np.clip(last, 0, shape)
    inside = np.asarray(pixels[begin[0] : end[0], begin[1] : end[1]])
    # All of it may lie beside the image.
    before = np.clip(begin - first, 0, sides - (end - begin))
    margins = [tuple(pair) for pair in np.stack([before, sides - (end - begin) - before], 1)]
    return np.pad(inside, [*margins, *[(0, 0)] * (inside.ndim - 2)])
