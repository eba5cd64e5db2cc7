"""TIFF and BigTIFF, through tifffile with imagecodecs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.formats.jpeg import check_jpeg
from napari_oneshot_lmk.imaging.image import SpacingSource

_JPEG = 7
# Bits of NewSubfileType: a smaller copy of another page, a mask for one.
_REDUCED, _MASK = 1, 4
# Values of PhotometricInterpretation, and of ExtraSamples.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_LINEAR_RAW = 34892
_UNSPECIFIED = 0


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one page of a TIFF file; pages that are thumbnails or masks do not count."""
    with tifffile.TiffFile(path) as file:
        pages = [page for page in _pages(file) if _is_full_image(page)]
        if not pages:
            raise ImageError("the TIFF file holds no image of full size", remedy="export it again")
        stack = _stack_behind_one_page(file, pages)
        index = base.choose_slice(stack or len(pages), slice_index)
        page = pages[0 if stack else index]
        _check_kind(page)
        if stack:
            values = _map_plane(file, index)
            axes = file.series[0].axes[-values.ndim :]
        else:
            values, axes = _decode(page), page.axes
        values, colour_notes = _gray_or_colours(_channels_last(values, axes), page)
        turned = base.orientation_notes(page.tags.valueof("Orientation"))
        notes = (*colour_notes, *turned, *_sizes(pages))
        return base.ImagePlane(values, _stated_spacing(file), notes)


def _pages(file: Any) -> Iterator[Any]:
    """Yield the pages; ValueError where there is none, or one follows on itself for ever."""
    seen: set[int] = set()
    for page in file.pages:
        if page.offset in seen:
            raise ValueError("a page follows on itself")
        seen.add(page.offset)
        yield page.aspage()
    if not seen:
        raise ValueError("not one page is there")


def _is_full_image(page: Any) -> bool:
    if page.imagewidth < 1 or page.imagelength < 1:
        return False
    is_thumbnail = page.tags.valueof("SubfileType") == 2
    return not (int(page.subfiletype) & (_REDUCED | _MASK) or is_thumbnail)


def _check_kind(page: Any) -> None:
    """Refuse what cannot be read, by its name, before anything is decoded."""
    base.check_size(page.imagewidth, page.imagelength, max(page.imagedepth, 1))
    if page.planarconfig not in (1, 2):
        raise ValueError("nothing says how the samples lie")
    if page.dtype is None:
        raise ImageError(
            f"TIFF files of {page.bitspersample} bits a pixel in the sample format "
            f"{getattr(page.sampleformat, 'name', page.sampleformat)} cannot be read",
            remedy="save it with 8 or 16 bits",
        )
    if page.dtype.kind == "c":
        raise ImageError("the image holds complex numbers", remedy="save its magnitude")
    try:
        if page.compression != 1:
            tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError as error:
        raise _no_decoder(page, error) from error
    _check_complete(page)
    if page.compression == _JPEG and page.bitspersample == 8:
        _check_jpegs(page)


def _check_jpegs(page: Any) -> None:
    """Check each strip or tile: what a JPEG lacks, libraries fill with grey."""
    tables = page.jpegtables or b""
    file = page.parent.filehandle
    for at, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(at)
        # Tables are a stream of their own; its end and the strip's start go.
        stream = file.read(count)
        check_jpeg(tables[:-2] + stream[2:] if tables else stream)


def _check_complete(page: Any) -> None:
    """Raise where a strip or tile is not in the file; libraries fill in black."""
    size = page.parent.filehandle.size
    if page.is_tiled and len(page.dataoffsets) != math.prod(page.chunked):
        raise ValueError("there are other tiles than the size asks for")
    # ValueError where some have no place or no length.
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    missing = sum(at == 0 or n == 0 or at + n > size for at, n in segments)
    if missing or not segments:
        raise ImageError(
            f"{missing} of {len(segments)} parts of the image are not in the file, it is cut short",
            remedy=base.COPY_AGAIN,
        )


def _no_decoder(page: Any, error: Exception) -> ImageError:
    compression = getattr(page.compression, "name", page.compression)
    needed = ", which needs the package imagecodecs" if "imagecodecs" in str(error) else ""
    return ImageError(
        f"TIFF files with the compression {compression} cannot be read{needed}",
        remedy="install imagecodecs" if needed else "save it uncompressed, or as PNG",
    )


def _decode(page: Any) -> NDArray[Any]:
    try:
        return np.asarray(page.asarray(maxworkers=1))
    except (NotImplementedError, ValueError) as error:
        message = str(error)
        if "requires the 'imagecodecs'" in message or "not supported" in message:
            raise _no_decoder(page, error) from error
        if isinstance(error, NotImplementedError) or "chroma subsampling" in message:
            raise ImageError(
                f"TIFF files of this kind cannot be read ({message.splitlines()[0]})",
                remedy="save it uncompressed, or as PNG",
            ) from error
        raise


def _stack_behind_one_page(file: Any, pages: list[Any]) -> int:
    """Return how many planes follow a single page, as in ImageJ's large stacks; 0 for others."""
    if len(pages) > 1 or not (file.is_imagej or file.is_shaped):
        return 0
    series = file.series[0]
    planes = math.prod(series.shape) // (math.prod(pages[0].shape) or 1)
    return planes if planes > 1 and series.dataoffset is not None else 0


def _map_plane(file: Any, index: int) -> NDArray[Any]:
    """Map one plane of a stack that lies behind a single page."""
    series, shape = file.series[0], file.pages[0].shape
    at = series.dataoffset + index * math.prod(shape) * series.dtype.itemsize
    dtype = series.dtype.newbyteorder(file.byteorder)
    return np.array(np.memmap(file.filehandle.path, dtype, "r", at, shape))


