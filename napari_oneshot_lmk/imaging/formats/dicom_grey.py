"""From stored values of a DICOM frame to grey values where larger is brighter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi

from napari_oneshot_lmk.imaging.formats.dicom_frame import numbers


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
