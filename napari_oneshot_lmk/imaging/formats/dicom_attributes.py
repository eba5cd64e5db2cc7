"""What the attributes of a DICOM frame mean: spacing, orientation and grey values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi

from napari_oneshot_lmk.imaging.formats.base import StatedGeometry, orthonormal, triple
from napari_oneshot_lmk.imaging.image import SpacingSource

# Functional groups (PS3.3, C.7.6.16) whose attributes plain images have at the top of the file.
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FramePixelDataPropertiesSequence",
    "XRayGeometrySequence",
)
# PixelSpacing is calibrated to the patient; the other two are those of the detector or the
# film, on which the patient appears a few per cent larger.
_SPACINGS = (
    ("PixelSpacing", SpacingSource.PIXEL_SPACING),
    ("ImagerPixelSpacing", SpacingSource.IMAGER),
    ("NominalScannedPixelSpacing", SpacingSource.NOMINAL),
)
_MAGNIFICATION = "EstimatedRadiographicMagnificationFactor"


def attributes_of_frame(header: Dataset, index: int) -> Dataset:
    """Return a data set in which a frame's own attributes replace those of all frames."""
    frame = Dataset()
    frame.update(header)
    # Binary tables have the file's byte order.
    frame.set_original_encoding(*header.original_encoding)
    frame.file_meta = header.file_meta
    shared = header.get("SharedFunctionalGroupsSequence") or []
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    for group in [*shared[:1], *per_frame[index : index + 1]]:
        for macro in _MACROS:
            if items := group.get(macro):
                frame.update(items[0])
    return frame


def _numbers(frame: Dataset, keyword: str) -> list[float] | None:
    """Return the numbers of an attribute; [] where it is empty, None for other text."""
    try:
        # Some programs write decimal commas, which the standard forbids and pydicom refuses.
        return [float(p.replace(",", ".")) for p in _text(frame, keyword).split("\\") if p]
    except ValueError:
        return None


def _text(frame: Dataset, keyword: str) -> str:
    """Return an attribute as it stands in the file; "" where it is missing."""
    value = frame.get_item(keyword).value if keyword in frame else None
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, str | int | float):
        return str(value).strip(" \0")
    return "\\".join(str(part) for part in value)


def stated_geometry(frame: Dataset) -> tuple[StatedGeometry, tuple[str, ...]]:
    """Return where a frame's pixels lie, and what a user should know of it."""
    spacing, source, notes = _spacing(frame)
    axes = np.array(_numbers(frame, "ImageOrientationPatient") or [])
    # Anonymised files may hold zeros there, which say as much as nothing.
    if axes.size != 6 or not np.linalg.norm(np.cross(axes[:3], axes[3:])) >= 0.5:
        return StatedGeometry(spacing, spacing_source=source).without_default(), notes
    position = _numbers(frame, "ImagePositionPatient") or []
    row_axis, column_axis = orthonormal(axes[3:], axes[:3])
    is_known = len(position) == 3 and np.isfinite(position).all()
    origin = triple(position) if is_known else (0.0, 0.0, 0.0)
    stated = StatedGeometry(spacing, origin, row_axis, column_axis, source)
    return stated.without_default(), notes


def _spacing(
    frame: Dataset,
) -> tuple[tuple[float, float] | None, SpacingSource | None, tuple[str, ...]]:
    for keyword, source in _SPACINGS:
        values = _numbers(frame, keyword)
        if values == []:
            continue
        if values is None or len(values) != 2:
            # Taking the next one, some per cent off, would go unnoticed.
            note = (
                f"{keyword} says {_text(frame, keyword)[:60]!r}, which is not two numbers, "
                "so the spacing is unknown; give it in millimetres per pixel (--spacing)"
            )
            return None, None, (note,)
        row, column = values
        magnification = (_numbers(frame, _MAGNIFICATION) or [1.0])[0]
        if source is SpacingSource.IMAGER and 1.0 < magnification <= 10.0:
            scaled = row / magnification, column / magnification
            return scaled, SpacingSource.IMAGER_MAGNIFIED, ()
        return (row, column), source, ()
    return None, None, ()


