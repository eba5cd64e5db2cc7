"""Real files of every format: the pixels that are in them."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
import SimpleITK
import tifffile
from image_files import COLUMNS, GREY8, LUMA, PIXELS, ROWS, check, write_itk
from PIL import Image

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import LOGGERS
from napari_oneshot_lmk.imaging.reader import read_image


@pytest.mark.parametrize(
    ("suffix", "pixels"),
    [
        *((suffix, GREY8) for suffix in (".png", ".bmp", ".tif")),
        *((s, PIXELS) for s in (".png", ".tif", ".mha", ".mhd", ".nrrd", ".nii", ".nii.gz")),
        *((suffix, PIXELS.astype(np.float32) / 7) for suffix in (".tif", ".mha")),
        # Nothing but ITK reads these.
        *((suffix, PIXELS) for suffix in (".vtk", ".gipl", ".gipl.gz", ".mrc")),
    ],
)
def test_pixels_come_back_as_they_were(tmp_path, suffix, pixels):
    path = write_itk(tmp_path / f"image{suffix}", pixels)
    check(path, pixels)
    image = read_image(path)
    assert image.pixels.dtype == np.float32
    assert image.geometry.image_shape_yx == (ROWS, COLUMNS)
    assert (image.name, image.path) == (f"image{suffix}", path)


@pytest.mark.parametrize(
    "name", ["Schädel größer.png", "頭部 X線.nii.gz", "cœur.dcm", "頭.mhd", "頭.nhdr"]
)
def test_names_that_are_not_ascii(tmp_path, name):
    (tmp_path / "Röntgen").mkdir()
    path = write_itk(tmp_path / "Röntgen" / name, GREY8)
    check(path, GREY8)
    assert read_image(path).name == name


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_grey_saved_as_colour_stays_the_same_grey(tmp_path, suffix, mode):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(GREY8).convert(mode).save(path)
    check(path, GREY8)


def test_colour_is_weighted_as_the_eye_does(tmp_path):
    colours = np.zeros((10, 10, 3), np.uint8)
    colours[:3, :, 0], colours[3:6, :, 1], colours[6:, :, 2] = 200, 200, 200
    Image.fromarray(colours).save(tmp_path / "image.png")
    pixels = read_image(tmp_path / "image.png").pixels
    np.testing.assert_allclose(pixels[[0, 4, 8], 0], LUMA * 200, rtol=1e-6)


def test_help_does_not_load_what_reads_images():
    code = """
import sys
import napari_oneshot_lmk.imaging.reader
import napari_oneshot_lmk.imaging.find
import napari_oneshot_lmk.landmarks.files
import napari_oneshot_lmk.landmarks.lists
import napari_oneshot_lmk.landmarks.template
slow = "torch monai SimpleITK pandas pydicom tifffile imagecodecs nibabel nrrd PIL"
print([m for m in slow.split() if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_png_is_read_where_other_libraries_are_missing(tmp_path):
    """A server that only gets PNG files may have neither ITK nor pydicom."""
    path = write_itk(tmp_path / "image.png", GREY8)
    code = (
        "import sys\n"
        "for name in ('SimpleITK', 'pydicom', 'tifffile', 'nrrd', 'imagecodecs'):\n"
        "    sys.modules[name] = None\n"
        "from napari_oneshot_lmk.imaging.reader import read_image\n"
        "from napari_oneshot_lmk.errors import ImageError\n"
        f"print(read_image({str(path)!r}).pixels.shape)\n"
        "assert not {'torch', 'monai'} & set(sys.modules)\n"
        f"try: read_image({str(tmp_path / 'image.tif')!r})\n"
        "except ImageError as error: print(error)"
    )
    tifffile.imwrite(tmp_path / "image.tif", GREY8)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    shape, sentence = done.stdout.splitlines()
    assert shape == f"({ROWS}, {COLUMNS})", done.stderr
    assert sentence.endswith("TIFF files needs the package tifffile; install tifffile")


def test_what_libraries_say_is_switched_back_on(tmp_path):
    before = list(warnings.filters)
    levels = [logging.getLogger(name).level for name in LOGGERS]
    itk_warns = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    with pytest.raises(ImageError):
        read_image(tmp_path)
    for suffix in (".tif", ".mha"):
        read_image(write_itk(tmp_path / f"image{suffix}", GREY8))
    assert warnings.filters == before
    assert SimpleITK.ProcessObject.GetGlobalWarningDisplay() == itk_warns
    assert [logging.getLogger(name).level for name in LOGGERS] == levels
