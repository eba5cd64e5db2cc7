"""Where pixels lie: spacing that is stated, orientation, planes of volumes."""

from __future__ import annotations

import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from image_files import COLUMNS, GREY8, PIXELS, ROWS, write_itk
from PIL import Image

from napari_oneshot_lmk.errors import GeometryError, ImageError
from napari_oneshot_lmk.imaging.reader import read_image

# -- spacing: stated, unknown, given -------------------------------------------------


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


def test_a_given_spacing_goes_before_the_stated_one(tmp_path):
    path = write_itk(tmp_path / "image.mha", PIXELS, (0.2, 0.3))
    for given, expected in ((0.1, (0.1, 0.1)), ((0.4, 0.5), (0.4, 0.5))):
        image = read_image(path, spacing_mm_yx=given)
        assert image.geometry.spacing_mm_yx == expected
    for absurd in (0, -1, float("nan"), 1e9):
        with pytest.raises(GeometryError, match="pixel spacing"):
            read_image(path, spacing_mm_yx=absurd)


def test_imagej_and_ome_state_a_spacing(tmp_path):
    tifffile.imwrite(
        tmp_path / "imagej.tif", GREY8, imagej=True, resolution=(4, 5), metadata={"unit": "mm"}
    )
    tifffile.imwrite(
        tmp_path / "micrometres.tif",
        GREY8,
        imagej=True,
        resolution=(0.01, 0.02),
        metadata={"unit": "\\u00B5m"},
    )
    tifffile.imwrite(
        tmp_path / "image.ome.tif",
        GREY8,
        metadata={
            "axes": "YX",
            "PhysicalSizeX": 0.2,
            "PhysicalSizeXUnit": "mm",
            "PhysicalSizeY": 300,
            "PhysicalSizeYUnit": "µm",
        },
    )
    spacings = [
        read_image(tmp_path / name).geometry.spacing_mm_yx
        for name in ("imagej.tif", "micrometres.tif", "image.ome.tif")
    ]
    np.testing.assert_allclose(spacings, [(0.2, 0.25), (0.05, 0.1), (0.3, 0.2)])


def test_imagej_pixels_are_no_unit(tmp_path):
    tifffile.imwrite(
        tmp_path / "image.tif", GREY8, imagej=True, resolution=(4, 5), metadata={"unit": "pixel"}
    )
    assert read_image(tmp_path / "image.tif").geometry.spacing_mm_yx is None


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
    angles = np.radians([25, -40, 70])
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.2, 0.3, 2.0]
    affine[:3, 3] = [10, -20, 30]
    return affine


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
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, PIXELS)
    points_yx = np.array([[0, 0], [7.25, 3.5], [29, 23]])
    voxels = np.column_stack([points_yx[:, ::-1], np.zeros(3)])
    ras = nibabel.affines.apply_affine(affine, voxels)
    np.testing.assert_allclose(read.geometry.points_to_lps(points_yx), ras * [-1, -1, 1], atol=1e-4)


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
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, PIXELS)
    expected = [image.TransformContinuousIndexToPhysicalPoint((3.5, 7.25, 0.0))]
    np.testing.assert_allclose(read.geometry.points_to_lps([[7.25, 3.5]]), expected, atol=1e-4)


def test_a_plane_along_any_axis_of_the_file(tmp_path):
    path = tmp_path / "image.mha"
    image = SimpleITK.GetImageFromArray(PIXELS.reshape(ROWS, COLUMNS, 1))
    image.SetSpacing((2.0, 0.2, 0.3))
    image.SetOrigin((5.0, 6.0, 7.0))
    SimpleITK.WriteImage(image, str(path))
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, PIXELS)
    np.testing.assert_allclose(
        read.geometry.points_to_lps([[10, 20]]), [[5, 6 + 20 * 0.2, 7 + 10 * 0.3]]
    )


def test_a_sheared_nifti_is_read(tmp_path):
    affine = np.diag([-0.2, -0.3, 2, 1.0])
    affine[0, 1] = 0.1
    image = nibabel.Nifti1Image(PIXELS.T[..., None], None)
    image.set_sform(affine, code=1)
    nibabel.save(image, tmp_path / "image.nii.gz")
    read = read_image(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(read.pixels, PIXELS)
    assert read.geometry.spacing_mm_yx == pytest.approx((np.hypot(0.1, 0.3), 0.2))


# -- volumes --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz", ".tif"])
def test_a_volume_asks_for_a_slice(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    volume = np.stack([PIXELS, PIXELS + 1, PIXELS[::-1]])
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((0.2, 0.3, 4.0))
    SimpleITK.WriteImage(image, str(path))
    with pytest.raises(ImageError, match=r"3 slices or frames; .*--slice 0 to 2"):
        read_image(path)
    for index in range(3):
        read = read_image(path, slice_index=index)
        np.testing.assert_array_equal(read.pixels, volume[index])
        if suffix != ".tif":
            assert read.geometry.origin_lps_mm[2] == pytest.approx(4.0 * index)
    for index in (3, -1):
        with pytest.raises(ImageError, match=f"no slice {index}, .*--slice 0 to 2"):
            read_image(path, slice_index=index)


def test_a_plane_has_one_slice(tmp_path):
    path = write_itk(tmp_path / "image.png", GREY8)
    assert read_image(path, slice_index=0).pixels.shape == GREY8.shape
    with pytest.raises(ImageError, match="no slice 1, the file holds one slice"):
        read_image(path, slice_index=1)


def test_four_dimensions_are_refused(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "image.nii")
    with pytest.raises(ImageError, match=r"4 dimensions \(4 x 5 x 6 x 7\)"):
        read_image(tmp_path / "image.nii", slice_index=0)


# -- as a reader of MONAI ---------------------------------------------------------


def test_monai_gets_the_same_plane_in_its_own_coordinates(tmp_path):
    from monai.transforms import LoadImage

    from napari_oneshot_lmk.imaging.transforms import GrayPlaneReader

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
