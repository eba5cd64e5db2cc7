"""From an image file to a grey image with its geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import GeometryError, ImageError, OneshotError
from napari_oneshot_lmk.geometry import Geometry, checked_spacing
from napari_oneshot_lmk.imaging.find import on_disk
from napari_oneshot_lmk.imaging.formats import read_plane
from napari_oneshot_lmk.imaging.image import GrayImage, SpacingSource

# ITU-R BT.601: the eye's brightness of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def read_image(
    path: str | Path,
    *,
    spacing_mm_yx: float | tuple[float, float] | None = None,
    slice_index: int | None = None,
) -> GrayImage:
    """Read a two-dimensional grey image with its geometry.

    Parameters
    ----------
    path : str or Path
        DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG or BMP.
    spacing_mm_yx : float or pair of float, optional
        Millimetres between pixel centres, (row, column), instead of those in the file.
        Without either the spacing is unknown.
    slice_index : int, optional
        Slice or frame of a volume, from 0.

    Returns
    -------
    GrayImage
        Named like the file. Colour is turned to grey, MONOCHROME1 inverted, rescale slope
        and intercept applied; ``notes`` say what is unusual about the file.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds no image with any contrast.
    GeometryError
        If a spacing, given or stated, makes no sense.
    """
    path = on_disk(Path(path).expanduser())
    given = checked_spacing(spacing_mm_yx)
    try:
        plane = read_plane(path, slice_index)
        stated, pixels = plane.stated, to_gray(plane.values)
        geometry = Geometry(
            pixels.shape,
            _checked(stated.spacing_mm_yx) if given is None else given,
            stated.origin_lps_mm,
            stated.row_axis_lps,
            stated.column_axis_lps,
        )
        source = stated.spacing_source if given is None else SpacingSource.GIVEN
        return GrayImage(pixels, geometry, path.name, path, source, plane.notes)
    except OneshotError as error:
        # GrayImage knows the name only; a user needs the whole path.
        file = path if error.file in (None, path.name) else error.file
        raise type(error)(error.what, file=file, remedy=error.remedy) from error


def to_gray(values: NDArray[Any]) -> NDArray[np.float32]:
    """Turn (H, W) or (H, W, C) into (H, W) float32; alpha is left out."""
    if np.iscomplexobj(values):
        raise ImageError("the image holds complex numbers", remedy="save its magnitude")
    if values.ndim == 2:
        return values.astype(np.float32)
    channels = values.shape[-1]
    if channels > 4:
        raise ImageError(
            f"the image has {channels} colour channels", remedy="save it as grey or RGB"
        )
    first = values[..., 0]
    is_gray = channels < 3 or (
        np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2])
    )
    return first.astype(np.float32) if is_gray else values[..., :3].astype(np.float32) @ _LUMA


def _checked(spacing_mm_yx: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the spacing that a file states, refusing one that makes no sense."""
    try:
        return checked_spacing(spacing_mm_yx)
    except GeometryError as error:
        raise GeometryError(
            f"the file states a spacing that makes no sense: {error.what}",
            remedy="give the right one in millimetres per pixel (--spacing)",
        ) from error
