"""Grey images with their geometry, on their own grid and on the network's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.geometry import Geometry

if TYPE_CHECKING:
    import torch


class SpacingSource(StrEnum):
    """What states a pixel spacing; the value is the name in the file."""

    GIVEN = "given by the user"
    PIXEL_SPACING = "PixelSpacing"
    IMAGER_MAGNIFIED = "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    IMAGER = "ImagerPixelSpacing"
    NOMINAL = "NominalScannedPixelSpacing"
    NIFTI_SFORM = "NIfTI sform"
    NIFTI_QFORM = "NIfTI qform"
    NIFTI_PIXDIM = "NIfTI pixdim"
    NRRD_DIRECTIONS = "NRRD space directions"
    NRRD_SPACINGS = "NRRD spacings"
    META_SPACING = "MetaImage ElementSpacing"
    META_SIZE = "MetaImage ElementSize"
    IMAGEJ = "ImageJ resolution"
    OME = "OME PhysicalSize"
    HEADER = "header of the file"

    @property
    def explained(self) -> str:
        """The source in words, with what its millimetres are measured in."""
        return f"{self}{_MEANING.get(self, '')}"


_MEANING = {
    SpacingSource.IMAGER_MAGNIFIED: ", in the plane of the patient by estimate",
    SpacingSource.IMAGER: ", in the plane of the detector",
    SpacingSource.NOMINAL: ", in the plane of the film",
}


@dataclass(frozen=True, eq=False)
class GrayImage:
    """A two-dimensional grey image.

    Parameters
    ----------
    pixels : ndarray, (H, W), float32
        Larger is brighter; MONOCHROME1 is inverted and the rescale slope applied already.
    geometry : Geometry
        Where the pixels lie; its image shape is that of ``pixels``.
    name : str
        Name of the file or of the napari layer.
    path : Path, optional
        The file it was read from.
    spacing_source : SpacingSource, optional
        What states the spacing; None for an unknown one and for a napari layer's.
    notes : tuple of str
        What a user should know of how the file was read, one sentence each.

    Raises
    ------
    ImageError
        If pixels are not two-dimensional, empty, not finite, or all the same.
    """

    pixels: NDArray[np.float32]
    geometry: Geometry
    name: str = ""
    path: Path | None = None
    spacing_source: SpacingSource | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the pixels: shape, finite, contrast."""
        pixels = _two_dimensional(self.pixels, self.name)
        low, high = float(pixels.min()), float(pixels.max())
        what, remedy = "", ""
        if pixels.shape != self.geometry.image_shape_yx:
            grid = self.geometry.image_shape_yx
            what = f"pixels of shape {pixels.shape} do not lie on the grid {grid}"
        elif not np.isfinite(low) or not np.isfinite(high):
            what = "the image holds values that are not numbers (NaN or infinite)"
            remedy = "export it again from the program that wrote it"
        elif low == high:
            what = f"every pixel has the same value ({low:g}), there is nothing to match"
            remedy = "check the exposure or the export"
        if what:
            raise ImageError(what, file=self.name or None, remedy=remedy or None)
        object.__setattr__(self, "pixels", pixels)

    @classmethod
    def from_array(
        cls, pixels: ArrayLike, spacing_mm_yx: ArrayLike | None = None, name: str = ""
    ) -> GrayImage:
        """Wrap a (H, W) array; ``spacing_mm_yx`` None means unknown."""
        array = _two_dimensional(pixels, name)
        geometry = Geometry((array.shape[0], array.shape[1])).with_spacing(spacing_mm_yx)
        return cls(array, geometry, name)

    def with_spacing(self, spacing_mm_yx: ArrayLike | None) -> GrayImage:
        """Return the same image with another pixel spacing, in mm."""
        source = None if spacing_mm_yx is None else SpacingSource.GIVEN
        geometry = self.geometry.with_spacing(spacing_mm_yx)
        return replace(self, geometry=geometry, spacing_source=source)


def _two_dimensional(pixels: ArrayLike, name: str) -> NDArray[np.float32]:
    array = np.asarray(pixels, dtype=np.float32)
    if array.ndim != 2 or array.size == 0:
        raise ImageError(
            f"an array of shape {array.shape} is not a two-dimensional image", file=name or None
        )
    return array


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image on the network's grid: all that detection needs of a file."""

    pixels: torch.Tensor
    """(1, 1, H, W), float32 in 0..1, in main memory."""
    geometry: Geometry
    name: str
    spacing_source: SpacingSource | None = None
    notes: tuple[str, ...] = ()
    crop_pixels: torch.Tensor | None = None
    """(1, 1, h, w), uint8 on a `CropGrid`, where a fine stage looks at it."""
