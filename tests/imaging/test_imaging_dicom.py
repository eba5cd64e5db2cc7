"""DICOM: grey values as they are shown, frames, and spacing as the standard has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import RADIOGRAPHS, dataset, item, saved
from image_files import COLUMNS, PIXELS, ROWS, check, refused
from pydicom import uid

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.imaging.image import SpacingSource
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
    check(saved(path, image), expected)

    signed = pixels.dtype.kind == "i"
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    inverted = (lowest + highest - pixels.astype(int)).astype(pixels.dtype)
    image = dataset(inverted, bits, **tags, PhotometricInterpretation="MONOCHROME1")
    check(saved(path, image), expected)


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
    check(saved(path, image), 2.0 * (4095 - PIXELS.astype(np.float32)) - 100)


# -- lookup tables ---------------------------------------------------------------


def lut(values: np.ndarray, first: int = 0, bits: int = 12, **more: object):
    return item(
        LUTDescriptor=[len(values), first, bits], LUTData=values.astype(np.uint16).tobytes(), **more
    )


def test_a_modality_lut_gives_the_values(path):
    table = (np.arange(4096) // 2)[::-1]
    image = dataset(PIXELS, 12, ModalityLUTSequence=lut(table, ModalityLUTType="US"))
    check(saved(path, image), table[PIXELS])
    image.PhotometricInterpretation = "MONOCHROME1"
    check(saved(path, image), 4095 - table[PIXELS])


@pytest.mark.parametrize("monochrome", ["MONOCHROME1", "MONOCHROME2"])
def test_a_voi_lut_that_turns_dark_and_bright_round(path, monochrome):
    table = 4095 - np.arange(4096)
    image = dataset(PIXELS, 12, VOILUTSequence=lut(table), PhotometricInterpretation=monochrome)
    shown = table[PIXELS]
    check(saved(path, image), shown if monochrome[-1] == "2" else 4095 - shown)


def test_other_voi_luts_and_windows_change_the_contrast_only(path):
    table = np.minimum(np.arange(4096) * 3, 4095)
    image = dataset(PIXELS, 12, VOILUTSequence=lut(table))
    check(saved(path, image), PIXELS)
    image = dataset(PIXELS, 12, WindowCenter=100, WindowWidth=20)
    check(saved(path, image), PIXELS)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
@pytest.mark.parametrize(
    ("monochrome", "shape", "inverted"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
    ],
)
def test_presentation_lut_shape(path, sop_class, monochrome, shape, inverted):
    image = dataset(
        PIXELS, 12, sop_class, PhotometricInterpretation=monochrome, PresentationLUTShape=shape
    )
    values = PIXELS.astype(np.int64)
    check(saved(path, image), 4095 - values if inverted else values)


def test_a_slope_with_a_decimal_comma(path):
    image = dataset(PIXELS, 12, RescaleSlope="9.25", RescaleIntercept="-3.5")
    saved(path, image)
    path.write_bytes(path.read_bytes().replace(b"9.25", b"9,25").replace(b"-3.5", b"-3,5"))
    check(path, PIXELS * 9.25 - 3.5)


# -- frames ----------------------------------------------------------------------

ENHANCED = [
    uid.EnhancedXAImageStorage,
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.BreastTomosynthesisImageStorage,
]


@pytest.mark.parametrize("sop_class", ENHANCED)
@pytest.mark.parametrize("shared", ["all", "none", "measures"])
def test_functional_groups(path, sop_class, shared):
    frames = np.stack([PIXELS, PIXELS[::-1], PIXELS + 7])
    image = dataset(frames, 12, sop_class)
    measures = {"PixelMeasuresSequence": item(PixelSpacing=[0.3, 0.2])}
    orientation = {"PlaneOrientationSequence": item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])}
    values = {
        "PixelValueTransformationSequence": item(
            RescaleSlope=2, RescaleIntercept=-100, RescaleType="US"
        )
    }
    of_all = {"all": measures | orientation | values, "measures": measures, "none": {}}[shared]
    of_each = {
        "all": {},
        "measures": orientation | values,
        "none": measures | orientation | values,
    }[shared]
    image.SharedFunctionalGroupsSequence = item(**of_all)
    image.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=item(ImagePositionPatient=[5.0 + index, 6, 7]), **of_each)[0]
        for index in range(3)
    ]
    saved(path, image)
    for index, frame in enumerate(frames):
        check(path, frame * 2.0 - 100, slice_index=index)
        read = read_image(path, slice_index=index)
        geometry = read.geometry
        assert geometry.spacing_mm_yx == (0.3, 0.2)
        assert read.spacing_source is SpacingSource.PIXEL_SPACING
        assert geometry.origin_lps_mm == (5.0 + index, 6.0, 7.0)
        assert geometry.column_axis_lps == (0.0, 1.0, 0.0)
        assert geometry.row_axis_lps == (0.0, 0.0, -1.0)


def test_the_imager_spacing_of_a_frame(path):
    image = dataset(PIXELS[None], 12, uid.EnhancedXAImageStorage)
    image.SharedFunctionalGroupsSequence = item(
        FramePixelDataPropertiesSequence=item(ImagerPixelSpacing=[0.33, 0.22])
    )
    saved(path, image)
    assert spacing_of(path) == ((0.33, 0.22), SpacingSource.IMAGER)


def test_a_frame_of_a_large_file_is_read_alone(path, monkeypatch):
    from napari_oneshot_lmk.imaging.formats import dicom

    frames = np.stack([PIXELS, PIXELS[::-1], PIXELS + 7])
    saved(path, dataset(frames, 12, uid.XRayAngiographicImageStorage))
    monkeypatch.setattr(dicom, "_FRAME_BY_FRAME_FROM", 1000)
    check(path, frames[1], slice_index=1)


def test_frames(path):
    frames = np.stack([PIXELS, PIXELS + 1, PIXELS[::-1]])
    image = dataset(frames, 12, uid.XRayAngiographicImageStorage, PixelSpacing=[0.3, 0.2])
    saved(path, image)
    refused(path, r"3 slices or frames; .*--slice 0 to 2")
    for index, frame in enumerate(frames):
        read = read_image(path, slice_index=index)
        np.testing.assert_array_equal(read.pixels, frame)
        assert read.geometry.spacing_mm_yx == (0.3, 0.2)


# -- geometry -------------------------------------------------------------------


def spacing_of(path: Path) -> tuple[tuple[float, float] | None, SpacingSource | None]:
    image = read_image(path)
    return image.geometry.spacing_mm_yx, image.spacing_source


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_each_spacing_says_where_it_comes_from(path, sop_class):
    pixel, imager = [0.3, 0.2], [0.33, 0.22]
    for tags, expected in (
        ({"PixelSpacing": pixel}, ((0.3, 0.2), SpacingSource.PIXEL_SPACING)),
        (
            {"PixelSpacing": pixel, "ImagerPixelSpacing": imager},
            ((0.3, 0.2), SpacingSource.PIXEL_SPACING),
        ),
        ({"ImagerPixelSpacing": imager}, ((0.33, 0.22), SpacingSource.IMAGER)),
        (
            {"ImagerPixelSpacing": imager, "EstimatedRadiographicMagnificationFactor": 1.1},
            ((0.33 / 1.1, 0.22 / 1.1), SpacingSource.IMAGER_MAGNIFIED),
        ),
        (
            {"PixelSpacing": pixel, "EstimatedRadiographicMagnificationFactor": 1.1},
            ((0.3, 0.2), SpacingSource.PIXEL_SPACING),
        ),
        ({"NominalScannedPixelSpacing": pixel}, ((0.3, 0.2), SpacingSource.NOMINAL)),
        ({}, (None, None)),
        ({"PixelSpacing": [1, 1]}, (None, None)),
        ({"PixelAspectRatio": [3, 2]}, (None, None)),
    ):
        saved(path, dataset(PIXELS, 12, sop_class, **tags))
        assert spacing_of(path) == expected
    given = read_image(path, spacing_mm_yx=0.1)
    assert given.spacing_source is SpacingSource.GIVEN
    assert given.with_spacing(None).spacing_source is None


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_decimal_commas_are_the_number_that_is_meant(path, keyword):
    tags = {"ImagerPixelSpacing": [0.25, 0.25], keyword: [0.139, 0.275]}
    saved(path, dataset(PIXELS, 12, **tags))
    data = path.read_bytes()
    assert data.count(b"0.139\\0.275") == 1
    path.write_bytes(data.replace(b"0.139\\0.275", b"0,139\\0,275"))
    assert spacing_of(path) == ((0.139, 0.275), SpacingSource(keyword))


def test_a_spacing_that_is_no_number_is_said_and_not_replaced(path):
    tags = {"ImagerPixelSpacing": [0.25, 0.25], "PixelSpacing": [0.139, 0.275]}
    saved(path, dataset(PIXELS, 12, **tags))
    path.write_bytes(path.read_bytes().replace(b"0.139\\0.275", b"0.139 0.275"))
    assert spacing_of(path) == (None, None)
    [note] = read_image(path).notes
    assert "PixelSpacing says '0.139 0.275'" in note


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
