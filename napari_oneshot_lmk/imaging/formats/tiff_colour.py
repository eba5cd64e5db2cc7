"""Grey or red, green and blue from what a TIFF page calls its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_LINEAR_RAW = 34892
_UNSPECIFIED = 0


def grey_or_colours(samples: NDArray[Any], page: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return what is grey or colour of a page's samples, and what a user should know of it.

    Parameters
    ----------
    samples : ndarray, (H, W) or (H, W, S)
        As decoded.
    page : tifffile.TiffPage
        Its tags.

    Returns
    -------
    values : ndarray, (H, W) or (H, W, C)
        Larger is brighter.
    notes : tuple of str
        Sentences for the user.

    Raises
    ------
    ImageError
        If its colours are of a kind that nothing here reads.
    """
    photometric = _photometric(samples, page)
    first = samples if samples.ndim == 2 else samples[..., 0]
    if photometric == _RGB or (photometric == _LINEAR_RAW and samples.ndim == 3):
        return samples, ()
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _LINEAR_RAW):
        if photometric == _WHITE_IS_ZERO:
            first = _invert(first, int(page.bitspersample))
        return first, _left_out(samples, page)
    if photometric == _PALETTE:
        return _look_up_colours(first, page), ()
    if photometric == _CMYK and samples.ndim == 3 and samples.shape[-1] >= 4:
        return _mix_inks(samples), ()
    if photometric == _YCBCR:
        # The decoder of JPEG has made red, green and blue of them. Of others Y is the
        # very weighting that colour is turned to grey with.
        return samples if int(page.compression) in (6, 7) else first, ()
    name = getattr(page.photometric, "name", page.photometric)
    raise ImageError(
        f"TIFF files with colours of the kind {name} cannot be read",
        remedy="save it as grey or RGB",
    )


def _photometric(samples: NDArray[Any], page: Any) -> int:
    """Return what the samples are; a file that does not say means the usual."""
    if "PhotometricInterpretation" in page.tags:
        return int(page.photometric)
    colours = samples.ndim == 3 and samples.shape[-1] > 2
    return _RGB if colours else _BLACK_IS_ZERO


def _invert(grey: NDArray[Any], bits: int) -> NDArray[Any]:
    """Turn dark and bright round over the range of the stored bits."""
    if grey.dtype.kind == "f":
        return -grey
    if grey.dtype.kind == "i":
        return -1 - grey.astype(np.int64)
    if grey.dtype.kind == "b":
        return ~grey
    largest = (1 << bits) - 1
    return np.asarray(np.array(largest, grey.dtype) - grey)


def _look_up_colours(index: NDArray[Any], page: Any) -> NDArray[Any]:
    colours = page.colormap
    if colours is None:
        raise ImageError("the TIFF file lacks its palette", remedy="export it again")
    table = np.asarray(colours)
    if table.max() > 255:
        # 16 bits, of which programs write the same byte twice.
        table = table >> 8
    return np.moveaxis(table[:, index], 0, -1).astype(np.uint8)


def _mix_inks(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype.kind != "u":
        raise ImageError(
            "TIFF files of inks that are no whole numbers cannot be read",
            remedy="save it as grey or RGB",
        )
    largest = float(np.iinfo(samples.dtype).max)
    paper = (largest - samples[..., :4].astype(np.float32)) / largest
    return np.asarray(largest * paper[..., :3] * paper[..., 3:])


def _left_out(samples: NDArray[Any], page: Any) -> tuple[str, ...]:
    if samples.ndim == 2:
        return ()
    kinds = [int(kind) for kind in page.extrasamples]
    unnamed = samples.shape[-1] - 1 - sum(kind != _UNSPECIFIED for kind in kinds)
    if unnamed < 1:
        return ()
    return (f"the image has {samples.shape[-1]} channels of grey, of which the first is read",)
