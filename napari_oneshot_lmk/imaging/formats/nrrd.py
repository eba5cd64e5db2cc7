"""NRRD, through pynrrd; where each slice is a file of its own, through SimpleITK.

ITK reads the numbers of this format as the process's locale has them: in a window of
Qt on a German computer 0.139 mm would become 0 mm. pynrrd reads them as they stand.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import base
from napari_oneshot_lmk.imaging.image import SpacingSource

_ON_THE_GRID = {"domain", "space", "time", "???", "none", ""}
# Signs that turn x, y, z of a patient's space into left, posterior, superior.
_SIGNS = {"left": 1, "right": -1, "posterior": 1, "anterior": -1, "superior": 1}
_SHORT = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior"}
_ENCODINGS = {"raw", "gzip", "gz", "bzip2", "bz2", "ascii", "text", "txt"}


def read(path: Path, slice_index: int | None) -> base.ImagePlane:
    """Read one plane of an NRRD file, or of a header with the pixels beside it."""
    with path.open("rb") as file:
        # pynrrd would drop what is not ASCII, such as the micro sign of a unit.
        header = nrrd.read_header(base.as_text(line) for line in file)
        if header.get("type") == "block":
            raise ImageError("the NRRD file holds blocks, not pixels", remedy="export it again")
        size = [int(n) for n in header["sizes"]]
        base.check_size(*size)
        channels = _channel_axis(header, size)
        grid = [n for axis, n in enumerate(size) if axis != channels]
        plane = base.choose_plane(grid, slice_index)
        values = _pixels(path, header, file)
    if channels is not None:
        values = np.moveaxis(values, values.ndim - 1 - channels, -1)
    components = 1 if channels is None else size[channels]
    if channels is not None and components == 1:
        values = values[..., 0]
    stated = _stated(header, [a for a in range(len(size)) if a != channels], plane)
    return base.ImagePlane(plane.cut_from(values, components), stated.without_default())


def _pixels(path: Path, header: Any, file: Any) -> NDArray[Any]:
    """Return all pixels, slowest axis first."""
    where = str(header.get("data file", header.get("datafile", "")))
    several = where.startswith("LIST") or "%" in where
    if where and not several and not path.parent.joinpath(where).is_file():
        raise base.pixels_missing(path.parent / where, "its header")
    encoding = str(header["encoding"]).lower()
    if encoding not in _ENCODINGS | {"hex"}:
        raise ImageError(
            f"NRRD files with the encoding {encoding[:20]!r} cannot be read",
            remedy="save it raw or as gzip",
        )
    if several:
        return _read_by_itk(path)
    if encoding == "hex":
        text = path.parent.joinpath(where).read_bytes() if where else file.read()
        # pynrrd reads it as what it would be if it were raw.
        raw = {key: value for key, value in header.items() if "file" not in key}
        data = io.BytesIO(bytes.fromhex(text.decode("ascii")))
        return np.asarray(nrrd.read_data(raw | {"encoding": "raw"}, data, None, index_order="C"))
    return np.asarray(nrrd.read_data(header, file, str(path), index_order="C"))


def _read_by_itk(path: Path) -> NDArray[Any]:
    """Read pixels that lie in a file for each slice."""
    import SimpleITK

    from napari_oneshot_lmk.imaging.formats.itk import silence_itk_warnings

    with silence_itk_warnings:
        image = SimpleITK.ReadImage(str(path), imageIO="NrrdImageIO")
    values: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    return values


def _channel_axis(header: Any, size: list[int]) -> int | None:
    """Return the axis of colours, None where there is none."""
    kinds = [str(kind).lower() for kind in header.get("kinds", [])][: len(size)]
    return next((axis for axis, kind in enumerate(kinds) if kind not in _ON_THE_GRID), None)


def _stated(header: Any, axes: list[int], plane: base.GridPlane) -> base.StatedGeometry:
    """Return the geometry of a plane of the given axes of the file."""
    affine = np.zeros((3, len(axes) + 1))
    directions, spacings = header.get("space directions"), header.get("spacings")
    mm = _mm(header, axes)
    source = None if spacings is None else SpacingSource.NRRD_SPACINGS
    if directions is not None:
        source = SpacingSource.NRRD_DIRECTIONS
        for column, axis in enumerate(axes):
            vector = np.nan_to_num(np.asarray(directions[axis], dtype=float))
            affine[: vector.size, column] = vector[:3]
        origin = header.get("space origin")
        if origin is not None:
            affine[: len(origin), -1] = origin
        affine *= np.array(_signs(str(header.get("space", ""))))[:, None]
    else:
        for column, axis in enumerate(axes[:3]):
            step = 1.0 if spacings is None else float(spacings[axis])
            affine[column, column] = step if math.isfinite(step) else 1.0
    return base.plane_geometry(affine * (mm or 1.0), plane, None if mm is None else source)


def _mm(header: Any, axes: list[int]) -> float | None:
    """Return the mm in the header's unit; None for one that is no length."""
    units = header.get("space units")
    if units is None and header.get("units") is not None:
        units = [header["units"][axis] for axis in axes]
    name = "" if units is None or not len(units) else str(units[0]).strip('"')
    return base.mm_per_unit(name) if name else 1.0


def _signs(space: str) -> tuple[int, int, int]:
    """Return the signs to LPS; a space that is not the patient's stays as it is."""
    words = [_SHORT.get(letter, "") for letter in space] if len(space) <= 4 else []
    words = words or space.lower().split("-")
    known = [_SIGNS[word] for word in words[:3] if word in _SIGNS]
    return (known[0], known[1], known[2]) if len(known) == 3 else (1, 1, 1)
