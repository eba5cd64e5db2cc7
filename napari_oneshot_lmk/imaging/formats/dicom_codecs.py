"""Compressed DICOM frames for pydicom, decoded by imagecodecs.

pydicom has plugins for several libraries: one is under the GPL, one reads 8 bits
only, one prints on the terminal. imagecodecs reads all of JPEG, lossless and of 12
bits included, JPEG-LS and JPEG 2000, and is here for TIFF anyway.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.common import PhotometricInterpretation

from napari_oneshot_lmk.imaging.formats.jpeg import check_jpeg

_adding = threading.Lock()
_LABEL = "imagecodecs"
_END_OF_JPEG = b"\xff\xd9"
_NOISE = bytes(range(1, 255)) * 8
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_2000 = (
    *(uid.JPEG2000Lossless, uid.JPEG2000),
    *(uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K),
)
_JPEG_2000_COLOURS = (PhotometricInterpretation.YBR_ICT, PhotometricInterpretation.YBR_RCT)
DECODER_DEPENDENCIES = dict.fromkeys((*_JPEG, *_JPEG_LS, *_JPEG_2000), ("imagecodecs>=2024.1.1",))


def plugin_for(syntax: str) -> str:
    """Return the plugin that decodes a transfer syntax, made known to pydicom.

    Empty where pydicom needs none, or has only its own.
    """
    if not is_available(syntax):
        return ""
    decoder = get_decoder(uid.UID(syntax))
    # Adding is not safe from several threads, and images are read in several.
    with _adding:
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, "decode_frame"))
    return _LABEL


def is_available(syntax: str) -> bool:
    """Say whether imagecodecs is there; asked by pydicom."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Decode one frame; called by pydicom.

    Parameters
    ----------
    source : bytes
        The frame's stream.
    runner : pydicom.pixels.decoders.base.DecodeRunner
        Knows the header, and is told what the returned bytes are.
    """
    import imagecodecs

    syntax = runner.transfer_syntax
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
    # Of other kinds nothing tells whether libjpeg has filled in what is missing. But
    # it would take it from what stands in front of the end, if there were something.
    start = source.rfind(_END_OF_JPEG)
    start = len(source) if start < 0 else start
    if not np.array_equal(values, decode(source[:start] + _NOISE + _END_OF_JPEG)):
        raise ValueError("the stream ends before its picture does")
    # Nor whether a flipped bit has made it read a picture of less than there is.
    needed = source[:start].rstrip(b"\0\xff")[:-2]
    if np.array_equal(values, decode(needed + _NOISE + _END_OF_JPEG)):
        raise ValueError("the picture ends before its stream does")
    return values
