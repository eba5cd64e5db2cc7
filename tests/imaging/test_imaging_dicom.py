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
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (2.0, -100.0), (0.5, 3.25)])
def test_larger_is_brighter_whatever_is_stored(path, pixels, bits, slope, intercept):
    """MONOCHROME1 of the inverted values is the same radiograph as MONOCHROME2."""
    tags = {} if slope is None else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    expected = pixels.astype(np.float32) * (slope or 1) + (intercept or 0)
    check(saved(path, dataset(pixels, bits, **tags)), expected)

    lowest_and_highest = -1 if pixels.dtype.kind == "i" else 2**bits - 1
    inverted = (lowest_and_highest - pixels.astype(int)).astype(pixels.dtype)
    image = dataset(inverted, bits, **tags, PhotometricInterpretation="MONOCHROME1")
    check(saved(path, image), expected)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_every_kind_of_radiograph_is_rescaled_and_inverted(path, sop_class):
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100}
    image = dataset(PIXELS, 12, sop_class, PhotometricInterpretation="MONOCHROME1", **tags)
    check(saved(path, image), 2.0 * (4095 - PIXELS.astype(np.float32)) - 100)


def lut(values: np.ndarray, **more: object):
    data = values.astype(np.uint16).tobytes()
    return item(LUTDescriptor=[len(values), 0, 12], LUTData=data, **more)


def test_a_modality_lut_gives_the_values(path):
    table = (np.arange(4096) // 2)[::-1]
    image = dataset(PIXELS, 12, ModalityLUTSequence=lut(table, ModalityLUTType="US"))
    check(saved(path, image), table[PIXELS])
    image.PhotometricInterpretation = "MONOCHROME1"
    check(saved(path, image), 4095 - table[PIXELS])


def test_a_voi_lut_that_turns_dark_and_bright_round(path):
    image = dataset(PIXELS, 12, VOILUTSequence=lut(4095 - np.arange(4096)))
    check(saved(path, image), 4095 - PIXELS)
    image.PhotometricInterpretation = "MONOCHROME1"
    check(saved(path, image), PIXELS)


def test_other_voi_luts_and_windows_change_the_contrast_only(path):
    table = np.minimum(np.arange(4096) * 3, 4095)
    check(saved(path, dataset(PIXELS, 12, VOILUTSequence=lut(table))), PIXELS)
    check(saved(path, dataset(PIXELS, 12, WindowCenter=100, WindowWidth=20)), PIXELS)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
@pytest.mark.parametrize("monochrome", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_presentation_lut_shape(path, sop_class, monochrome, shape):
    tags = {"PhotometricInterpretation": monochrome, "PresentationLUTShape": shape}
    saved(path, dataset(PIXELS, 12, sop_class, **tags))
    is_plain = (monochrome, shape) == ("MONOCHROME2", "IDENTITY")
    check(path, PIXELS if is_plain else 4095 - PIXELS.astype(np.int64))


def test_a_slope_with_a_decimal_comma(path):
    saved(path, dataset(PIXELS, 12, RescaleSlope="9.25", RescaleIntercept="-3.5"))
    path.write_bytes(path.read_bytes().replace(b"9.25", b"9,25").replace(b"-3.5", b"-3,5"))
    check(path, PIXELS * 9.25 - 3.5)


# -- frames ----------------------------------------------------------------------

FRAMES = np.stack([PIXELS, PIXELS[::-1], PIXELS + 7])
LATERAL = [0, 1, 0, 0, 0, -1]
"""ImageOrientationPatient: columns count to posterior, rows to inferior."""


@pytest.mark.parametrize(
    "sop_class",
    [
        *(uid.EnhancedXAImageStorage, uid.EnhancedCTImageStorage),
        *(uid.EnhancedMRImageStorage, uid.BreastTomosynthesisImageStorage),
    ],
)
@pytest.mark.parametrize("shared", [0, 1, 3])
def test_functional_groups(path, sop_class, shared):
    """The first groups are shared, the others of each frame."""
    rescale = item(RescaleSlope=2, RescaleIntercept=-100, RescaleType="US")
    groups = {
        "PixelMeasuresSequence": item(PixelSpacing=[0.3, 0.2]),
        "PlaneOrientationSequence": item(ImageOrientationPatient=LATERAL),
        "PixelValueTransformationSequence": rescale,
    }
    names = list(groups)
    image = dataset(FRAMES, 12, sop_class)
    image.SharedFunctionalGroupsSequence = item(**{n: groups[n] for n in names[:shared]})
    of_each = {name: groups[name] for name in names[shared:]}
    image.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=item(ImagePositionPatient=[5.0 + index, 6, 7]), **of_each)[0]
        for index in range(3)
    ]
    saved(path, image)
    for index, frame in enumerate(FRAMES):
        check(path, frame * 2.0 - 100, slice_index=index)
        read = read_image(path, slice_index=index)
        assert read.spacing_source is SpacingSource.PIXEL_SPACING
        assert read.geometry.spacing_mm_yx == (0.3, 0.2)
        assert read.geometry.origin_lps_mm == (5.0 + index, 6.0, 7.0)
        assert read.geometry.column_axis_lps == (0.0, 1.0, 0.0)
        assert read.geometry.row_axis_lps == (0.0, 0.0, -1.0)


