"""DICOM, through pydicom, with the codecs of imagecodecs.

Of the libraries that pydicom has plugins for one is under the GPL, one reads 8 bits only, one
prints on the terminal. imagecodecs, required for TIFF anyway, reads all of JPEG, lossless and
of 12 bits included, JPEG-LS and JPEG 2000; and RLE in a tenth of the time that pydicom's own
decoder takes, which is written in Python and so holds up detection in another thread.
"""

from __future__ import annotations

import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.pixels.common import PhotometricInterpretation

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.formats.dicom_attributes import (
    attributes_of_frame,
    brighter_is_larger,
    stated_geometry,
)
from napari_oneshot_lmk.imaging.formats.jpeg import check_jpeg

_adding = threading.Lock()
_LABEL = "imagecodecs"
_END_OF_JPEG = b"\xff\xd9"
_NOISE = bytes(range(1, 255)) * 8
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, *_HTJ2K)
_JPEG_2000_COLOURS = (PhotometricInterpretation.YBR_ICT, PhotometricInterpretation.YBR_RCT)
_DECODED = (*_JPEG, *_JPEG_LS, *_JPEG_2000, uid.RLELossless)
DECODER_DEPENDENCIES = dict.fromkeys(_DECODED, ("imagecodecs>=2024.1.1",))
"""By transfer syntax; pydicom asks for it under this name."""
_FRAME_BY_FRAME_FROM = 1 << 28
"""Bytes from which a file is not taken into memory for one of its frames."""
_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}
_GREYS = {"MONOCHROME1", "MONOCHROME2"}
_PALETTE = "PALETTE COLOR"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_UNDEFINED_LENGTH = 0xFFFFFFFF


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one frame of a DICOM file."""
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    _check_is_image(header)
    _check_is_decoded(_transfer_syntax(header))
    _complete(header)
    base.check_size(header.Rows, header.Columns)
    index = base.choose_slice(_frames(header), slice_index)
    kind = str(header.PhotometricInterpretation).strip().upper()
    if kind not in _COLOURS | _GREYS | {_PALETTE}:
        raise base.unknown_colours("DICOM", kind)
    values = _decode(path, header, index)
    frame = attributes_of_frame(header, index)
    if kind == _PALETTE:
        values = np.asarray(apply_color_lut(values, header))
    elif values.ndim == 2:
        values = brighter_is_larger(values, frame, kind == "MONOCHROME1", _is_shifted(header))
    stated, notes = stated_geometry(frame)
    return base.ImagePlane(values, stated, notes)


def _check_is_image(header: Dataset) -> None:
    """Raise where a file has no pixels, naming what it is."""
    if "Rows" in header and "Columns" in header:
        return
    sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if not sop_class:
        raise base.NotAnImageError("is not an image that can be read")
    name = uid.UID(sop_class).name
    # A name that is still a number is of nothing that anybody knows.
    if "Image" in name or name == sop_class:
        raise ImageError(
            "the DICOM file is cut short or damaged: its image has no size", remedy=base.COPY_AGAIN
        )
    raise ImageError(
        f"the DICOM file holds no image, it is of the kind {name}",
        remedy="name the file of the image",
    )


def _check_is_decoded(syntax: uid.UID) -> None:
    """Refuse a compression that no codec here reads, by its name."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise _not_decoded(syntax) from error
    if not decoder.is_available and not plugin_for(syntax):
        raise ImageError(
            f"DICOM files with the transfer syntax {syntax.name} need the package imagecodecs",
            remedy="install imagecodecs",
        )


def _complete(header: Dataset) -> None:
    """Fill in what careless programs leave out, as other readers do."""
    usual = {"SamplesPerPixel": 1, "PixelRepresentation": 0, "BitsAllocated": 16}
    for keyword, value in {**usual, "PhotometricInterpretation": "MONOCHROME2"}.items():
        if header.get(keyword) in (None, ""):
            setattr(header, keyword, value)
    if header.get("BitsStored") in (None, "", 0):
        header.BitsStored = header.BitsAllocated
    if header.get("HighBit") in (None, ""):
        header.HighBit = header.BitsStored - 1


def _frames(header: Dataset) -> int:
    try:
        return max(int(header.get("NumberOfFrames") or 1), 1)
    except (TypeError, ValueError):
        return 1


def _transfer_syntax(header: Dataset) -> uid.UID:
    if stated := header.file_meta.get("TransferSyntaxUID"):
        return uid.UID(stated)
    implicit, little = header.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _decode(path: Path, header: Dataset, index: int) -> NDArray[Any]:
    """Return the values of one frame as they are stored, or red, green and blue."""
    syntax = _transfer_syntax(header)
    # Plugins that pydicom finds on this computer may be less strict.
    options: dict[str, Any] = {"index": index, "decoding_plugin": plugin_for(syntax)}
    # pydicom takes the lowest bits for the stored ones, wherever they are.
    options["correct_unused_bits"] = not _is_shifted(header)
    is_large = path.stat().st_size > _FRAME_BY_FRAME_FROM
    try:
        if _frames(header) > 1 and is_large and syntax != uid.DeflatedExplicitVRLittleEndian:
            return np.asarray(pixel_array(path, **options))
        image = pydicom.dcmread(path, force=True)
        _complete(image)
        if not hasattr(image, "file_meta") or not image.file_meta:
            image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = syntax
        _check_length(image)
        if not any(keyword in image for keyword in _PIXELS):
            raise ImageError(
                "the DICOM file has the header of an image, but no pixels",
                remedy="export it again with its pixels",
            )
        if syntax == uid.RLELossless:
            # Of odd streams, such as padded ones, pydicom's decoder knows more.
            with suppress(ValueError, RuntimeError):
                return np.asarray(pixel_array(image, **options))
            options["decoding_plugin"] = "pydicom"
        return np.asarray(pixel_array(image, **options))
    except NotImplementedError as error:
        raise _not_decoded(syntax) from error


