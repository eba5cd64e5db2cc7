"""Where pixels lie: spacing that is stated, orientation, planes of volumes."""

from __future__ import annotations

import warnings

import nibabel
import nibabel.eulerangles
import numpy as np
import pytest
import SimpleITK
import tifffile
from image_files import COLUMNS, GREY8, PIXELS, ROWS, check, refused, write_itk
from PIL import Image

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.imaging.reader import read_image


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nii", ".nii.gz"])
def test_anisotropic_spacing_is_row_then_column(tmp_path, suffix):
    path = write_itk(tmp_path / f"image{suffix}", PIXELS, (0.2, 0.3))
    assert read_image(path).geometry.spacing_mm_yx == (0.3, 0.2)


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".bmp", ".tif", ".mha", ".nrrd", ".nii", ".dcm"]
)
def test_a_film_that_states_nothing_is_unknown_and_never_one_mm(tmp_path, suffix):
    # SimpleITK itself reports, and writes, a spacing of 1 mm for all of them.
    image = read_image(write_itk(tmp_path / f"image{suffix}", GREY8))
    assert image.geometry.spacing_mm_yx is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_dots_per_inch_are_no_spacing(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(GREY8).save(path, dpi=(300, 300))
    assert read_image(path).geometry.spacing_mm_yx is None


def test_a_given_spacing_replaces_the_stated_one(tmp_path):
    path = write_itk(tmp_path / "image.mha", PIXELS, (0.2, 0.3))
    for given, expected in ((0.1, (0.1, 0.1)), ((0.4, 0.5), (0.4, 0.5))):
        assert read_image(path, spacing_mm_yx=given).geometry.spacing_mm_yx == expected
    for absurd in (0, -1, float("nan"), 1e9):
        with pytest.raises(GeometryError, match="pixel spacing"):
            read_image(path, spacing_mm_yx=absurd)


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("mm", (4, 5), (0.2, 0.25)),
        ("\\u00B5m", (0.01, 0.02), (0.05, 0.1)),
        ("pixel", (4, 5), None),
    ],
)
def test_imagej_states_a_spacing_in_a_unit_of_length(tmp_path, unit, resolution, expected):
    path, metadata = tmp_path / "image.tif", {"unit": unit}
    tifffile.imwrite(path, GREY8, imagej=True, resolution=resolution, metadata=metadata)
    assert read_image(path).geometry.spacing_mm_yx == (expected and pytest.approx(expected))


def test_ome_states_a_spacing(tmp_path):
    path = tmp_path / "image.ome.tif"
    x = {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "mm"}
    y = {"PhysicalSizeY": 300, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, GREY8, metadata={"axes": "YX", **x, **y})
    assert read_image(path).geometry.spacing_mm_yx == pytest.approx((0.3, 0.2))


def test_units_of_nrrd(tmp_path):
    path = write_itk(tmp_path / "image.nrrd", PIXELS, (200.0, 300.0))
    header, _, pixels = path.read_bytes().partition(b"\n\n")
    for unit in (b"um", "µm".encode(), "µm".encode("latin-1")):
        path.write_bytes(header + b'\nspace units: "%b" "%b"\n\n' % (unit, unit) + pixels)
        assert read_image(path).geometry.spacing_mm_yx == pytest.approx((0.3, 0.2))
    path.write_bytes(header + b'\nspace units: "pixel" "pixel"\n\n' + pixels)
    assert read_image(path).geometry.spacing_mm_yx is None


def test_units_of_nifti(tmp_path):
    image = nibabel.Nifti1Image(PIXELS.T, np.diag([-200, -300, 1, 1]))
    image.header.set_xyzt_units("micron")
    for shape in ((COLUMNS, ROWS), (COLUMNS, ROWS, 1)):
        flat = nibabel.Nifti1Image(PIXELS.T.reshape(shape), image.affine, image.header)
        nibabel.save(flat, tmp_path / "image.nii")
        geometry = read_image(tmp_path / "image.nii").geometry
        assert geometry.spacing_mm_yx == pytest.approx((0.3, 0.2))


# -- orientation ----------------------------------------------------------------


def oblique_affine_ras() -> np.ndarray:
    """Turned about all three axes, anisotropic, away from the origin."""
    rotation = nibabel.eulerangles.euler2mat(*np.radians([70, -40, 25]))
    return nibabel.affines.from_matvec(rotation * [0.2, 0.3, 2.0], [10, -20, 30])


