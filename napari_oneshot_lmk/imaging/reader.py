"""From an image file to a grey image with its geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    # MONAI takes seconds to load, which --help does not need.
    from napari_oneshot_lmk.imaging.transforms import GrayPlaneReader, image_loader

    path = on_disk(Path(path).expanduser())
    given = checked_spacing(spacing_mm_yx)
    try:
        loaded = image_loader()(path, reader=GrayPlaneReader(slice_index))
        meta, pixels = loaded.meta, loaded.numpy()
        geometry = Geometry(
            pixels.shape,
            _stated_spacing(meta) if given is None else given,
            tuple(meta["origin_lps_mm"]),
            tuple(meta["row_axis_lps"]),
            tuple(meta["column_axis_lps"]),
        )
        source = meta["spacing_source"] if given is None else SpacingSource.GIVEN
        return GrayImage(pixels, geometry, path.name, path, source, tuple(meta["notes"]))
    except OneshotError as error:
        # GrayImage knows the name only; a user needs the whole path.
        file = path if error.file in (None, path.name) else error.file
        raise type(error)(error.what, file=file, remedy=error.remedy) from error


def _stated_spacing(meta: dict[str, Any]) -> tuple[float, float] | None:
    """Return the spacing in the file, refusing one that makes no sense."""
    try:
        return checked_spacing(meta["spacing_mm_yx"])
    except GeometryError as error:
        raise GeometryError(
            f"the file states a {error.what}",
            remedy="give the right one in millimetres per pixel (--spacing)",
        ) from error
