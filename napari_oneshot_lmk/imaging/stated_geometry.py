"""What an image file really says about where its pixels lie.

SimpleITK reports a spacing of 1.0 where a file has none. Here only what is
written in the file counts; anything else is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.length_units import mm_per_unit
from napari_oneshot_lmk.imaging.nifti_header import NiftiHeader
from napari_oneshot_lmk.imaging.tiff_page import TiffPage

if TYPE_CHECKING:
    import SimpleITK

Triple = tuple[float, float, float]

_X, _Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)

# PixelSpacing is calibrated to the patient; the other two lie in the plane of
# the detector or of the film, a few per cent larger than the patient.
_DICOM_SPACINGS = ("0028|0030", "0018|1164", "0018|2010")
_DICOM_ORIENTATION = "0020|0037"
_DICOM_POSITION = "0020|0032"


@dataclass(frozen=True)
class StatedGeometry:
    """Spacing and orientation of one plane, as a file states them.

    Parameters
    ----------
    spacing_mm_yx : tuple of float, optional
        As written, not checked; None where the file does not say.
    origin_lps_mm, row_axis_lps, column_axis_lps : tuple of float
        As in :class:`~napari_oneshot_lmk.geometry.Geometry`.
    """

    spacing_mm_yx: tuple[float, float] | None = None
    origin_lps_mm: Triple = (0.0, 0.0, 0.0)
    row_axis_lps: Triple = _Y
    column_axis_lps: Triple = _X


@dataclass(frozen=True)
class Plane:
    """Which plane of a file's grid is read.

    Parameters
    ----------
    column_axis, row_axis : int
        Axes of the file's grid, x first, along which columns and rows count.
    index : tuple of int
        Grid index of the plane's first pixel.
    """

    column_axis: int = 0
    row_axis: int = 1
    index: tuple[int, ...] = field(default=(0, 0))


def stated_geometry(
    path: Path, kind: FileKind, reader: SimpleITK.ImageFileReader, plane: Plane
) -> StatedGeometry:
    """Return what the file states about one of its planes.

    Parameters
    ----------
    path : Path
        The image file.
    kind : FileKind
        Its format.
    reader : SimpleITK.ImageFileReader
        Has read the image information already.
    plane : Plane
        The plane that is read.
    """
    if kind in (FileKind.PNG, FileKind.JPEG, FileKind.BMP):
        # Their dots per inch tell how large to print, not how large a patient is.
        return StatedGeometry()
    if kind is FileKind.TIFF:
        return StatedGeometry(TiffPage.read(path).spacing_mm_yx)
    if kind is FileKind.DICOM:
        stated = _dicom(reader)
    else:
        stated = _of_plane(*_affine_lps(path, kind, reader), plane)
    # One millimetre along the axes from the origin is what programs write that
    # know nothing of the spacing: a film turned into NIfTI or DICOM by a script.
    axes = np.abs([stated.column_axis_lps, stated.row_axis_lps])
    by_default = (
        stated.spacing_mm_yx == (1.0, 1.0)
        and not any(stated.origin_lps_mm)
        and np.array_equal(axes, np.eye(3)[:2])
    )
    return replace(stated, spacing_mm_yx=None) if by_default else stated


def _dicom(reader: SimpleITK.ImageFileReader) -> StatedGeometry:
    spacing = None
    for tag in _DICOM_SPACINGS:
        values = _numbers(reader, tag)
        if len(values) == 2:
            spacing = (values[0], values[1])
            break
    axes = np.array(_numbers(reader, _DICOM_ORIENTATION))
    # Anonymised files may hold zeros there, which say as much as nothing.
    if axes.size != 6 or np.linalg.norm(np.cross(axes[:3], axes[3:])) < 0.5:
        return StatedGeometry(spacing)
    position = _numbers(reader, _DICOM_POSITION)
    row_axis, column_axis = _orthonormal(axes[3:], axes[:3])
    origin = _triple(position) if len(position) == 3 else (0.0, 0.0, 0.0)
    return StatedGeometry(spacing, origin, row_axis, column_axis)


def _numbers(reader: SimpleITK.ImageFileReader, tag: str) -> list[float]:
    """Return the numbers of a DICOM tag; none where it is missing or no number."""
    if not reader.HasMetaDataKey(tag):
        return []
    try:
        return [float(part) for part in reader.GetMetaData(tag).split("\\")]
    except ValueError:
        return []


def _affine_lps(
    path: Path, kind: FileKind, reader: SimpleITK.ImageFileReader
) -> tuple[NDArray[np.float64], float | None]:
    """Return axes and origin, and the mm in their unit; None where none is meant.

    The matrix is (3, n + 1) for a file with n axes, the origin its last column.
    """
    count = reader.GetDimension()
    header = NiftiHeader.read(path) if kind is FileKind.NIFTI else None
    if header is not None:
        # ITK takes directions from one field and sizes from another, which need
        # not agree, and knows two dimensions of a flat image only.
        affine = np.zeros((3, count + 1))
        in_space = min(count, 3)
        affine[:, :in_space] = header.affine_lps()[:3, :in_space]
        affine[:, count] = header.affine_lps()[:3, 3]
        return affine, 1.0
    axes = np.zeros((max(count, 3), count + 1))
    axes[:count, :count] = np.reshape(reader.GetDirection(), (count, count))
    axes[:count, :count] *= np.array(reader.GetSpacing())
    axes[:count, count] = reader.GetOrigin()
    return axes[:3], _mm_in_header(path, kind)


def _mm_in_header(path: Path, kind: FileKind) -> float | None:
    """Return the mm in the unit of a spacing; None where there is no spacing."""
    if kind not in (FileKind.NRRD, FileKind.META):
        return 1.0
    with path.open("rb") as file:
        text = file.read(1 << 16).decode("latin-1").replace("\r", "")
    if kind is FileKind.META:
        return 1.0 if re.search(r"^ElementS(pacing|ize)\s*=", text, re.M) else None
    header = text.partition("\n\n")[0]
    if not re.search(r"^(spacings|space directions):", header, re.M):
        return None
    units = re.search(r'^(?:space )?units:\s*"([^"]*)"', header, re.M)
    return mm_per_unit(units[1]) if units and units[1] else 1.0


def _of_plane(
    affine: NDArray[np.float64], mm: float | None, plane: Plane
) -> StatedGeometry:
    columns = affine[:, plane.column_axis]
    rows = affine[:, plane.row_axis]
    if np.linalg.norm(np.cross(rows, columns)) == 0:
        return StatedGeometry()
    origin = affine[:, :-1] @ np.array(plane.index) + affine[:, -1]
    spacing = None
    if mm is not None:
        spacing = (
            _as_written(np.linalg.norm(rows) * mm),
            _as_written(np.linalg.norm(columns) * mm),
        )
    row_axis, column_axis = _orthonormal(rows, columns)
    return StatedGeometry(spacing, _triple(origin * (mm or 1.0)), row_axis, column_axis)


def _as_written(length: SupportsFloat) -> float:
    """Take rounding out: NIfTI's single precision makes 0.3 0.30000001192."""
    exact = float(length)
    short = float(f"{exact:.6g}")
    return short if abs(short - exact) <= 3e-7 * short else exact


def _triple(values: ArrayLike) -> Triple:
    # Adding zero turns -0.0 into 0.0.
    x, y, z = np.asarray(values, dtype=float) + 0.0
    return float(x), float(y), float(z)


def _orthonormal(
    rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[Triple, Triple]:
    """Return unit vectors, the columns' direction kept, rounding taken out."""
    column_axis = columns / np.linalg.norm(columns)
    across = rows / np.linalg.norm(rows)
    row_axis = across - column_axis * (across @ column_axis)
    return _triple(row_axis / np.linalg.norm(row_axis)), _triple(column_axis)
