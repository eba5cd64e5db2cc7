"""Kinds of NIfTI, NRRD and MetaImage: pixels, places, pairs and damage."""

from __future__ import annotations

import bz2
import gzip
import locale
import os
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
from image_files import GREY8, LUMA, PIXELS, check, refused, write_itk

from napari_oneshot_lmk.imaging.image import SpacingSource
from napari_oneshot_lmk.imaging.reader import read_image

AFFINE = np.diag([-0.2, -0.3, 2.0, 1.0])


def spacing_of(path: Path) -> tuple[tuple[float, float] | None, SpacingSource | None]:
    image = read_image(path)
    return image.geometry.spacing_mm_yx, image.spacing_source


def lies_as_itk_has_it(path: Path) -> bool:
    itk = SimpleITK.ReadImage(str(path))
    expected = itk.TransformContinuousIndexToPhysicalPoint((3.5, 7.25, 0.0)[: itk.GetDimension()])
    [lps] = read_image(path).geometry.points_to_lps([[7.25, 3.5]])
    return np.allclose(lps[: len(expected)], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    "dtype", ["u1", "i2", "u2", "i4", "u4", "f4", "f8", "i1", "u8", ">i2", ">f4"]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_of_both_versions(tmp_path, kind, dtype, suffix):
    path = tmp_path / f"film{suffix}"
    pixels = (PIXELS % 120).astype(dtype)
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    nibabel.save(kind(pixels.T, AFFINE, header), path)
    check(path, pixels)
    assert spacing_of(path) == ((0.3, 0.2), SpacingSource.NIFTI_SFORM)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("named", [".hdr", ".img"])
def test_nifti_in_two_files(tmp_path, kind, packed, named):
    nibabel.save(kind(PIXELS.T, AFFINE), tmp_path / f"film.img{packed}")
    path = tmp_path / f"film{named}{packed}"
    check(path, PIXELS)
    assert read_image(path).geometry.spacing_mm_yx == (0.3, 0.2)
    (tmp_path / f"film.img{packed}").unlink()
    if named == ".hdr":
        refused(path, r"film\.img: .*missing; keep it beside")


def test_analyze(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(PIXELS.T.astype(np.int16), AFFINE), tmp_path / "a.img")
    check(tmp_path / "a.hdr", PIXELS)


def test_nifti_rescaled(tmp_path):
    path = tmp_path / "film.nii"
    nibabel.save(nibabel.Nifti1Image(PIXELS.T.astype(np.int16), AFFINE), path)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([2.0, -100.0], "<f4").tobytes()
    path.write_bytes(data)
    check(path, PIXELS * 2.0 - 100)


def test_nifti_colours(tmp_path):
    rgb = np.dstack([GREY8, GREY8 // 2, GREY8 // 3])
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    values = np.ascontiguousarray(rgb.swapaxes(0, 1)).view(kind)[..., 0]
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "film.nii")
    check(tmp_path / "film.nii", rgb @ LUMA, atol=1e-3)


def test_only_the_chosen_slice_of_a_nifti_is_read(tmp_path):
    path = tmp_path / "volume.nii"
    volume = np.stack([PIXELS.T, PIXELS.T + 1, PIXELS.T + 2], -1)
    nibabel.save(nibabel.Nifti1Image(volume, AFFINE), path)
    data = path.read_bytes()
    # The last slice is gone; the first two are still there.
    path.write_bytes(data[: -PIXELS.nbytes])
    check(path, PIXELS + 1, slice_index=1)
    refused(path, "cut short or damaged", slice_index=2)


def write_nrrd(path: Path, fields: str, data: bytes) -> None:
    path.write_bytes(b"NRRD0004\n" + fields.encode() + b"\n" + data)


FIELDS = "type: uint16\ndimension: 2\nsizes: 24 30\nendian: little\n"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("raw", lambda data: data),
        *((name, gzip.compress) for name in ("gzip", "gz")),
        ("bzip2", bz2.compress),
        ("hex", lambda data: data.hex().encode()),
        ("ascii", lambda data: b" ".join(b"%d" % n for n in np.frombuffer(data, "<u2"))),
    ],
)
def test_nrrd_encodings(tmp_path, encoding, pack):
    path = tmp_path / "film.nrrd"
    fields = f"{FIELDS}encoding: {encoding}\nspacings: 0.2 0.3\n"
    data = pack(PIXELS.astype("<u2").tobytes())
    write_nrrd(path, fields, data)
    check(path, PIXELS)
    assert spacing_of(path) == ((0.3, 0.2), SpacingSource.NRRD_SPACINGS)
    write_nrrd(path, fields, data[: len(data) // 2])
    refused(path, "cut short or damaged")


def test_nrrd_of_unknown_encodings_is_named(tmp_path):
    write_nrrd(tmp_path / "film.nrrd", f"{FIELDS}encoding: zrl\n", bytes(1440))
    refused(tmp_path / "film.nrrd", "encoding 'zrl' cannot be read")


def test_nrrd_with_a_file_for_each_slice(tmp_path):
    for index in range(3):
        (tmp_path / f"film.{index}.raw").write_bytes((PIXELS + index).tobytes())
    fields = FIELDS.replace("dimension: 2", "dimension: 3").replace("30", "30 3")
    (tmp_path / "film.nhdr").write_text(
        f"NRRD0004\n{fields}encoding: raw\ndata file: film.%d.raw 0 2 1\n\n"
    )
    for index in range(3):
        check(tmp_path / "film.nhdr", PIXELS + index, slice_index=index)


def test_largest_byte_first(tmp_path):
    fields = FIELDS.replace("little", "big") + "encoding: raw\n"
    write_nrrd(tmp_path / "film.nrrd", fields, PIXELS.astype(">u2").tobytes())
    check(tmp_path / "film.nrrd", PIXELS)
    path, data = tmp_path / "film.mha", PIXELS.astype(">u2").tobytes()
    for more, pixels in (("", data), ("CompressedData = True\n", zlib.compress(data))):
        write_meta(path, more, pixels)
        path.write_bytes(path.read_bytes().replace(b"OrderMSB = False", b"OrderMSB = True"))
        check(path, PIXELS)


def test_nrrd_with_its_pixels_elsewhere(tmp_path):
    path = tmp_path / "film.nhdr"
    (tmp_path / "film.raw").write_bytes(b"skip" + PIXELS.astype("<u2").tobytes())
    fields = f"{FIELDS}encoding: raw\nbyte skip: 4\ndata file: film.raw\n"
    path.write_text(f"NRRD0004\n{fields}\n")
    check(path, PIXELS)
    (tmp_path / "film.raw").unlink()
    refused(path, r"film\.raw: .*missing")


FLAT = [[0, 0.2, 0], [0, 0, -0.3]]


@pytest.mark.parametrize("space", ["LPS", "left-posterior-superior", "RAS", "LAS"])
def test_nrrd_lies_where_itk_has_it(tmp_path, space):
    path = tmp_path / "film.nrrd"
    header = {"space": space, "space directions": [*FLAT, [2, 0, 0]], "space origin": [5, -6, 7]}
    nrrd.write(str(path), PIXELS.T[..., None], header, index_order="F")
    check(path, PIXELS)
    assert lies_as_itk_has_it(path)
    assert read_image(path).spacing_source is SpacingSource.NRRD_DIRECTIONS


def test_a_flat_nrrd_in_space(tmp_path):
    """ITK refuses these."""
    path = tmp_path / "film.nrrd"
    header = {"space": "RAS", "space directions": FLAT, "space origin": [5, -6, 7]}
    nrrd.write(str(path), PIXELS.T, header, index_order="F")
    geometry = read_image(path).geometry
    assert geometry.origin_lps_mm == (-5.0, 6.0, 7.0)
    assert geometry.column_axis_lps == (0.0, -1.0, 0.0)
    assert geometry.row_axis_lps == (0.0, 0.0, -1.0)
    assert geometry.spacing_mm_yx == pytest.approx((0.3, 0.2))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("last", [False, True])
def test_nrrd_colours(tmp_path, channels, last):
    path = tmp_path / "film.nrrd"
    values = np.stack([GREY8.T] * channels, axis=-1 if last else 0)
    kind = "RGB-color" if channels == 3 else "RGBA-color"
    kinds = ["domain", "domain", kind] if last else [kind, "domain", "domain"]
    nrrd.write(str(path), values, {"kinds": kinds}, index_order="F")
    check(path, GREY8)


META = (
    "ObjectType = Image\nNDims = 2\nBinaryData = True\n"
    "BinaryDataByteOrderMSB = False\n{more}ElementSpacing = 0.2 0.3\n"
    "DimSize = 24 30\nElementType = MET_USHORT\nElementDataFile = {file}\n"
)


def write_meta(path: Path, more: str, data: bytes, file: str = "LOCAL") -> None:
    path.write_bytes(META.format(more=more, file=file).encode() + data)


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_meta_image_compressed(tmp_path, stated, channels):
    path = tmp_path / "film.mha"
    values = np.dstack([PIXELS] * channels)
    stream = zlib.compress(values.astype("<u2").tobytes())
    more = f"ElementNumberOfChannels = {channels}\nCompressedData = True\n"
    if stated:
        more += f"CompressedDataSize = {len(stream)}\n"
    write_meta(path, more, stream)
    check(path, PIXELS)
    assert spacing_of(path) == ((0.3, 0.2), SpacingSource.META_SPACING)
    broken = bytearray(stream)
    broken[len(broken) // 2] ^= 0xFF
    for bad in (stream[: len(stream) // 2], stream[:-3], bytes(broken)):
        write_meta(path, more, bad)
        refused(path, "cut short or damaged")


@pytest.mark.parametrize("part", [0.2, 0.9])
def test_meta_image_with_half_of_its_zraw(tmp_path, part):
    path = tmp_path / "film.mhd"
    stream = zlib.compress(PIXELS.astype("<u2").tobytes())
    more = f"CompressedData = True\nCompressedDataSize = {len(stream)}\n"
    write_meta(path, more, b"", "film.zraw")
    (tmp_path / "film.zraw").write_bytes(stream)
    check(path, PIXELS)
    (tmp_path / "film.zraw").write_bytes(stream[: int(len(stream) * part)])
    refused(path, r"film\.zraw: .*cut short or damaged")


def test_a_slice_of_a_compressed_meta_image(tmp_path):
    path = tmp_path / "volume.mha"
    volume = np.stack([PIXELS, PIXELS + 1, PIXELS[::-1]])
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((0.2, 0.3, 4.0))
    SimpleITK.WriteImage(image, str(path), True)
    for index in range(3):
        check(path, volume[index], slice_index=index)
        origin = read_image(path, slice_index=index).geometry.origin_lps_mm
        assert origin == (0.0, 0.0, 4.0 * index)


@pytest.mark.parametrize(
    "change",
    [
        (b"DimSize = 24 30", b"DimSize = 24 31"),
        (b"DimSize = 24 30", b"DimSize = 24"),
        (b"DimSize = 24 30", b"DimSize = 24 -3"),
        (b"NDims = 2", b"NDims = 3"),
        (b"MET_USHORT", b"MET_DOUBLE"),
        (b"0.2 0.3", b"0.2 x"),
        (b"0.2 0.3", b"0.2"),
        # Not white space to ITK, which prints that it does not understand it.
        (b"DimSize", b"HeaderSize =\xa0 0\nDimSize"),
        (b"DimSize", b"HeaderSize = 0_0\nDimSize"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_meta_header_that_does_not_fit_its_pixels(tmp_path, change, compressed, capfd):
    path = tmp_path / "film.mha"
    data = PIXELS.astype("<u2").tobytes()
    more = f"CompressedData = {compressed}\n"
    write_meta(path, more, zlib.compress(data) if compressed else data)
    check(path, PIXELS)
    path.write_bytes(path.read_bytes().replace(*change))
    refused(path, "cut short or damaged")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "more",
    [
        "Offset = 1 2\n",
        "Offset = 1 2\nPosition = 3 4\nOrigin = 5 6\n",
        "TransformMatrix = 0.8 0.6 -0.6 0.8\n",
        "Orientation = 1 0 0 -1\nRotation = -1 0 0 1\n",
        "HeaderSize = -1\n",
        "HeaderSize = 260\n",
    ],
)
def test_meta_image_is_read_as_itk_does(tmp_path, more):
    path = tmp_path / "film.mha"
    write_meta(path, more, bytes(200) + PIXELS.tobytes())
    check(path, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    assert lies_as_itk_has_it(path)


def test_meta_image_with_a_file_for_each_slice(tmp_path):
    for index in range(3):
        (tmp_path / f"film.{index}.raw").write_bytes((PIXELS + index).tobytes())
    text = META.format(more="", file="film.%d.raw 0 2 1").replace("NDims = 2", "NDims = 3")
    path = tmp_path / "film.mhd"
    path.write_text(text.replace("24 30", "24 30 3").replace("0.2 0.3", "0.2 0.3 1"))
    for index in range(3):
        check(path, PIXELS + index, slice_index=index)
    assert read_image(path, slice_index=1).geometry.spacing_mm_yx == (0.3, 0.2)


def test_meta_image_in_text(tmp_path):
    path = tmp_path / "film.mha"
    text = b" ".join(b"%d" % n for n in PIXELS.ravel())
    write_meta(path, "", text + b"\n")
    path.write_bytes(path.read_bytes().replace(b"BinaryData = True", b"BinaryData = False"))
    check(path, PIXELS)
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "cut short or damaged")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".png", ".bmp", ".tif"])
@pytest.mark.parametrize(
    "name", ["film", "FILM.MHA", "film.nrrd", "film.png", "film.dcm", "1.2.840.10008.5.1.99"]
)
def test_what_is_in_a_file_counts(tmp_path, suffix, name):
    write_itk(tmp_path / f"x{suffix}", GREY8, (0.2, 0.3)).rename(tmp_path / name)
    check(tmp_path / name, GREY8)
    spacing = read_image(tmp_path / name).geometry.spacing_mm_yx
    assert spacing == ((0.3, 0.2) if suffix in (".mha", ".nrrd", ".nii") else None)


@pytest.mark.skipif(sys.platform != "linux", reason="locales are made by localedef")
def test_numbers_do_not_depend_on_the_locale(tmp_path):
    """Qt sets the user's locale for the whole process, decimal comma and all."""
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"]
    done = subprocess.run(command, capture_output=True, check=False)
    if not (tmp_path / "de_DE.UTF-8").exists():
        pytest.skip(f"no German locale here: {done.stderr!r}")
    names = [
        str(write_itk(tmp_path / f"film{suffix}", PIXELS, (0.139, 2.75)))
        for suffix in (".nrrd", ".mha", ".nii", ".nhdr", ".mhd")
    ]
    code = (
        "import locale, sys; locale.setlocale(locale.LC_ALL, '')\n"
        "assert locale.localeconv()['decimal_point'] == ','\n"
        "from napari_oneshot_lmk.imaging.reader import read_image\n"
        "for n in sys.argv[1:]: print(read_image(n).geometry.spacing_mm_yx)"
    )
    env = os.environ | {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}
    shown = subprocess.check_output([sys.executable, "-c", code, *names], env=env, text=True)
    assert shown.splitlines() == ["(2.75, 0.139)"] * len(names)


def test_a_vtk_file_leaves_the_locale_of_the_process_as_it_was(tmp_path):
    path = tmp_path / "a.vtk"
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4)), str(path)
    )
    before = locale.setlocale(locale.LC_ALL)
    read_image(path)
    assert locale.setlocale(locale.LC_ALL) == before
