"""The attributes of one frame of a DICOM image, from wherever the file keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi

from napari_oneshot_lmk.imaging.formats.base import StatedGeometry, orthonormal, triple
from napari_oneshot_lmk.imaging.image import SpacingSource

# Functional groups (PS3.3, C.7.6.16) whose attributes mean the same as those of a
# plain image at the top of its file.
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FramePixelDataPropertiesSequence",
    "XRayGeometrySequence",
)


def attributes_of_frame(header: Dataset, index: int) -> Dataset:
    """Return a data set in which a frame's own attributes go before those of all.

    Parameters
    ----------
    header : Dataset
        Of the file, without its pixels.
    index : int
        The frame, from 0.
    """
    frame = Dataset()
    frame.update(header)
    # Tables in binary are read by the file's order of bytes.
    frame.set_original_encoding(*header.original_encoding)
    frame.file_meta = header.file_meta
    shared = header.get("SharedFunctionalGroupsSequence") or []
    of_each = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*shared[:1], *of_each[index : index + 1]]
    for group in groups:
        for macro in _MACROS:
            items = group.get(macro) or []
            if items:
                frame.update(items[0])
    return frame


def numbers(frame: Dataset, keyword: str) -> list[float] | None:
    """Return the numbers of an attribute; [] where it is missing or empty.

    Some programs write decimal commas, which the standard forbids and pydicom
    refuses; the number that is meant is plain.

    Returns
    -------
    list of float or None
        None where something else than numbers stands there.
    """
    text = text_of(frame, keyword)
    try:
        return [float(part.replace(",", ".")) for part in text.split("\\") if part]
    except ValueError:
        return None


def text_of(frame: Dataset, keyword: str) -> str:
    """Return an attribute as text, as it stands in the file; "" where it is missing."""
    if keyword not in frame:
        return ""
    value = frame.get_item(keyword).value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, str | int | float):
        return str(value).strip(" \0")
    return "\\".join(str(part) for part in value)


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


def shown_values(
    stored: NDArray[Any], frame: Dataset, white_is_zero: bool, shifted: bool
) -> NDArray[Any]:
    """Apply what gives values their meaning, and turn dark and bright the right way.

    Rescale slope and intercept or the Modality LUT are applied. A VOI LUT is
    applied where it turns dark and bright round; else it changes the contrast only,
    which is scaled later anyway. MONOCHROME1, or the Presentation LUT Shape
    INVERSE, then inverts over the whole range; files of DX have both, and mean it
    once.

    Parameters
    ----------
    stored : ndarray, (H, W)
        As decoded.
    frame : Dataset
        From `attributes_of_frame`.
    white_is_zero : bool
        The photometric interpretation is MONOCHROME1.
    shifted : bool
        Values do not begin at the lowest bit of their words.
    """
    bits, signed = int(frame.BitsStored), int(frame.PixelRepresentation) != 0
    values = stored
    lowest_and_highest = 0.0
    if stored.dtype.kind in "iu":
        if shifted:
            values = meant_bits(stored, bits, int(frame.HighBit), signed)
        lowest_and_highest = -1.0 if signed else float(2**bits - 1)
    if frame.get("ModalityLUTSequence"):
        values = _looked_up(values, frame, frame.ModalityLUTSequence)
        lowest_and_highest = _range(frame.ModalityLUTSequence)
    else:
        slope = (numbers(frame, "RescaleSlope") or [1.0])[0]
        intercept = (numbers(frame, "RescaleIntercept") or [0.0])[0]
        if (slope, intercept) != (1.0, 0.0) and slope != 0:
            values = values * slope + intercept
            lowest_and_highest = slope * lowest_and_highest + 2 * intercept
    if _turns_round(frame):
        values = _looked_up(values, frame, frame.VOILUTSequence)
        lowest_and_highest = _range(frame.VOILUTSequence)
    shape = str(frame.get("PresentationLUTShape") or "").strip().upper()
    if white_is_zero or shape == "INVERSE":
        values = lowest_and_highest - values.astype(np.float64)
    return values


def meant_bits(words: NDArray[Any], bits: int, high_bit: int, signed: bool) -> NDArray[Any]:
    """Return the stored bits of each word, without what lies beside them.

    Parameters
    ----------
    words : ndarray of int
        As they lie in the file.
    bits : int
        Bits Stored.
    high_bit : int
        Its uppermost bit, from 0.
    signed : bool
        Two's complement.
    """
    low = high_bit + 1 - bits
    if bits < 1 or low < 0 or high_bit >= words.dtype.itemsize * 8:
        raise ValueError(f"{bits} bits up to bit {high_bit} do not fit a word")
    unsigned = words.view(f"u{words.dtype.itemsize}").astype(np.int64)
    inside = (unsigned >> low) & ((1 << bits) - 1)
    sign = 1 << (bits - 1)
    return np.asarray((inside ^ sign) - sign) if signed else inside


def _turns_round(frame: Dataset) -> bool:
    """Say whether the first VOI LUT makes of larger values smaller ones."""
    if not frame.get("VOILUTSequence"):
        return False
    entries, first = (int(n) for n in frame.VOILUTSequence[0].LUTDescriptor[:2])
    if int(frame.PixelRepresentation) and first > 2**15 - 1:
        first -= 2**16
    ends = np.array([[first, first + (entries or 2**16) - 1]], dtype=np.int64)
    looked_up = _looked_up(ends, frame, frame.VOILUTSequence)
    darkest, brightest = looked_up.astype(float)[0]
    return bool(darkest > brightest)


def _looked_up(values: NDArray[Any], frame: Dataset, sequence: Any) -> NDArray[np.integer[Any]]:
    """Apply a lookup table of either kind; both are written in the same way.

    pydicom's function for Modality LUTs knows tables of 8 and 16 bits only.
    """
    table = Dataset()
    table.set_original_encoding(*frame.original_encoding)
    table.file_meta = frame.file_meta
    table.PixelRepresentation = frame.PixelRepresentation
    table.VOILUTSequence = sequence
    return np.asarray(apply_voi(np.rint(values).astype(np.int64), table))


def _range(sequence: Any) -> float:
    """Return the sum of the lowest and the highest value that a LUT can give."""
    return float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
