"""DICOM: grey values as they are shown, and spacing as the standard has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import RADIOGRAPHS, dataset, saved
from image_files import COLUMNS, PIXELS, ROWS
from pydicom.uid import (
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
)

from napari_oneshot_lmk.errors import GeometryError, ImageError
from napari_oneshot_lmk.imaging.reader import read_image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.dcm"


# -- grey values ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        ((PIXELS % 251).astype(np.uint8), 8),
        (PIXELS * 5, 12),
        (PIXELS * 90, 16),
        ((PIXELS * 5).astype(np.int16) - 2000, 12),
        ((PIXELS * 90).astype(np.int32).astype(np.int16), 16),
    ],
)
@pytest.mark.parametrize("rescale", [None, (2.0, -100.0), (0.5, 3.25)])
def test_larger_is_brighter_whatever_is_stored(path, pixels, bits, rescale):
    """MONOCHROME1 of the inverted values is the same radiograph as MONOCHROME2."""
    tags = {}
    expected = pixels.astype(np.float32)
    if rescale is not None:
        slope, intercept = rescale
        tags = {"RescaleSlope": slope, "RescaleIntercept": intercept}
        expected = expected * slope + intercept
    image = dataset(pixels, bits, **tags)
    np.testing.assert_array_equal(read_image(saved(path, image)).pixels, expected)

    signed = pixels.dtype.kind == "i"
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    inverted = (lowest + highest - pixels.astype(int)).astype(pixels.dtype)
    image = dataset(inverted, bits, **tags, PhotometricInterpretation="MONOCHROME1")
    shown = read_image(saved(path, image)).pixels
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_every_kind_of_radiograph_is_rescaled_and_inverted(path, sop_class):
    image = dataset(
        PIXELS,
        12,
        sop_class,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=2,
        RescaleIntercept=-100,
    )
    pixels = read_image(saved(path, image)).pixels
    np.testing.assert_array_equal(pixels, 2.0 * (4095 - PIXELS.astype(np.float32)) - 100)


def test_packed_pixels(path):
    image = dataset(PIXELS, 12)
    image.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(read_image(saved(path, image)).pixels, PIXELS)


def test_colour(path):
    rgb = np.stack([PIXELS % 200] * 3, axis=-1).astype(np.uint8)
    image = dataset(rgb[..., 0], 8, SecondaryCaptureImageStorage)
    image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
    image.PhotometricInterpretation = "RGB"
    image.PixelData = rgb.tobytes()
    np.testing.assert_array_equal(read_image(saved(path, image)).pixels, rgb[..., 0])


# -- files ----------------------------------------------------------------------


def test_a_file_without_a_suffix(tmp_path):
    image = read_image(saved(tmp_path / "IM000001", dataset(PIXELS, 12)))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.name == "IM000001"


def test_an_old_file_without_a_header_keeps_its_spacing(path):
    image = dataset(PIXELS, 12, PixelSpacing=[0.3, 0.2])
    bare = pydicom.Dataset()
    bare.update({element.tag: element for element in image})
    with path.open("wb") as file:
        pydicom.dcmwrite(
            file, bare, implicit_vr=True, little_endian=True, enforce_file_format=False
        )
    assert path.read_bytes()[128:132] != b"DICM"
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, PIXELS)
    assert read.geometry.spacing_mm_yx == (0.3, 0.2)
    assert ImplicitVRLittleEndian.is_implicit_VR


def test_frames(path):
    frames = np.stack([PIXELS, PIXELS + 1, PIXELS[::-1]])
    image = dataset(frames, 12, XRayAngiographicImageStorage, PixelSpacing=[0.3, 0.2])
    saved(path, image)
    with pytest.raises(ImageError, match=r"3 slices or frames; .*--slice 0 to 2"):
        read_image(path)
    for index, frame in enumerate(frames):
        read = read_image(path, slice_index=index)
        np.testing.assert_array_equal(read.pixels, frame)
        assert read.geometry.spacing_mm_yx == (0.3, 0.2)


# -- geometry -------------------------------------------------------------------


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({}, None),
        ({"PixelSpacing": [0.3, 0.2]}, (0.3, 0.2)),
        ({"ImagerPixelSpacing": [0.35, 0.25]}, (0.35, 0.25)),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": [0.3, 0.2], "ImagerPixelSpacing": [0.35, 0.25]}, (0.3, 0.2)),
        ({"PixelAspectRatio": [3, 2]}, None),
    ],
)
def test_spacing_is_row_then_column_and_never_made_up(path, sop_class, tags, spacing):
    read = read_image(saved(path, dataset(PIXELS, 12, sop_class, **tags)))
    assert read.geometry.spacing_mm_yx == spacing


@pytest.mark.parametrize("stated", [[0, 0], [-0.1, 0.1], [5000, 5000]])
def test_an_absurd_spacing_in_a_file(path, stated):
    saved(path, dataset(PIXELS, 12, PixelSpacing=stated))
    with pytest.raises(GeometryError, match=r"image\.dcm: the file states .*--spacing"):
        read_image(path)
    assert read_image(path, spacing_mm_yx=0.1).geometry.spacing_mm_yx == (0.1, 0.1)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_orientation_and_position_in_the_patient(path, sop_class):
    image = dataset(
        PIXELS,
        12,
        sop_class,
        PixelSpacing=[0.3, 0.2],
        # A lateral view: columns count backwards, rows downwards.
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=[5, -60, 80],
    )
    geometry = read_image(saved(path, image)).geometry
    assert geometry.column_axis_lps == (0.0, 1.0, 0.0)
    assert geometry.row_axis_lps == (0.0, 0.0, -1.0)
    np.testing.assert_allclose(
        geometry.points_to_lps([[10, 20]]), [[5, -60 + 20 * 0.2, 80 - 10 * 0.3]]
    )


def test_rounded_cosines_are_made_orthonormal(path):
    image = dataset(
        PIXELS,
        12,
        PixelSpacing=[0.3, 0.2],
        ImageOrientationPatient=[0.7071, 0.7071, 0, -0.7071, 0.7071, 0.001],
        ImagePositionPatient=[0, 0, 0],
    )
    geometry = read_image(saved(path, image)).geometry
    axes = np.array([geometry.row_axis_lps, geometry.column_axis_lps])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)


def test_an_orientation_of_zeros_is_none(path):
    image = dataset(PIXELS, 12, ImageOrientationPatient=[0] * 6, PixelSpacing=[0.3, 0.2])
    geometry = read_image(saved(path, image)).geometry
    assert geometry.column_axis_lps == (1.0, 0.0, 0.0)
    assert geometry.spacing_mm_yx == (0.3, 0.2)
    assert geometry.image_shape_yx == (ROWS, COLUMNS)
