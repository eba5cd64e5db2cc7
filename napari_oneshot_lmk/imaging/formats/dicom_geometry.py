"""Spacing, orientation and position that a DICOM frame states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from napari_oneshot_lmk.imaging.formats.dicom_frame import numbers, text_of
from napari_oneshot_lmk.imaging.spacing_source import SpacingSource
from napari_oneshot_lmk.imaging.stored_plane import StatedGeometry, orthonormal, triple

# PixelSpacing is calibrated to the patient; the other two lie in the plane of
# the detector or of the film, a few per cent larger than the patient.
_SPACINGS = (
    ("PixelSpacing", SpacingSource.PIXEL_SPACING),
    ("ImagerPixelSpacing", SpacingSource.IMAGER),
    ("NominalScannedPixelSpacing", SpacingSource.NOMINAL),
)
_MAGNIFICATION = "EstimatedRadiographicMagnificationFactor"


@dataclass(frozen=True)
class DicomGeometry:
    """What a frame states, and what a user should know of it."""

    geometry: StatedGeometry
    notes: tuple[str, ...] = ()


def stated_geometry(frame: Dataset) -> DicomGeometry:
    """Return what a frame states about where its pixels lie.

    Parameters
    ----------
    frame : Dataset
        From `attributes_of_frame`.
    """
    spacing, source, notes = _spacing(frame)
    axes = np.array(numbers(frame, "ImageOrientationPatient") or [])
    # Anonymised files may hold zeros there, which say as much as nothing.
    if axes.size != 6 or not np.linalg.norm(np.cross(axes[:3], axes[3:])) >= 0.5:
        stated = StatedGeometry(spacing, spacing_source=source)
        return DicomGeometry(stated.without_default(), notes)
    position = numbers(frame, "ImagePositionPatient") or []
    row_axis, column_axis = orthonormal(axes[3:], axes[:3])
    known = len(position) == 3 and np.isfinite(position).all()
    origin = triple(position) if known else (0.0, 0.0, 0.0)
    stated = StatedGeometry(spacing, origin, row_axis, column_axis, source)
    return DicomGeometry(stated.without_default(), notes)


def _spacing(
    frame: Dataset,
) -> tuple[tuple[float, float] | None, SpacingSource | None, tuple[str, ...]]:
    for keyword, source in _SPACINGS:
        values = numbers(frame, keyword)
        if values == []:
            continue
        if values is None or len(values) != 2:
            # Taking the next one, some per cent off, would go unnoticed.
            stands = text_of(frame, keyword)[:60]
            note = (
                f"{keyword} says {stands!r}, which is not two numbers, so the spacing "
                "is unknown; give it in millimetres per pixel (--spacing)"
            )
            return None, None, (note,)
        spacing = (values[0], values[1])
        magnification = numbers(frame, _MAGNIFICATION) or [1.0]
        if source is SpacingSource.IMAGER and 1.0 < magnification[0] <= 10.0:
            spacing = (values[0] / magnification[0], values[1] / magnification[0])
            source = SpacingSource.IMAGER_MAGNIFIED
        return spacing, source, ()
    return None, None, ()