def _channels_last(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return (H, W) or (H, W, channels) of a page in any order of its axes."""
    depth = axes.find("Z" if "Z" in axes else "D")
    if depth >= 0:
        if values.shape[depth] > 1:
            raise ImageError(
                f"a page of the TIFF file is a volume of {values.shape[depth]} slices",
                remedy="save each slice as a page of its own",
            )
        values = np.take(values, 0, depth)
        axes = axes[:depth] + axes[depth + 1 :]
    if axes.startswith("S"):
        values = np.moveaxis(values, 0, -1)
    if values.ndim not in (2, 3):
        raise ImageError(
            f"a page of the TIFF file has the axes {axes}, which cannot be read",
            remedy="save one plane of it",
        )
    return values


def _sizes(pages: list[Any]) -> tuple[str, ...]:
    sizes = {(page.imagelength, page.imagewidth) for page in pages}
    if len(sizes) < 2:
        return ()
    shown = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
    return (f"the pages of the file have different sizes ({shown})",)


def _stated_spacing(file: Any) -> base.StatedGeometry:
    """Return the spacing that ImageJ or OME wrote, with a unit of length.

    Others write the resolution for printing there: 72, 96 or 300 dots per inch, whatever was
    scanned.
    """
    if file.is_ome:
        return _ome_spacing(file.ome_metadata)
    return _imagej_spacing(file) if file.is_imagej else base.StatedGeometry()


def _imagej_spacing(file: Any) -> base.StatedGeometry:
    mm = base.mm_per_unit(str((file.imagej_metadata or {}).get("unit", "")))
    steps = []
    for name in ("YResolution", "XResolution"):
        try:
            count, length = file.pages[0].tags.valueof(name)
        except (TypeError, ValueError):
            return base.StatedGeometry()
        if mm is None or not count or not length:
            return base.StatedGeometry()
        steps.append(mm * length / count)
    return base.StatedGeometry((steps[0], steps[1]), spacing_source=SpacingSource.IMAGEJ)


def _ome_spacing(metadata: str | None) -> base.StatedGeometry:
    try:
        images = tifffile.xml2dict(metadata or "")["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        steps = []
        for axis in "YX":
            # OME's default unit is the micrometre.
            mm = base.mm_per_unit(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
            steps.append(float(pixels[f"PhysicalSize{axis}"]) * (mm or float("nan")))
    except Exception:
        # Text of any shape: without these fields it states no spacing.
        return base.StatedGeometry()
    if not all(step == step for step in steps):
        return base.StatedGeometry()
    return base.StatedGeometry((steps[0], steps[1]), spacing_source=SpacingSource.OME)


def _gray_or_colours(samples: NDArray[Any], page: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return what is grey or colour of a page's samples, larger is brighter, and notes."""
    photometric = _photometric(samples, page)
    first = samples if samples.ndim == 2 else samples[..., 0]
    if photometric == _RGB or (photometric == _LINEAR_RAW and samples.ndim == 3):
        return samples, ()
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _LINEAR_RAW):
        if photometric == _WHITE_IS_ZERO:
            first = _invert(first, int(page.bitspersample))
        return first, _left_out(samples, page)
    if photometric == _PALETTE:
        return _look_up_colours(first, page), ()
    if photometric == _CMYK and samples.ndim == 3 and samples.shape[-1] >= 4:
        return _mix_inks(samples), ()
    if photometric == _YCBCR:
        # JPEG is decoded to red, green and blue. Of others Y is the weighting that turns colour
        # to grey.
        return samples if int(page.compression) in (6, 7) else first, ()
    raise base.unknown_colours("TIFF", getattr(page.photometric, "name", page.photometric))


def _photometric(samples: NDArray[Any], page: Any) -> int:
    """Return what the samples are; a file that does not say means the usual."""
    if "PhotometricInterpretation" in page.tags:
        return int(page.photometric)
    colours = samples.ndim == 3 and samples.shape[-1] > 2
    return _RGB if colours else _BLACK_IS_ZERO


def _invert(grey: NDArray[Any], bits: int) -> NDArray[Any]:
    """Turn dark and bright round over the range of the stored bits."""
    if grey.dtype.kind == "f":
        return -grey
    if grey.dtype.kind == "i":
        return -1 - grey.astype(np.int64)
    if grey.dtype.kind == "b":
        return ~grey
    return np.asarray(np.array((1 << bits) - 1, grey.dtype) - grey)


def _look_up_colours(index: NDArray[Any], page: Any) -> NDArray[Any]:
    if page.colormap is None:
        raise ImageError("the TIFF file lacks its palette", remedy="export it again")
    table = np.asarray(page.colormap)
    if table.max() > 255:
        # 16 bits, of which programs write the same byte twice.
        table = table >> 8
    return np.moveaxis(table[:, index], 0, -1).astype(np.uint8)


def _mix_inks(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype.kind != "u":
        raise ImageError(
            "TIFF files of inks that are no whole numbers cannot be read",
            remedy="save it as grey or RGB",
        )
    largest = float(np.iinfo(samples.dtype).max)
    paper = (largest - samples[..., :4].astype(np.float32)) / largest
    return np.asarray(largest * paper[..., :3] * paper[..., 3:])


def _left_out(samples: NDArray[Any], page: Any) -> tuple[str, ...]:
    channels = 1 if samples.ndim == 2 else samples.shape[-1]
    named = sum(int(kind) != _UNSPECIFIED for kind in page.extrasamples)
    note = f"the image has {channels} channels of grey, of which the first is read"
    return (note,) if channels > 1 + named else ()
