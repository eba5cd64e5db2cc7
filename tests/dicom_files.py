"""DICOM files with known pixels, written by pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalIntraOralXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    generate_uid,
)

RADIOGRAPHS = [
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalIntraOralXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
]


def dataset(
    pixels: np.ndarray,
    bits: int,
    sop_class: str = DigitalXRayImageStorageForPresentation,
    **tags: object,
) -> FileDataset:
    """Return a radiograph; tags are given by their keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    image.Modality, image.PhotometricInterpretation = "DX", "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        image.NumberOfFrames = len(pixels)
    image.SamplesPerPixel, image.BitsAllocated = 1, pixels.dtype.itemsize * 8
    image.BitsStored, image.HighBit = bits, bits - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.PixelData = pixels.tobytes()
    return with_tags(image, tags)


def with_tags(image: Dataset, tags: dict[str, object]) -> Any:
    for keyword, value in tags.items():
        setattr(image, keyword, value)
    return image


def saved(path: Path, image: FileDataset) -> Path:
    image.save_as(path, enforce_file_format=True)
    return path


def packed(image: FileDataset, syntax: str, *frames: bytes) -> FileDataset:
    """Return the image with its pixels as streams of a codec."""
    image.PixelData = encapsulate(list(frames))
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = UID(syntax)
    return image


def item(**tags: object) -> Sequence:
    """Return a sequence of one item with tags by their keyword."""
    return Sequence([with_tags(Dataset(), tags)])


def without_an_image(sop_class: str, **tags: object) -> FileDataset:
    """Return a DICOM object of another kind: a report, a presentation state, …"""
    image = dataset(np.zeros((4, 4), np.uint8), 8, sop_class)
    for keyword in ("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored"):
        delattr(image, keyword)
    return with_tags(image, tags)
