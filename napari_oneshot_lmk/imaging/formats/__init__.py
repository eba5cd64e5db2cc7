"""Image formats: the registry, which format a file has, and one plane of it.

A format is a module of this folder with a function ``read`` and a line in `FORMATS`.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from napari_oneshot_lmk.errors import ImageError, OneshotError
from napari_oneshot_lmk.imaging.formats import base

HEAD_BYTES = 352
LOGGERS = ("pydicom", "tifffile", "nibabel.global", "PIL", "nrrd")

# Value representations of the first element in a DICOM file without its preamble.
_VALUE_REPRESENTATION = re.compile(rb"(UL|UI|OB|SH|CS|DA|TM|LO|US)")
_NIFTI_MAGIC = (b"n+1\x00", b"ni1\x00", b"n+2\x00", b"ni2\x00")
# Fields that a MetaImage header may begin with; their order is free.
_META_FIELD = re.compile(
    rb"\s*(Object(Sub)?Type|NDims|Name|ID|Comment|DimSize|TransformMatrix|Offset|Position|Origin"
    rb"|(Anatomical)?Orientation|(CenterOf)?Rotation|BinaryData(ByteOrderMSB)?|Modality|HeaderSize"
    rb"|CompressedData(Size)?|Element(ByteOrderMSB|Spacing|Size|Type|NumberOfChannels)"
    rb"|AcquisitionDate)[ \t]*="
)


def _is_dicom(head: bytes) -> bool:
    """Find the preamble's mark, or in old files an element at the very beginning."""
    if head[128:132] == b"DICM":
        return True
    little, big = head[:2] in (b"\x02\0", b"\x08\0"), head[:2] in (b"\0\x02", b"\0\x08")
    if not (little or big) or len(head) < 16:
        return False
    length = int.from_bytes(head[4:8], "little" if little else "big")
    is_named = _VALUE_REPRESENTATION.match(head[4:6]) is not None
    return is_named or (length % 2 == 0 and length <= 1024)


def _is_nifti(head: bytes) -> bool:
    """Find the magic of NIfTI, or the length and dimensions that Analyze 7.5 begins with."""
    if head[344:348] in _NIFTI_MAGIC or head[4:8] in _NIFTI_MAGIC:
        return True
    return len(head) >= 348 and any(
        int.from_bytes(head[:4], order) == 348 and 1 <= int.from_bytes(head[40:42], order) <= 7
        for order in ("little", "big")
    )


