"""Valid images of all formats, and a second reader for each."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import SimpleITK
import tifffile
from dicom_files import dataset, item, packed, saved
from PIL import Image
from pydicom import uid

SIZE = (48, 40)
RNG = np.random.default_rng(0)
FILM = np.add.outer(np.arange(SIZE[0]) * 3, np.arange(SIZE[1]) * 2)
FILM = (FILM + RNG.integers(0, 20, SIZE)).astype(np.uint8)
FILM16 = FILM.astype(np.uint16) * 16
RGB = np.dstack([FILM, FILM // 2, 255 - FILM])
LUMA = np.array([0.299, 0.587, 0.114])


def _pillow(values: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(values).save(path, **options)


def _tiff(values: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, values, **options)


def _itk(values: np.ndarray, compressed: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing([0.2, 0.3, 2.0][: values.ndim])
        SimpleITK.WriteImage(image, str(path), compressed)

    return write


def _nifti(kind: Any) -> Callable[[Path], None]:
    affine = np.diag([-0.2, -0.3, 1, 1])
    return lambda path: nibabel.save(kind(FILM16.T, affine), path)


def _dicom(values: np.ndarray, bits: int, **tags: Any) -> Callable[[Path], None]:
    return lambda path: saved(path, dataset(values, bits, **tags))


def _packed(syntax: str, values: np.ndarray, bits: int, stream: bytes) -> Any:
    return lambda path: saved(path, packed(dataset(values, bits), syntax, stream))


def _run_lengths(path: Path) -> None:
    image = dataset(FILM16, 12)
    image.compress(uid.RLELossless, encoding_plugin="pydicom")
    saved(path, image)


def _enhanced(path: Path) -> None:
    image = dataset(np.stack([FILM16] * 2), 12, uid.EnhancedXAImageStorage)
    image.SharedFunctionalGroupsSequence = item(PixelMeasuresSequence=item(PixelSpacing=[0.3, 0.2]))
    saved(path, image)


_LOSSLESS = imagecodecs.ljpeg_encode(FILM16, bitspersample=12)
_LS = imagecodecs.jpegls_encode(FILM16, out=1 << 16)
_J2K = imagecodecs.jpeg2k_encode(FILM16, level=0, bitspersample=12, codecformat="j2k")

WRITERS: dict[str, Callable[[Path], object]] = {
    "grey.png": _pillow(FILM),
    "grey16.png": _pillow(FILM16),
    "rgb.png": _pillow(RGB),
    "palette.png": lambda p: Image.fromarray(FILM).convert("P").save(p),
    "alpha.png": lambda p: Image.fromarray(np.dstack([FILM, FILM]), "LA").save(p),
    "grey.jpg": _pillow(FILM, quality=95),
    "rgb.jpg": _pillow(RGB, quality=90),
    "progressive.jpg": _pillow(FILM, quality=95, progressive=True),
    "grey.bmp": _pillow(FILM),
    "rgb.bmp": _pillow(RGB),
    "bits.bmp": _pillow(FILM > 90),
    "grey.tif": _tiff(FILM),
    "grey16.tif": _tiff(FILM16, rowsperstrip=9),
    "zlib.tif": _tiff(FILM16, compression="zlib", rowsperstrip=9),
    "lzw.tif": _tiff(FILM, compression="lzw", predictor=True),
    "packbits.tif": _tiff(FILM, compression="packbits"),
    "jpeg.tif": _pillow(RGB, compression="jpeg"),
    "tiles.tif": _tiff(FILM16, tile=(16, 16)),
    "rgb.tif": _tiff(RGB, photometric="rgb"),
    "white.tif": _tiff(FILM, photometric="miniswhite"),
    "float.tif": _tiff(FILM.astype(np.float32)),
    "big.tif": _tiff(FILM, bigtiff=True),
    "imagej.tif": _tiff(FILM, imagej=True),
    "pages.tif": _tiff(np.stack([FILM16] * 2), photometric="minisblack"),
    "raw.mha": _itk(FILM16),
    "packed.mha": _itk(FILM16, True),
    "volume.mha": _itk(np.stack([FILM16] * 2), True),
    "raw.nrrd": _itk(FILM16),
    "packed.nrrd": _itk(FILM16, True),
    "one.nii": _nifti(nibabel.Nifti1Image),
    "two.nii": _nifti(nibabel.Nifti2Image),
    "one.nii.gz": _nifti(nibabel.Nifti1Image),
    "plain.dcm": _dicom(FILM16, 12, PixelSpacing=[0.3, 0.2]),
    "eight.dcm": _dicom(FILM, 8),
    "white.dcm": _dicom(FILM16, 12, PhotometricInterpretation="MONOCHROME1"),
    "signed.dcm": _dicom(FILM16.astype(np.int16) - 900, 16, RescaleSlope=2),
    "runs.dcm": _run_lengths,
    "enhanced.dcm": _enhanced,
    "jpeg.dcm": _packed(uid.JPEGBaseline8Bit, FILM, 8, imagecodecs.jpeg8_encode(FILM, level=95)),
    "lossless.dcm": _packed(uid.JPEGLosslessSV1, FILM16, 12, _LOSSLESS),
    "ls.dcm": _packed(uid.JPEGLSLossless, FILM16, 12, _LS),
    "j2k.dcm": _packed(uid.JPEG2000Lossless, FILM16, 12, _J2K),
}


def seeds(folder: Path) -> dict[str, Path]:
    """Write one valid file of each kind; return them by name."""
    folder.mkdir(parents=True)
    for name, write in WRITERS.items():
        write(folder / name)
    return {name: folder / name for name in WRITERS}


def read_otherwise(path: Path) -> tuple[np.ndarray, float]:
    """Read the grey values of a file, (H, W), with a library that the package does not use.

    With them comes how far apart two right readers may be.
    """
    data = path.read_bytes()
    if data.startswith(b"\x89PNG"):
        return _grey(imagecodecs.png_decode(data)), 0.01
    if data.startswith(b"\xff\xd8"):
        return _grey(imagecodecs.jpeg8_decode(data)), 2.0
    if data.startswith(b"BM"):
        return _grey(imagecodecs.bmp_decode(data, asrgb=True)), 0.01
    if data[:2] in (b"II", b"MM") and data[128:132] != b"DICM":
        return _tiff_by_pillow(data)
    if data[4:7] == b"n+2":
        return _second_nifti(data), 0.01
    packed = re.search(rb"^CompressedDataSize = (\d+)$", data, re.M)
    if b"CompressedData = T" in data and (
        packed is None or not data[-int(packed[1]) :].startswith(b"x")
    ):
        raise ValueError("ITK takes anything for such pixels")
    image = SimpleITK.ReadImage(str(path))
    values = SimpleITK.GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    while values.ndim > 2 + (components > 1):
        values = values[0]
    near = b"1.2.840.10008.1.2.4.50" in data
    return _grey(values), 2.0 if near else 0.01


def _second_nifti(data: bytes) -> np.ndarray:
    """Read the one kind of NIfTI-2 that is written here; ITK reads none."""
    order = "<" if data[0] == 540 % 256 else ">"
    count, width, height, *_ = np.frombuffer(data, f"{order}i8", 8, 16)
    (code,) = np.frombuffer(data, f"{order}i2", 1, 12)
    (at,) = np.frombuffer(data, f"{order}i8", 1, 168)
    slope, intercept = np.frombuffer(data, f"{order}f8", 2, 176)
    plain = slope in (0, 1) or slope != slope
    if count != 2 or code != 512 or not plain or not (intercept == 0 or intercept != intercept):
        raise ValueError("of another kind")
    values = np.frombuffer(data, f"{order}u2", int(width * height), int(at))
    return values.reshape(int(height), int(width))


def _tiff_by_pillow(data: bytes) -> tuple[np.ndarray, float]:
    image = Image.open(io.BytesIO(data))
    if image.tag_v2.get(274, 1) != 1:
        raise ValueError("turned by Pillow")
    tags, mode = image.tag_v2, image.mode
    strips = -(-image.height // tags.get(278, image.height))
    known = tags.get(262) in (0, 1, 2, 3, 5, 6)
    sixteen_white = tags.get(262) == 0 and mode != "L"
    unformatted = mode in ("I", "F") and 339 not in tags
    if not known or sixteen_white or unformatted or 0 < len(tags.get(273, ())) < strips:
        raise ValueError("Pillow guesses")
    values = np.array(image.convert("RGB") if mode == "P" else image)
    near = 4.0 if tags.get(259) in (6, 7) else 0.01
    return _grey(values.astype(np.uint8) if mode == "1" else values), near


def _grey(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return values
    if values.shape[-1] < 3:
        return values[..., 0]
    return np.asarray(values[..., :3].astype(np.float32) @ LUMA.astype(np.float32))
