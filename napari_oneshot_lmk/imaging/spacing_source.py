"""Where a pixel spacing comes from, which decides what its millimetres mean."""

from __future__ import annotations

from enum import StrEnum


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
    def said(self) -> str:
        """The source in words, with what its millimetres are measured in."""
        return f"{self}{_MEANING.get(self, '')}"


_MEANING = {
    SpacingSource.IMAGER_MAGNIFIED: ", in the plane of the patient by estimate",
    SpacingSource.IMAGER: ", in the plane of the detector",
    SpacingSource.NOMINAL: ", in the plane of the film",
}
