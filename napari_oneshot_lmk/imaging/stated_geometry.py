"""What an image file really says about where its pixels lie.

SimpleITK reports a spacing of 1.0 where a file has none. Here only what is
written in the file counts; anything else is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.nifti_header import NiftiHeader
from napari_oneshot_lmk.imaging.tiff_tags import tiff_spacing_mm_yx

if TYPE_CHECKING:
    import SimpleITK

_X, _Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)

# PixelSpacing is calibrated to the patient; the other two lie in the plane of
# the detector or of the film, a few per cent larger than the patient.
_DICOM_SPACINGS = ("0028|0030", "0018|1164", "0018|2010")
_DICOM_ORIENTATION = "0020|0037"
_DICOM_POSITION = "0020|0032"

_MM_PER_UNIT = {
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "micrometer": 1e-3,
    "micron": 1e-3,
    "nm": 1e-6,
}


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
    origin_lps_mm: tuple[float, ...] = (0.0, 0.0, 0.0)
    row_axis_lps: tuple[float, ...] = _Y
    column_axis_lps: tuple[float, ...] = _X


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
    if kind is FileKind.DICOM:
        return _dicom(reader)
    if kind is FileKind.TIFF:
        return StatedGeometry(tiff_spacing_mm_yx(path))
    if kind in (FileKind.PNG, FileKind.JPEG, FileKind.BMP):
        # Their dots per inch tell how large to print, not how large a patient is.
        return StatedGeometry()
    affine, unit_mm = _affine_lps(path, kind, reader)
    return _of_plane(affine, unit_mm, plane)


def _dicom(reader: SimpleITK.ImageFileReader) -> StatedGeometry:
    spacing = None
    for tag in _DICOM_SPACINGS:
        values = _numbers(reader, tag)
        if len(values) == 2:
            spacing = (values[0], values[1])
            break
    axes = np.array(_numbers(reader, _DICOM_ORIENTATION))
    # Anonymised files may hold zeros there, which say as much as nothing.
    if axes.size != 6 or np.linalg.norm(axes[:3]) * np.linalg.norm(axes[3:]) < 0.5:
        return StatedGeometry(spacing)
    position = _numbers(reader, _DICOM_POSITION)
    row_axis, column_axis = _orthonormal(axes[3:], axes[:3])
    origin = tuple(position) if len(position) == 3 else (0.0, 0.0, 0.0)
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
    """Return (axis scaling and direction | origin) and mm per unit, None unknown.

    The matrix is (3, n + 1) for a file with n axes.
    """
    header = NiftiHeader.read(path) if kind is FileKind.NIFTI else None
    if header is not None and reader.GetDimension() == 2:
        affine = header.affine_lps()[:3, [0, 1, 3]]
    else:
        count = reader.GetDimension()
        size = max(count, 3)
        axes = np.zeros((size, count + 1))
        axes[:count, :count] = np.reshape(reader.GetDirection(), (count, count))
        axes[:count, :count] *= np.array(reader.GetSpacing())
        axes[:count, count] = reader.GetOrigin()
        affine = axes[:3]
    if kind is FileKind.NIFTI and header is not None and header.states_unit:
        unit_mm: float | None = 1.0
    else:
        unit_mm = _unit_mm(path, kind)
    # Exactly this is what programs write who know nothing of the spacing.
    default = np.eye(3, affine.shape[1])
    default[:, -1] = 0
    if np.array_equal(np.abs(affine), default):
        unit_mm = None
    return affine, unit_mm


def _unit_mm(path: Path, kind: FileKind) -> float | None:
    """Return the mm in one unit of the file's spacing; None where it has none."""
    if kind not in (FileKind.NRRD, FileKind.META):
        return 1.0
    with path.open("rb") as file:
        text = file.read(1 << 16).decode("latin-1")
    if kind is FileKind.META:
        return 1.0 if re.search(r"^ElementS(pacing|ize)\s*=", text, re.M) else None
    header = text.partition("\n\n")[0].replace("\r", "")
    if not re.search(r"^(spacings|space directions):", header, re.M):
        return None
    units = re.search(r'^space units:\s*"([^"]*)"', header, re.M)
    return _MM_PER_UNIT.get(units[1].lower()) if units and units[1] else 1.0


def _of_plane(
    affine: NDArray[np.float64], unit_mm: float | None, plane: Plane
) -> StatedGeometry:
    columns = affine[:, plane.column_axis]
    rows = affine[:, plane.row_axis]
    origin = affine[:, :-1] @ np.array(plane.index) + affine[:, -1]
    spacing = np.linalg.norm(rows), np.linalg.norm(columns)
    if min(spacing) <= 0:
        return StatedGeometry()
    row_axis, column_axis = _orthonormal(rows, columns)
    origin_mm = origin * (1.0 if unit_mm is None else unit_mm)
    return StatedGeometry(
        None if unit_mm is None else (spacing[0] * unit_mm, spacing[1] * unit_mm),
        tuple(float(v) for v in origin_mm),
        row_axis,
        column_axis,
    )


def _orthonormal(
    rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return unit vectors, the columns' direction kept, rounding taken out."""
    column_axis = columns / np.linalg.norm(columns)
    across = rows / np.linalg.norm(rows)
    row_axis = across - column_axis * (across @ column_axis)
    row_axis /= np.linalg.norm(row_axis)
    return tuple(map(float, row_axis)), tuple(map(float, column_axis))
