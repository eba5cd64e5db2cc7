"""Bad files: one sentence that names the file, what is wrong, and what to do."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from image_files import GREY8, PIXELS, check, refused, write_itk
from PIL import Image

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.reader import read_image

NOISE = np.random.default_rng(0).integers(0, 255, (120, 96), dtype=np.uint8)


def write_jpeg_with_preview(path: Path) -> None:
    """Write a JPEG with a small JPEG, end marker and all, in front."""
    Image.fromarray(NOISE[:8, :8]).save(path, quality=50)
    preview = path.read_bytes()
    Image.fromarray(NOISE).save(path, quality=95)
    data = path.read_bytes()
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    path.write_bytes(data[:2] + segment + data[2:])


def write_packed(path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE), str(path), True)


WRITERS = {
    "jpeg.jpg": lambda p: Image.fromarray(NOISE).save(p, quality=95),
    "progressive.jpg": lambda p: Image.fromarray(NOISE).save(p, progressive=True),
    "preview.jpg": write_jpeg_with_preview,
    "tiff.tif": lambda p: tifffile.imwrite(p, NOISE),
    "packed.tif": lambda p: tifffile.imwrite(p, NOISE, compression="zlib"),
    "tiles.tif": lambda p: tifffile.imwrite(p, NOISE, tile=(16, 16)),
    "jpeg.tif": lambda p: Image.fromarray(NOISE).save(p, compression="jpeg"),
    "big.tif": lambda p: tifffile.imwrite(p, NOISE, bigtiff=True),
    **dict.fromkeys(("packed.mha", "packed.nrrd"), write_packed),
    **{
        f"itk{suffix}": lambda p: write_itk(p, NOISE)
        for suffix in (".png", ".bmp", ".tif", ".mha", ".nrrd", ".nii", ".nii.gz", ".dcm")
    },
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_short_anywhere(tmp_path, name, capfd):
    path = tmp_path / name
    WRITERS[name](path)
    read_image(path)
    data = path.read_bytes()
    for part in (0.03, 0.2, 0.5, 0.8, 0.97):
        path.write_bytes(data[: int(len(data) * part)])
        sentence = refused(path, "cut short|is not an image that can be read")
        assert sentence.startswith(f"{path}: ")
    # What libraries print past Python lands in the middle of progress bars.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm", ".nii.gz", ".nii", ".tif", ".mha", ""])
def test_a_file_that_is_empty_or_no_image(tmp_path, suffix, capfd):
    path = tmp_path / f"image{suffix}"
    path.touch()
    refused(path, "the file is empty")
    path.write_text("image,landmark,x_px,y_px\n" * 40)
    refused(path, "is not an image that can be read; use DICOM, NIfTI, .* or MetaImage$")
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder(tmp_path):
    refused(tmp_path / "missing.png", "cannot be opened .*No such file")
    refused(tmp_path, "is a folder, not an image")


def test_damaged_contents(tmp_path):
    path = write_itk(tmp_path / "image.png", NOISE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(path, "the PNG file is cut short or damaged")

    path = write_itk(tmp_path / "image.nii.gz", NOISE)
    data = bytearray(path.read_bytes())
    data[20:60] = bytes(40)
    path.write_bytes(data)
    refused(path, "the NIfTI file is cut short or damaged")

    path = write_itk(tmp_path / "image.mha", NOISE)
    path.write_bytes(path.read_bytes().replace(b"DimSize", b"XimSize"))
    refused(path, "the MetaImage file is cut short or damaged")

    path = write_itk(tmp_path / "image.mhd", NOISE)
    (tmp_path / "image.raw").unlink()
    refused(path, r"image\.raw: .* missing; keep it beside")


def test_a_packed_nifti_in_several_members(tmp_path):
    """Such files are whole, though their last bytes do not state the full size."""
    path = write_itk(tmp_path / "image.nii", NOISE)
    data = path.read_bytes()
    packed = tmp_path / "image.nii.gz"
    packed.write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]))
    check(packed, NOISE)
    packed.write_bytes(gzip.compress(data[:5000]))
    refused(packed, "cut short")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz", ".mha", ".dcm"])
def test_no_contrast(tmp_path, suffix):
    path = write_itk(tmp_path / f"image{suffix}", np.full((30, 24), 7, np.uint8))
    refused(path, r"every pixel has the same value \(7\)")


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_numbers(tmp_path, suffix, value):
    pixels = PIXELS.astype(np.float32)
    pixels[3, 4] = value
    refused(write_itk(tmp_path / f"image{suffix}", pixels), "not numbers")


def test_only_the_chosen_slice_must_hold_numbers(tmp_path):
    volume = np.stack([PIXELS.T.astype(np.float64)] * 3, axis=-1)
    volume[5, 6, 1] = np.nan
    path = tmp_path / "image.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-0.2, -0.3, 1, 1])), path)
    check(path, PIXELS, slice_index=2)
    refused(path, "not numbers", slice_index=1)


def test_too_many_channels(tmp_path):
    path = tmp_path / "image.mha"
    image = SimpleITK.GetImageFromArray(np.dstack([GREY8] * 7), isVector=True)
    SimpleITK.WriteImage(image, str(path))
    refused(path, "7 colour channels")


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes")
def test_a_name_that_is_no_text(tmp_path):
    path = write_itk(tmp_path / "image.png", GREY8)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/im\xffage.png")
    path.rename(odd)
    with pytest.raises(ImageError, match="no text; rename the file") as caught:
        read_image(odd)
    assert str(caught.value).encode("utf-8")


def test_loading_libraries_prints_nothing(tmp_path):
    path = write_itk(tmp_path / "image.dcm", GREY8)
    code = f"from napari_oneshot_lmk.imaging.reader import read_image;read_image({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert not re.search("warn|nvimgcodec", done.stderr + done.stdout, re.IGNORECASE)
