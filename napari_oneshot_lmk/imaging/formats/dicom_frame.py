"""The attributes of one frame of a DICOM image, from wherever the file keeps them."""

from __future__ import annotations

from pydicom.dataset import Dataset

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