def test_the_imager_spacing_of_a_frame(path):
    image = dataset(PIXELS[None], 12, uid.EnhancedXAImageStorage)
    image.SharedFunctionalGroupsSequence = item(
        FramePixelDataPropertiesSequence=item(ImagerPixelSpacing=[0.33, 0.22])
    )
    saved(path, image)
    assert spacing_of(path) == ((0.33, 0.22), SpacingSource.IMAGER)


@pytest.mark.parametrize("frame_by_frame_from", [1000, 1 << 28])
def test_frames(path, monkeypatch, frame_by_frame_from):
    """Of a large file a frame is read alone."""
    from napari_oneshot_lmk.imaging.formats import dicom

    monkeypatch.setattr(dicom, "_FRAME_BY_FRAME_FROM", frame_by_frame_from)
    image = dataset(FRAMES, 12, uid.XRayAngiographicImageStorage, PixelSpacing=[0.3, 0.2])
    saved(path, image)
    refused(path, r"3 slices or frames; .*--slice 0 to 2")
    for index, frame in enumerate(FRAMES):
        check(path, frame, slice_index=index)
        assert read_image(path, slice_index=index).geometry.spacing_mm_yx == (0.3, 0.2)


# -- geometry -------------------------------------------------------------------


def spacing_of(path: Path) -> tuple[tuple[float, float] | None, SpacingSource | None]:
    image = read_image(path)
    return image.geometry.spacing_mm_yx, image.spacing_source


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_each_spacing_says_where_it_comes_from(path, sop_class):
    pixel, imager = {"PixelSpacing": [0.3, 0.2]}, {"ImagerPixelSpacing": [0.33, 0.22]}
    magnified = {"EstimatedRadiographicMagnificationFactor": 1.1}
    of_patient = ((0.3, 0.2), SpacingSource.PIXEL_SPACING)
    in_patient = ((0.33 / 1.1, 0.22 / 1.1), SpacingSource.IMAGER_MAGNIFIED)
    for tags, expected in (
        (pixel, of_patient),
        (pixel | imager, of_patient),
        (imager, ((0.33, 0.22), SpacingSource.IMAGER)),
        (imager | magnified, in_patient),
        (pixel | magnified, of_patient),
        ({"NominalScannedPixelSpacing": [0.3, 0.2]}, ((0.3, 0.2), SpacingSource.NOMINAL)),
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
def test_a_spacing_that_is_written_wrongly(path, keyword):
    tags = {"ImagerPixelSpacing": [0.25, 0.25], keyword: [0.139, 0.275]}
    saved(path, dataset(PIXELS, 12, **tags))
    data = path.read_bytes()
    assert data.count(b"0.139\\0.275") == 1
    path.write_bytes(data.replace(b"0.139\\0.275", b"0,139\\0,275"))
    assert spacing_of(path) == ((0.139, 0.275), SpacingSource(keyword))
    # What is no number is said, and no other attribute takes its place.
    path.write_bytes(data.replace(b"0.139\\0.275", b"0.139 0.275"))
    assert spacing_of(path) == (None, None)
    [note] = read_image(path).notes
    assert f"{keyword} says '0.139 0.275'" in note


@pytest.mark.parametrize("stated", [[0, 0], [-0.1, 0.1], [5000, 5000]])
def test_an_absurd_spacing_in_a_file(path, stated):
    saved(path, dataset(PIXELS, 12, PixelSpacing=stated))
    says = r"image\.dcm: the file states a spacing that makes no sense: pixel .*--spacing"
    with pytest.raises(GeometryError, match=says):
        read_image(path)
    assert read_image(path, spacing_mm_yx=0.1).geometry.spacing_mm_yx == (0.1, 0.1)


@pytest.mark.parametrize("sop_class", RADIOGRAPHS)
def test_orientation_and_position_in_the_patient(path, sop_class):
    tags = {"ImageOrientationPatient": LATERAL, "ImagePositionPatient": [5, -60, 80]}
    saved(path, dataset(PIXELS, 12, sop_class, PixelSpacing=[0.3, 0.2], **tags))
    geometry = read_image(path).geometry
    assert geometry.column_axis_lps == (0.0, 1.0, 0.0)
    assert geometry.row_axis_lps == (0.0, 0.0, -1.0)
    expected = [[5, -60 + 20 * 0.2, 80 - 10 * 0.3]]
    np.testing.assert_allclose(geometry.points_to_lps([[10, 20]]), expected)


def test_rounded_cosines_are_made_orthonormal(path):
    tags = {"ImageOrientationPatient": [0.7071, 0.7071, 0, -0.7071, 0.7071, 0.001]}
    saved(path, dataset(PIXELS, 12, **tags, ImagePositionPatient=[0, 0, 0]))
    geometry = read_image(path).geometry
    axes = np.array([geometry.row_axis_lps, geometry.column_axis_lps])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)


def test_an_orientation_of_zeros_is_none(path):
    saved(path, dataset(PIXELS, 12, ImageOrientationPatient=[0] * 6, PixelSpacing=[0.3, 0.2]))
    geometry = read_image(path).geometry
    assert geometry.column_axis_lps == (1.0, 0.0, 0.0)
    assert geometry.spacing_mm_yx == (0.3, 0.2)
    assert geometry.image_shape_yx == (ROWS, COLUMNS)
