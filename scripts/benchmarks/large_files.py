"""A generated radiograph of full size, 12 bits a pixel, in the formats that scanners write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from phantoms import generate

SHAPE_YX = (2400, 1935)
SPACING_MM = 0.1
BITS = 12
NOISE = 8.0
"""Standard deviation in grey levels of 12 bits; packed files get as large as real ones."""

Pixels = NDArray[np.uint16]


def full_size(seed: int = 0) -> Pixels:
    """Return a skull of `SHAPE_YX` with the noise of a detector, 0 to 4095."""
    image, _ = generate("skull", 0, seed, SHAPE_YX)
    low, high = float(image.pixels.min()), float(image.pixels.max())
    top = 2**BITS - 1
    noise = np.random.default_rng(seed).normal(0, NOISE, SHAPE_YX)
    grey = (image.pixels - low) * (top / (high - low)) + noise
    pixels: Pixels = np.round(grey).clip(0, top).astype(np.uint16)
    return pixels


def write_dicom(path: Path, pixels: Pixels, syntax: str = uid.ExplicitVRLittleEndian) -> None:
    """Write a digital radiograph, packed with imagecodecs where the transfer syntax asks for it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = syntax
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid.generate_uid()
    data.Modality = "DX"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, BITS, BITS - 1
    data.PixelRepresentation = 0
    data.PixelSpacing = [SPACING_MM, SPACING_MM]
    if syntax == uid.ExplicitVRLittleEndian:
        data.PixelData = pixels.tobytes()
    else:
        data.PixelData = encapsulate([bytes(_PACKED[syntax](pixels))])
        data["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, data, enforce_file_format=True)


_PACKED: dict[Any, Callable[[Pixels], bytes | bytearray]] = {
    uid.JPEGLSLossless: lambda pixels: imagecodecs.jpegls_encode(pixels),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=16),
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(
        pixels, level=0, reversible=True, codecformat="j2k"
    ),
}


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a full-size radiograph comes in."""

    title: str
    suffix: str
    write: Callable[[Path, Pixels], Any]


KINDS = (
    FileKind("DICOM", ".dcm", write_dicom),
    FileKind("DICOM, JPEG-LS", ".ls.dcm", lambda path, p: write_dicom(path, p, uid.JPEGLSLossless)),
    FileKind(
        "DICOM, lossless JPEG",
        ".sv1.dcm",
        lambda path, p: write_dicom(path, p, uid.JPEGLosslessSV1),
    ),
    FileKind(
        "DICOM, JPEG 2000", ".j2k.dcm", lambda path, p: write_dicom(path, p, uid.JPEG2000Lossless)
    ),
    FileKind("TIFF", ".tif", tifffile.imwrite),
    FileKind(
        "TIFF, deflated",
        ".zip.tif",
        lambda path, p: tifffile.imwrite(path, p, compression="zlib", predictor=True),
    ),
    FileKind("PNG, 16 bits", ".png", lambda path, p: Image.fromarray(p).save(path)),
    FileKind(
        "JPEG, 8 bits",
        ".jpg",
        lambda path, p: Image.fromarray((p >> 4).astype(np.uint8)).save(path, quality=92),
    ),
)
