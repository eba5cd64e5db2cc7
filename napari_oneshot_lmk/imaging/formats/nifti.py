"""NIfTI-1, NIfTI-2 and Analyze 7.5, through nibabel."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel.fileholders import FileHolder
from numpy.typing import NDArray

from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.image import SpacingSource

_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_HEADER_BYTES = 352
_KINDS = {
    **{b"n+2": nibabel.Nifti2Image, b"ni2": nibabel.Nifti2Pair},
    **{b"n+1": nibabel.Nifti1Image, b"ni1": nibabel.Nifti1Pair},
}
_CHUNK = 1 << 20


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one plane of a NIfTI file, or of a pair of header and pixels."""
    with ExitStack() as opened:
        header_file = opened.enter_context(_opened(path))
        kind = _kind(header_file.read(_HEADER_BYTES))
        header_file.seek(0)
        files = {"image": FileHolder(fileobj=header_file)}
        if kind not in (nibabel.Nifti1Image, nibabel.Nifti2Image):
            pixels = opened.enter_context(_opened(_partner(path)))
            files = {"header": FileHolder(fileobj=header_file), "image": FileHolder(fileobj=pixels)}
        image = kind.from_file_map(files, mmap=False)
        plane = _plane(image, slice_index)
        for holder in files.values():
            # gzip compares its checksum when it reaches the end of the file.
            while isinstance(holder.fileobj, gzip.GzipFile) and holder.fileobj.read(_CHUNK):
                pass
        return plane


def _plane(image: Any, slice_index: int | None) -> base.ImagePlane:
    size = [int(n) for n in image.shape]
    # NIfTI keeps the components of a vector along the fifth axis.
    components = size[4] if len(size) == 5 and size[3] == 1 else 1
    grid = size[:3] if components > 1 else size
    plane = base.choose_plane(grid, slice_index)
    base.check_size(size[plane.column_axis], size[plane.row_axis])
    at = [plane.along(axis) for axis in range(len(grid))]
    # nibabel reads this slice only; of a compressed file it has to decompress all before it.
    values = np.asarray(image.dataobj[(*at, 0, slice(None)) if components > 1 else tuple(at)])
    if values.dtype.names is not None:
        values = np.stack([values[name] for name in values.dtype.names], axis=-1)
    source, affine = _affine_lps(image, len(grid))
    stated = base.plane_geometry(affine, plane, source).without_default()
    return base.ImagePlane(values.swapaxes(0, 1), stated)


def _affine_lps(image: Any, grid: int) -> tuple[SpacingSource, NDArray[np.float64]]:
    """Return which field states the axes, and the axes with the origin, (3, grid + 1), LPS mm.

    As the standard says: the sform if its code is set, else the qform if its code is set, else
    the voxel sizes alone.
    """
    header = image.header
    is_nifti = hasattr(header, "get_xyzt_units")
    mm = _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0) if is_nifti else 1.0
    ras_to_lps = np.diag([-1.0, -1.0, 1.0])
    if is_nifti and int(header["sform_code"]) > 0:
        source, whole = SpacingSource.NIFTI_SFORM, header.get_sform()
    elif is_nifti and int(header["qform_code"]) > 0:
        source, whole = SpacingSource.NIFTI_QFORM, header.get_qform()
    else:
        # The file does not say how the image is oriented: keep its axes as they are.
        source, whole, ras_to_lps = SpacingSource.NIFTI_PIXDIM, np.eye(4), np.eye(3)
        zooms = header.get_zooms()[:3]
        np.fill_diagonal(whole, [*zooms, *[1.0] * (4 - len(zooms))])
    affine = np.zeros((3, grid + 1))
    in_space = min(grid, 3)
    affine[:, :in_space] = (ras_to_lps @ whole[:3, :in_space]) * mm
    affine[:, -1] = (ras_to_lps @ whole[:3, 3]) * mm
    return source, affine


def _kind(head: bytes) -> Any:
    """Return nibabel's class for a header; nibabel itself would choose by the file name."""
    magic = {head[344:348].rstrip(b"\0"), head[4:8].rstrip(b"\0")}
    return next((kind for word, kind in _KINDS.items() if word in magic), nibabel.AnalyzeImage)


def _partner(path: Path) -> Path:
    """Return the file with the pixels that belongs to a header."""
    stem = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).stem
    for partner in (".img", ".img.gz", ".IMG"):
        file = path.with_name(stem + partner)
        if file.is_file() and not file.samefile(path):
            return file
    raise base.pixels_missing(path.with_name(f"{stem}.img"), "its .hdr file")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacking it where it is packed."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast(BinaryIO, unpacked)