def _begins_with(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


@dataclass(frozen=True)
class ImageFormat:
    """A file format for images."""

    name: str
    module: str
    """The module of this folder whose function ``read`` reads one plane: the number is a slice
    or frame, from 0. It raises an ImageError, or of a damaged file whatever a library raises."""
    suffixes: tuple[str, ...]
    """Ends of file names that are looked for in folders, lower case."""
    recognise: Callable[[bytes], bool]
    """Whether a file that begins with these bytes has this format, whatever its name says."""

    def read(self, path: Path, slice_index: int | None) -> base.ImagePlane:
        """Read one plane; the module is imported on first use: PNG files need no ITK."""
        plane: base.ImagePlane = import_module(f"{__name__}.{self.module}").read(path, slice_index)
        return plane


_TIFF = _begins_with(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")

DICOM = ImageFormat("DICOM", "dicom", (".dcm", ".dicom", ".ima"), _is_dicom)
NIFTI = ImageFormat("NIfTI", "nifti", (".nii", ".nii.gz"), _is_nifti)
FORMATS = (
    DICOM,
    NIFTI,
    ImageFormat("PNG", "png", (".png",), _begins_with(b"\x89PNG\r\n\x1a\n")),
    ImageFormat("JPEG", "jpeg", _JPEG_SUFFIXES, _begins_with(b"\xff\xd8\xff")),
    ImageFormat("BMP", "bmp", (".bmp",), _begins_with(b"BM")),
    ImageFormat("TIFF", "tiff", (".tif", ".tiff"), _TIFF),
    ImageFormat("NRRD", "nrrd", (".nrrd", ".nhdr"), _begins_with(b"NRRD0")),
    ImageFormat("MetaImage", "meta_image", (".mha", ".mhd"), lambda h: bool(_META_FIELD.match(h))),
)
"""Formats that are told apart by their content."""
OTHER = ImageFormat("unknown", "itk", (), lambda head: True)
"""Whatever else ITK reads, by the end of the name; not looked for in folders."""

IMAGE_SUFFIXES = tuple(suffix for form in FORMATS for suffix in form.suffixes)
UNREAD_SUFFIXES = (
    *(".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd"),
    *(".czi", ".svs", ".ndpi"),
)
"""Of images that are not read: in a folder they are named, not passed over without a word."""


def is_image_name(path: Path) -> bool:
    """Say whether the name ends like that of an image."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def format_of(path: Path) -> ImageFormat:
    """Return the format that a file has by its first bytes, whatever its name says.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as file:
                head = file.read(HEAD_BYTES)
        except (OSError, EOFError, zlib.error):
            # Of the formats here only NIfTI is packed as a whole.
            return NIFTI
        return NIFTI if _is_nifti(head) else OTHER
    return next((form for form in FORMATS if form.recognise(head)), OTHER)


def read_plane(path: Path, slice_index: int | None = None) -> base.ImagePlane:
    """Read one plane of an image file with its geometry as stated, without torch.

    Parameters
    ----------
    path : Path
        The file, or the ``.img`` of a NIfTI or Analyze pair.
    slice_index : int, optional
        Slice or frame of a volume, from 0.

    Raises
    ------
    ImageError
        If the file is missing, empty, cut short, damaged, not an image, or a volume
        while no slice is chosen.
    """
    shown = os.fsencode(path).decode("utf-8", "replace")
    if shown != str(path):
        # No message, table or report could name it.
        raise ImageError(
            "the file name holds bytes that are no text", file=shown, remedy="rename the file"
        )
    form, file = _format_and_header(path)
    try:
        with silence_libraries:
            return form.read(file, slice_index)
    except base.NotAnImageError as error:
        raise _not_an_image(path) from error
    except OneshotError as error:
        raise error.about(path) from error
    except MemoryError as error:
        raise ImageError(
            "the image does not fit into memory", file=path, remedy="save it in a smaller size"
        ) from error
    except ImportError as error:
        raise ImageError(
            f"reading {form.name} files needs the package {error.name}",
            file=path,
            remedy=f"install {error.name}",
        ) from error
    except Exception as error:
        # Of a damaged file each library raises what happens to come first.
        raise _unreadable(path, form, error) from error


def _format_and_header(path: Path) -> tuple[ImageFormat, Path]:
    try:
        form = format_of(path)
        is_empty = path.stat().st_size == 0
    except IsADirectoryError as error:
        raise ImageError(
            "is a folder, not an image", file=path, remedy="name a file in it"
        ) from error
    except OSError as error:
        raise ImageError(
            f"cannot be opened ({error.strerror or error})",
            file=path,
            remedy="check the path and the permissions",
        ) from error
    if is_empty:
        raise ImageError("the file is empty", file=path, remedy=base.COPY_AGAIN)
    header = _header_beside(path) if form is OTHER else None
    return (form, path) if header is None else (NIFTI, header)


def _header_beside(path: Path) -> Path | None:
    """Return the NIfTI or Analyze header of an ``.img`` file; None for other files."""
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if unpacked.suffix.lower() == ".img":
        for suffix in (".hdr", ".hdr.gz", ".HDR"):
            header = unpacked.with_name(unpacked.stem + suffix)
            if header.is_file() and format_of(header) is NIFTI:
                return header
    return None


def _not_an_image(path: Path) -> ImageError:
    *names, last = (form.name for form in FORMATS)
    remedy = f"use {', '.join(names)} or {last}"
    return ImageError("is not an image that can be read", file=path, remedy=remedy)


def _unreadable(path: Path, form: ImageFormat, error: Exception) -> ImageError:
    if form is OTHER:
        return _not_an_image(path)
    if isinstance(error, NotImplementedError):
        reason = " ".join(str(error).split())
        return ImageError(
            f"{form.name} files of this kind cannot be read ({reason})",
            file=path,
            remedy="save it uncompressed, or as PNG",
        )
    return base.damaged(f"the {form.name} file is", path)


@contextmanager
def _without_warnings_and_logs() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


silence_libraries = base.SharedContext(_without_warnings_and_logs)
"""Keeps warnings and logs of the libraries off the terminal while any thread reads."""