SAGITTAL_RAS = np.array([[0, 0, 2.0, 5], [0.2, 0, 0, 6], [0, 0.3, 0, 7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("affine", [oblique_affine_ras(), SAGITTAL_RAS])
@pytest.mark.parametrize("shape", [(COLUMNS, ROWS), (COLUMNS, ROWS, 1)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_nifti_lies_where_its_affine_says(tmp_path, affine, shape, suffix, form):
    path = tmp_path / f"image{suffix}"
    image = nibabel.Nifti1Image(PIXELS.T.reshape(shape), None)
    getattr(image, f"set_{form}")(affine, code=1)
    nibabel.save(image, path)
    check(path, PIXELS)
    points_yx = np.array([[0, 0], [7.25, 3.5], [29, 23]])
    voxels = np.column_stack([points_yx[:, ::-1], np.zeros(3)])
    ras = nibabel.affines.apply_affine(affine, voxels)
    lps = read_image(path).geometry.points_to_lps(points_yx)
    np.testing.assert_allclose(lps, ras * [-1, -1, 1], atol=1e-4)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_one_slice_of_a_volume_is_a_plane_in_the_patient(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    image = SimpleITK.GetImageFromArray(PIXELS[None])
    affine = np.diag([-1, -1, 1, 1]) @ oblique_affine_ras()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path))
    check(path, PIXELS)
    expected = [image.TransformContinuousIndexToPhysicalPoint((3.5, 7.25, 0.0))]
    lps = read_image(path).geometry.points_to_lps([[7.25, 3.5]])
    np.testing.assert_allclose(lps, expected, atol=1e-4)


def test_a_plane_along_any_axis_of_the_file(tmp_path):
    path = tmp_path / "image.mha"
    image = SimpleITK.GetImageFromArray(PIXELS.reshape(ROWS, COLUMNS, 1))
    image.SetSpacing((2.0, 0.2, 0.3))
    image.SetOrigin((5.0, 6.0, 7.0))
    SimpleITK.WriteImage(image, str(path))
    check(path, PIXELS)
    lps = read_image(path).geometry.points_to_lps([[10, 20]])
    np.testing.assert_allclose(lps, [[5, 6 + 20 * 0.2, 7 + 10 * 0.3]])


def test_a_sheared_nifti_is_read(tmp_path):
    path, affine = tmp_path / "image.nii.gz", np.diag([-0.2, -0.3, 2, 1.0])
    affine[0, 1] = 0.1
    image = nibabel.Nifti1Image(PIXELS.T[..., None], None)
    image.set_sform(affine, code=1)
    nibabel.save(image, path)
    check(path, PIXELS)
    spacing = read_image(path).geometry.spacing_mm_yx
    assert spacing == pytest.approx((np.hypot(0.1, 0.3), 0.2))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz", ".tif"])
def test_a_volume_asks_for_a_slice(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    volume = np.stack([PIXELS, PIXELS + 1, PIXELS[::-1]])
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((0.2, 0.3, 4.0))
    SimpleITK.WriteImage(image, str(path))
    refused(path, r"3 slices or frames; .*--slice 0 to 2")
    for index in range(3):
        check(path, volume[index], slice_index=index)
        origin = read_image(path, slice_index=index).geometry.origin_lps_mm
        assert suffix == ".tif" or origin[2] == pytest.approx(4.0 * index)
    for index in (3, -1):
        refused(path, f"no slice {index}, .*--slice 0 to 2", slice_index=index)


def test_a_plane_has_one_slice(tmp_path):
    path = write_itk(tmp_path / "image.png", GREY8)
    check(path, GREY8, slice_index=0)
    refused(path, "no slice 1, the file holds one slice", slice_index=1)


def test_four_dimensions_are_refused(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "image.nii")
    refused(tmp_path / "image.nii", r"4 dimensions \(4 x 5 x 6 x 7\)", slice_index=0)


def test_monai_gets_the_same_plane_in_its_own_coordinates(tmp_path):
    from monai.transforms import LoadImage

    from napari_oneshot_lmk.imaging.monai_transforms import GrayPlaneReader

    path = write_itk(tmp_path / "image.mha", PIXELS, (0.2, 0.3))
    reader = GrayPlaneReader()
    with warnings.catch_warnings():
        # MONAI reports which of its optional readers are missing.
        warnings.simplefilter("ignore")
        loaded = LoadImage(reader=reader)(path)
    np.testing.assert_array_equal(loaded.numpy(), PIXELS)
    # Array axes are (row, column): rows run to posterior, columns to left.
    ras = loaded.affine.numpy() @ [10, 20, 0, 1]
    np.testing.assert_allclose(ras[:3], [-20 * 0.2, -10 * 0.3, 0])
    assert tuple(loaded.meta["spacing_mm_yx"]) == (0.3, 0.2)
    assert loaded.meta["spatial_shape"].tolist() == [ROWS, COLUMNS]
    assert reader.verify_suffix(["a.MHA", "b.nii.gz"])
    assert reader.verify_suffix("IM000001")
    assert not reader.verify_suffix("notes.txt")
