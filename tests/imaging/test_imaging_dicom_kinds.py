"""Kinds of DICOM: transfer syntaxes, bits, colours, text, and what is no image."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import dataset, packed, saved, without_an_image
from image_files import GREY8, LUMA, PIXELS, SMOOTH, check, refused
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import read_plane
from napari_oneshot_lmk.imaging.reader import read_image

SMOOTH16 = SMOOTH.astype(np.uint16) * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.dcm"


# -- transfer syntaxes -----------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [
        *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian),
        *(uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian),
    ],
)
@pytest.mark.parametrize(
    ("pixels", "bits"), [(GREY8, 8), (PIXELS, 12), (PIXELS.astype(np.int16) - 90, 16)]
)
def test_unpacked(path, syntax, pixels, bits):
    image = dataset(pixels, bits, PixelSpacing=[0.3, 0.2])
    little = syntax != uid.ExplicitVRBigEndian
    if not little:
        image.PixelData = pixels.byteswap().tobytes()
    image.file_meta.TransferSyntaxUID = syntax
    image["PixelData"].VR = "OB" if bits == 8 else "OW"
    implicit = syntax == uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(path, image, implicit_vr=implicit, little_endian=little, force_encoding=True)
    check(path, pixels)
    assert read_image(path).geometry.spacing_mm_yx == (0.3, 0.2)


@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        *((GREY8, 8), (PIXELS, 12), (PIXELS * 80, 16)),
        *((PIXELS.astype(np.int16) - 90, bits) for bits in (12, 16)),
    ],
)
def test_run_lengths(path, pixels, bits):
    image = dataset(pixels, bits)
    image.compress(uid.RLELossless, encoding_plugin="pydicom")
    check(saved(path, image), pixels)


def test_run_lengths_of_colours(path):
    colours = np.stack([GREY8, GREY8[::-1], 255 - GREY8], -1)
    image = dataset(GREY8, 8, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    image.PlanarConfiguration = 0
    image.PixelData = colours.tobytes()
    image.compress(uid.RLELossless, encoding_plugin="pydicom")
    values = read_plane(saved(path, image)).values
    np.testing.assert_array_equal(values, colours)


def run_lengths(values: np.ndarray, padding: bytes) -> bytes:
    """Pack 16-bit values in two segments, with something behind each."""
    pairs = values.astype(">u2").view(np.uint8).reshape(-1, 2).T
    high, low = (imagecodecs.packbits_encode(np.ascontiguousarray(one)) + padding for one in pairs)
    offsets = np.array([2, 64, 64 + len(high), *[0] * 13], "<u4")
    return offsets.tobytes() + high + low


@pytest.mark.parametrize("padding", [b"", b"\0", b"\x80\x80", b"\2\0\0\0"])
def test_run_lengths_with_padding_are_read_as_pydicom_does(path, padding):
    image = dataset(PIXELS * 80, 16)
    image.file_meta.TransferSyntaxUID = uid.RLELossless
    image.PixelData = encapsulate([run_lengths(PIXELS * 80, padding)])
    image["PixelData"].is_undefined_length = True
    check(saved(path, image), PIXELS * 80)


def test_run_lengths_that_end_early_are_refused(path):
    image = dataset(PIXELS * 80, 16)
    image.file_meta.TransferSyntaxUID = uid.RLELossless
    for length in (10, 64, 70, -9):
        image.PixelData = encapsulate([run_lengths(PIXELS * 80, b"")[:length]])
        image["PixelData"].is_undefined_length = True
        with pytest.raises(ImageError, match="cut short or damaged"):
            read_plane(saved(path, image))


def jpeg_2000(values: np.ndarray, level: int = 0, **options: object) -> bytes:
    return imagecodecs.jpeg2k_encode(values, level=level, codecformat="j2k", **options)


def read_by_itk(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]


def lossless_jpeg(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.ljpeg_encode(values.view(f"u{values.itemsize}"), bitspersample=bits)


@pytest.mark.parametrize(("pixels", "bits"), [(SMOOTH, 8), (SMOOTH16, 12), (SMOOTH16 * 15, 16)])
@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (uid.JPEGLosslessSV1, lossless_jpeg),
        (uid.JPEGLossless, lossless_jpeg),
        # The encoder wants room for noise.
        (uid.JPEGLSLossless, lambda v, _: imagecodecs.jpegls_encode(v, out=4 * v.nbytes)),
        (uid.JPEG2000Lossless, lambda v, bits: jpeg_2000(v, bitspersample=bits)),
        (uid.HTJ2KLossless, lambda v, _: imagecodecs.htj2k_encode(v)),
    ],
)
def test_codecs_without_loss(path, pixels, bits, syntax, encode):
    saved(path, packed(dataset(pixels, bits), syntax, encode(pixels, bits)))
    check(path, pixels)
    if syntax != uid.HTJ2KLossless:
        np.testing.assert_array_equal(read_by_itk(path), pixels)


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_values_in_codecs(path, bits):
    pixels = (SMOOTH16 // 8).astype(np.int16) - 200
    as_stored = (pixels.astype(np.int64) & ((1 << bits) - 1)).astype(np.uint16)
    stream = imagecodecs.ljpeg_encode(as_stored, bitspersample=bits)
    saved(path, packed(dataset(pixels, bits), uid.JPEGLosslessSV1, stream))
    check(path, pixels)
    saved(path, packed(dataset(pixels, 16), uid.JPEG2000Lossless, jpeg_2000(pixels)))
    check(path, pixels)


def test_codecs_with_loss(path):
    stream = imagecodecs.jpeg8_encode(SMOOTH, level=95)
    saved(path, packed(dataset(SMOOTH, 8), uid.JPEGBaseline8Bit, stream))
    check(path, SMOOTH, atol=4)
    stream = imagecodecs.jpeg8_encode(SMOOTH16, level=95, bitspersample=12)
    saved(path, packed(dataset(SMOOTH16, 12), uid.JPEGExtended12Bit, stream))
    check(path, read_by_itk(path), atol=1)
    saved(path, packed(dataset(SMOOTH16, 16), uid.JPEG2000, jpeg_2000(SMOOTH16, 60)))
    check(path, read_by_itk(path), atol=1)


def colours(said: str, pixels: np.ndarray = SMOOTH, planar: int = 0) -> FileDataset:
    """Return an image of three samples per pixel, whose pixels are to be set."""
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": planar, "PhotometricInterpretation": said}
    return dataset(pixels, 8, uid.SecondaryCaptureImageStorage, **tags)


@pytest.mark.parametrize("said", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_colour_in_jpeg(path, said):
    stream = imagecodecs.jpeg8_encode(np.dstack([SMOOTH] * 3), level=95)
    saved(path, packed(colours(said), uid.JPEGBaseline8Bit, stream))
    check(path, SMOOTH, atol=4)


@pytest.mark.parametrize("said", ["YBR_RCT", "RGB"])
def test_colour_in_jpeg_2000(path, said):
    rgb = np.dstack([SMOOTH, SMOOTH // 2, SMOOTH // 3])
    saved(path, packed(colours(said), uid.JPEG2000Lossless, jpeg_2000(rgb, mct=said != "RGB")))
    check(path, rgb @ LUMA, atol=1e-3)


def test_frames_in_codecs(path):
    frames = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH // 2])
    streams = [imagecodecs.ljpeg_encode(f.copy(), bitspersample=8) for f in frames]
    saved(path, packed(dataset(frames, 8), uid.JPEGLosslessSV1, *streams))
    for index, frame in enumerate(frames):
        check(path, frame, slice_index=index)


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.53",  # JPEG, retired
        "1.2.840.10008.1.2.4.94",  # JPIP
        "1.2.840.10008.1.2.4.99",  # unknown
        "1.2.840.10008.1.2.4.100",  # MPEG2
        "1.2.840.10008.1.2.4.112",  # JPEG XL
    ],
)
def test_transfer_syntaxes_that_nobody_reads_are_named(path, syntax):
    known = "1.2.840.10008.1.2.4.100" if len(syntax) > 22 else uid.JPEGBaseline8Bit
    saved(path, packed(dataset(SMOOTH, 8), known, b"\0" * 64))
    path.write_bytes(path.read_bytes().replace(known.encode(), syntax.encode()))
    sentence = refused(path, f"transfer syntax {re.escape(uid.UID(syntax).name)} cannot be read")
    assert "damaged" not in sentence


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (uid.JPEGBaseline8Bit, lambda v: imagecodecs.jpeg8_encode(v, level=95)),
        (uid.JPEGLosslessSV1, lambda v: imagecodecs.ljpeg_encode(v, bitspersample=8)),
        (uid.JPEGLSLossless, lambda v: imagecodecs.jpegls_encode(v, out=1 << 20)),
        (uid.JPEG2000Lossless, jpeg_2000),
    ],
)
def test_a_stream_that_ends_early_in_a_whole_file(path, part, syntax, encode, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (96, 80), dtype=np.uint8)
    stream = encode(noise)
    short = stream[: int(len(stream) * part)]
    for end in (b"", b"\xff\xd9"):
        saved(path, packed(dataset(noise, 8), syntax, short + end))
        refused(path, "cut short or damaged")
    assert capfd.readouterr() == ("", "")


# -- where a value lies in its word ----------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 15])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("packing", ["plain", "rle"])
def test_high_bit_says_where_a_value_lies(path, bits, signed, packing):
    values = PIXELS.astype(np.int64) * 5 % (1 << bits)
    if signed:
        values -= 1 << (bits - 1)
    low = 16 - bits
    garbage = np.random.default_rng(0).integers(0, 1 << low, values.shape)
    words = (((values & ((1 << bits) - 1)) << low) | garbage).astype(np.uint16)
    image = dataset(words, bits, HighBit=15, PixelRepresentation=int(signed))
    if packing == "rle" and bits > 8:
        image.compress(uid.RLELossless, encoding_plugin="pydicom")
    check(saved(path, image), values)


@pytest.mark.parametrize("signed", [False, True])
def test_what_lies_beside_the_stored_bits_is_no_value(path, signed):
    """Old files keep overlays there."""
    values = PIXELS.astype(np.int64) - (300 if signed else 0)
    words = ((values & 0xFFF) | (PIXELS % 16).astype(np.int64) << 12).astype(np.uint16)
    saved(path, dataset(words, 12, PixelRepresentation=int(signed)))
    check(path, values)


def test_floats_and_single_bits(path):
    image = dataset(PIXELS, 16)
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    image.BitsAllocated = 32
    image.FloatPixelData = (PIXELS.astype(np.float32) / 7).tobytes()
    check(saved(path, image), PIXELS.astype(np.float32) / 7)
    bits = PIXELS % 3 == 0
    image = dataset(bits.astype(np.uint8), 1, BitsAllocated=1)
    image.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    check(saved(path, image), bits)


# -- colours ---------------------------------------------------------------------


@pytest.mark.parametrize("planar", [0, 1])
def test_planes_of_colour(path, planar):
    rgb = np.dstack([GREY8, GREY8 // 2, GREY8 // 3])
    image = colours("RGB", GREY8, planar)
    image.PixelData = (np.moveaxis(rgb, -1, 0) if planar else rgb).tobytes()
    check(saved(path, image), rgb @ LUMA, atol=1e-3)


def test_a_palette(path):
    palette = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint8)
    image = dataset(GREY8, 8, PhotometricInterpretation="PALETTE COLOR")
    for name, table in zip(("Red", "Green", "Blue"), palette, strict=True):
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(image, f"{name}PaletteColorLookupTableData", table.tobytes())
    luma = np.moveaxis(palette[:, GREY8], 0, -1) @ LUMA
    check(saved(path, image), luma, atol=1e-3)


# -- text ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["MONOCHROME1", "PALETTE COLOR", "RGB", "DICM", "(0028,0004)", "NRRD0004"]
)
@pytest.mark.parametrize("monochrome", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [12, 16])
def test_text_that_looks_like_a_tag(path, text, monochrome, bits):
    """Signed MONOCHROME1, too, whatever stands in a description."""
    values = PIXELS.astype(np.int16) - 300
    texts = dict.fromkeys(("StudyDescription", "SeriesDescription", "PatientName"), text)
    image = dataset(values, bits, PhotometricInterpretation=monochrome, **texts)
    check(saved(path, image), -1 - values if monochrome[-1] == "1" else values)


def test_text_that_no_library_decodes(path):
    image = dataset(PIXELS, 12, SpecificCharacterSet="ISO_IR 100", PatientName="Ä^B")
    saved(path, image)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"NON_SE 999"))
    check(path, PIXELS)


# -- no image --------------------------------------------------------------------


@pytest.mark.parametrize(
    "sop_class",
    [
        *(uid.ComprehensiveSRStorage, uid.GrayscaleSoftcopyPresentationStateStorage),
        *(uid.KeyObjectSelectionDocumentStorage, uid.EncapsulatedPDFStorage),
        *(uid.RTPlanStorage, uid.TwelveLeadECGWaveformStorage),
    ],
)
def test_objects_without_an_image_are_named(path, sop_class):
    saved(path, without_an_image(sop_class))
    name = uid.UID(sop_class).name
    refused(path, f"holds no image, it is of the kind {name}; name the file of the")


def test_strange_colours_and_a_header_without_pixels_are_named(path):
    image = dataset(PIXELS, 12, PhotometricInterpretation="HSV")
    refused(saved(path, image), "colours of the kind HSV cannot be read")
    image = dataset(PIXELS, 12)
    del image.PixelData
    refused(saved(path, image), "header of an image, but no pixels")


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("name", ["film.dcm", "IM000001", "film.png"])
def test_files_without_their_mark(tmp_path, implicit, little, name):
    image = dataset(PIXELS, 12, PixelSpacing=[0.3, 0.2])
    bare = without_meta(image)
    if not little:
        bare.PixelData = PIXELS.byteswap().tobytes()
    bare["PixelData"].VR = "OW"
    path = tmp_path / name
    with path.open("wb") as file:
        pydicom.dcmwrite(file, bare, implicit_vr=implicit, little_endian=little)
    assert path.read_bytes()[128:132] != b"DICM"
    check(path, PIXELS)
    assert read_image(path).geometry.spacing_mm_yx == (0.3, 0.2)


def without_meta(image: FileDataset) -> pydicom.Dataset:
    bare = pydicom.Dataset()
    bare.update({element.tag: element for element in image})
    return bare


def test_a_file_without_its_meta_information(path):
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        bare = without_meta(dataset(PIXELS, 12))
        pydicom.dcmwrite(file, bare, implicit_vr=False, little_endian=True)
    check(path, PIXELS)


def test_what_careless_programs_leave_out(path):
    image = dataset(PIXELS, 16)
    for keyword in ("SamplesPerPixel", "HighBit", "BitsStored", "PixelRepresentation"):
        delattr(image, keyword)
    check(saved(path, image), PIXELS)


def test_several_threads_read_packed_files(tmp_path):
    stream = imagecodecs.ljpeg_encode(SMOOTH16, bitspersample=12)
    image = packed(dataset(SMOOTH16, 12), uid.JPEGLosslessSV1, stream)
    paths = [saved(tmp_path / f"{index}.dcm", image) for index in range(8)]
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\n"
        "from napari_oneshot_lmk.imaging.reader import read_image\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(len(list(pool.map(read_image, sys.argv[1:]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "8", done.stderr