def brighter_is_larger(
    stored: NDArray[Any], frame: Dataset, white_is_zero: bool, shifted: bool
) -> NDArray[Any]:
    """Apply what gives stored values their meaning, and turn dark and bright the right way.

    Rescale slope and intercept or the Modality LUT are applied, a VOI LUT only where it turns
    dark and bright round: contrast is scaled later anyway. Then MONOCHROME1 or the Presentation
    LUT Shape INVERSE inverts over the whole range; DX files have both, and mean it once.
    ``shifted``: values do not begin at the lowest bit of their words.
    """
    bits, signed = int(frame.BitsStored), int(frame.PixelRepresentation) != 0
    values, lowest_and_highest = stored, 0.0
    if stored.dtype.kind in "iu":
        if shifted:
            values = _stored_bits(stored, bits, int(frame.HighBit), signed)
        lowest_and_highest = -1.0 if signed else float(2**bits - 1)
    if frame.get("ModalityLUTSequence"):
        values = _look_up(values, frame, frame.ModalityLUTSequence)
        lowest_and_highest = _range_of(frame.ModalityLUTSequence)
    else:
        slope = (_numbers(frame, "RescaleSlope") or [1.0])[0]
        intercept = (_numbers(frame, "RescaleIntercept") or [0.0])[0]
        if (slope, intercept) != (1.0, 0.0) and slope != 0:
            values = values * slope + intercept
            lowest_and_highest = slope * lowest_and_highest + 2 * intercept
    if _is_decreasing(frame):
        values = _look_up(values, frame, frame.VOILUTSequence)
        lowest_and_highest = _range_of(frame.VOILUTSequence)
    shape = str(frame.get("PresentationLUTShape") or "").strip().upper()
    if white_is_zero or shape == "INVERSE":
        values = lowest_and_highest - values.astype(np.float64)
    return values


def _stored_bits(words: NDArray[Any], bits: int, high_bit: int, signed: bool) -> NDArray[Any]:
    """Return the bits up to ``high_bit``, from 0, of each word, as numbers."""
    low = high_bit + 1 - bits
    if bits < 1 or low < 0 or high_bit >= words.dtype.itemsize * 8:
        raise ValueError(f"{bits} bits up to bit {high_bit} do not fit a word")
    unsigned = words.view(f"u{words.dtype.itemsize}").astype(np.int64)
    inside = (unsigned >> low) & ((1 << bits) - 1)
    sign = 1 << (bits - 1)
    return np.asarray((inside ^ sign) - sign) if signed else inside


def _is_decreasing(frame: Dataset) -> bool:
    """Say whether the first VOI LUT makes of larger values smaller ones."""
    if not frame.get("VOILUTSequence"):
        return False
    entries, first = (int(n) for n in frame.VOILUTSequence[0].LUTDescriptor[:2])
    if int(frame.PixelRepresentation) and first > 2**15 - 1:
        first -= 2**16
    ends = np.array([[first, first + (entries or 2**16) - 1]], dtype=np.int64)
    darkest, brightest = _look_up(ends, frame, frame.VOILUTSequence).astype(float)[0]
    return bool(darkest > brightest)


def _look_up(values: NDArray[Any], frame: Dataset, sequence: Any) -> NDArray[np.integer[Any]]:
    """Apply a lookup table of either kind: pydicom reads Modality LUTs of 8 and 16 bits only."""
    table = Dataset()
    table.set_original_encoding(*frame.original_encoding)
    table.file_meta = frame.file_meta
    table.PixelRepresentation = frame.PixelRepresentation
    table.VOILUTSequence = sequence
    return np.asarray(apply_voi(np.rint(values).astype(np.int64), table))


def _range_of(sequence: Any) -> float:
    """Return the sum of the lowest and the highest value that a LUT can give."""
    return float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
