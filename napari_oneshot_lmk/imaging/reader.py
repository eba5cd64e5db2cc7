"""From an image file to a radiograph."""

from __future__ import annotations

import logging
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, OneshotError
from napari_oneshot_lmk.geometry import Geometry, checked_spacing
from napari_oneshot_lmk.imaging.find import on_disk
from napari_oneshot_lmk.imaging.image import GrayImage, SpacingSource


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
        Millimetres between pixel centres, (row, column); it goes before what
        the file states. Without it and without a statement in the file the
        spacing is unknown.
    slice_index : int, optional
        Slice or frame of a volume, from 0.

    Returns
    -------
    GrayImage
        Named like the file. Colour is turned to grey, MONOCHROME1 inverted,
        rescale slope and intercept applied. It says where its spacing comes from,
        and in ``notes`` what is unusual about the file.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds no picture with any contrast.
    GeometryError
        If a spacing, given or stated, makes no sense.
    """
    # MONAI takes seconds to load, which --help does not need.
    from napari_oneshot_lmk.imaging.transforms import GrayPlaneReader

    path = on_disk(Path(path).expanduser())
    given = checked_spacing(spacing_mm_yx)
    try:
        loaded = _loader()(path, reader=GrayPlaneReader(slice_index))
        meta = loaded.meta
        pixels = loaded.numpy()
        geometry = Geometry(
            (pixels.shape[0], pixels.shape[1]),
            origin_lps_mm=tuple(meta["origin_lps_mm"]),
            row_axis_lps=tuple(meta["row_axis_lps"]),
            column_axis_lps=tuple(meta["column_axis_lps"]),
        )
        geometry = geometry.with_spacing(_stated(meta) if given is None else given)
        source = meta["spacing_source"] if given is None else SpacingSource.GIVEN
        notes = tuple(meta["notes"])
        return GrayImage(pixels, geometry, path.name, path, source, notes)
    except OneshotError as error:
        # GrayImage knows the name only; a user needs the whole path.
        file = path if error.file in (None, path.name) else error.file
        raise type(error)(error.what, file=file, remedy=error.remedy) from error


read_radiograph = read_image
"""The name of the first version."""


@lru_cache(maxsize=1)
def _loader() -> Any:
    """Return MONAI's loader; making one looks for many optional packages.

    It reports each of them that is missing or has no GPU, though none is used.
    """
    from monai.transforms import LoadImage

    gpu_plugin = logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")
    level = gpu_plugin.level
    gpu_plugin.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LoadImage(image_only=True, dtype=np.float32)
    finally:
        gpu_plugin.setLevel(level)


def _stated(meta: dict[str, Any]) -> tuple[float, float] | None:
    """Return the spacing in the file, refusing one that makes no sense."""
    stated = meta["spacing_mm_yx"]
    try:
        return checked_spacing(stated)
    except GeometryError as error:
        raise GeometryError(
            f"the file states a {error.what}",
            remedy="give the right one in millimetres per pixel (--spacing)",
        ) from error