def _check_length(image: Dataset) -> None:
    """Raise ValueError where the file ends before its pixels do; pydicom takes what there is."""
    if "PixelData" not in image:
        return
    pixels = image.get_item("PixelData")
    # A damaged header may have no such field, its bytes being taken for pixels.
    stated = getattr(pixels, "length", None)
    if stated not in (None, _UNDEFINED_LENGTH) and len(pixels.value or b"") < stated:
        raise ValueError("the file ends before its pixels do")


def _not_decoded(syntax: uid.UID) -> ImageError:
    return ImageError(
        f"DICOM files with the transfer syntax {syntax.name} cannot be read",
        remedy="export it uncompressed",
    )


def _is_shifted(header: Dataset) -> bool:
    """Say whether values do not begin at the lowest bit of their words."""
    syntax = _transfer_syntax(header)
    # Codecs give values without what lies beside them; RLE packs the words.
    in_words = not syntax.is_encapsulated or syntax == uid.RLELossless
    return in_words and int(header.HighBit) + 1 > int(header.BitsStored)


def plugin_for(syntax: uid.UID) -> str:
    """Make the plugin that decodes a transfer syntax known to pydicom; return its name.

    Empty where pydicom needs none, or has only its own.
    """
    if not is_available(syntax):
        return ""
    decoder = get_decoder(syntax)
    # Adding is not safe from several threads, and images are read in several.
    with _adding:
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, "decode_frame"))
    return _LABEL


def is_available(syntax: str) -> bool:
    """Say whether imagecodecs is there and is needed; asked by pydicom."""
    if syntax not in DECODER_DEPENDENCIES:
        return False
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Decode the stream of one frame; called by pydicom.

    The runner, a DecodeRunner, knows the header and is told what the bytes are.
    """
    import imagecodecs

    syntax = runner.transfer_syntax
    if syntax == uid.RLELossless:
        return _decode_rle(source, runner)
    if syntax in _JPEG:
        values = _decode_jpeg(source, runner)
    elif syntax in _JPEG_LS:
        values = np.asarray(imagecodecs.jpegls_decode(source))
    else:
        values = np.asarray(imagecodecs.jpeg2k_decode(source))
        if runner.photometric_interpretation in _JPEG_2000_COLOURS:
            runner.set_option("photometric_interpretation", PhotometricInterpretation.RGB)
    expected = (runner.rows, runner.columns)
    if values.shape[:2] != expected:
        raise ValueError(f"a frame of {values.shape[:2]} pixels instead of {expected}")
    runner.set_option("bits_allocated", values.dtype.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return values.tobytes()


def _decode_rle(source: bytes, runner: Any) -> bytes:
    """Decode segments of one byte of all pixels each (PS3.5, annex G), red, green, blue in turn."""
    import imagecodecs

    word, pixels = runner.bits_allocated // 8, runner.rows * runner.columns
    count, *offsets = struct.unpack("<16I", source[:64])
    if runner.bits_allocated % 8 or count != word * runner.samples_per_pixel or count > 15:
        raise ValueError(f"{count} segments of {runner.bits_allocated} bits a sample")
    ends = [*offsets[1:count], len(source)]
    values = np.empty((runner.samples_per_pixel, pixels, word), np.uint8)
    for segment, (begin, end) in enumerate(zip(offsets, ends, strict=False)):
        sample, byte = divmod(segment, word)
        decoded = imagecodecs.packbits_decode(source[begin:end])
        if len(decoded) != pixels:
            raise ValueError(f"a segment of {len(decoded)} pixels instead of {pixels}")
        # The highest byte of a word comes first, pydicom wants it last.
        values[sample, :, word - 1 - byte] = np.frombuffer(decoded, np.uint8)
    runner.set_option("planar_configuration", 1)
    return values.tobytes()


def _decode_jpeg(source: bytes, runner: Any) -> NDArray[Any]:
    import imagecodecs

    def decode(stream: bytes) -> NDArray[Any]:
        if runner.samples_per_pixel == 1:
            return np.asarray(imagecodecs.jpeg8_decode(stream))
        # As they are stored: pydicom turns them to red, green and blue.
        return np.asarray(
            imagecodecs.jpeg8_decode(stream, colorspace="YCBCR", outcolorspace="YCBCR")
        )

    if runner.transfer_syntax == uid.JPEGBaseline8Bit:
        check_jpeg(source)
        return decode(source)
    values = decode(source)
    # Of other kinds nothing tells whether libjpeg has filled in what is missing. If it has, it
    # would read noise in front of the end instead.
    start = source.rfind(_END_OF_JPEG)
    start = len(source) if start < 0 else start
    if not np.array_equal(values, decode(source[:start] + _NOISE + _END_OF_JPEG)):
        raise ValueError("the stream ends before its image does")
    # Nor whether, after a flipped bit, it has read less than there is.
    needed = source[:start].rstrip(b"\0\xff")[:-2]
    if np.array_equal(values, decode(needed + _NOISE + _END_OF_JPEG)):
        raise ValueError("the image ends before its stream does")
    return values
