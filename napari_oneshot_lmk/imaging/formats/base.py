"""What the readers of several image formats share."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.image import SpacingSource

if TYPE_CHECKING:
    from PIL import Image

Triple = tuple[float, float, float]
Affine = NDArray[np.float64]

MOST_PIXELS = 2**30
"""A radiograph has 10 to 30 million; a header that says more than this is nonsense."""
COPY_AGAIN = "copy or export it again"


class NotAnImageError(ImageError):
    """A file that none of the formats knows; `read_plane` says which there are."""


@dataclass(frozen=True)
class StatedGeometry:
    """Spacing and orientation of one plane as the file states them.

    Not yet checked, which :class:`~napari_oneshot_lmk.geometry.Geometry` does: a user may give
    another spacing first.
    """

    spacing_mm_yx: tuple[float, float] | None = None
    origin_lps_mm: Triple = (0.0, 0.0, 0.0)
    row_axis_lps: Triple = (0.0, 1.0, 0.0)
    column_axis_lps: Triple = (1.0, 0.0, 0.0)
    spacing_source: SpacingSource | None = None

    def without_default(self) -> StatedGeometry:
        """Drop a spacing of 1 mm along the axes from the origin.

        Programs write it that do not know the spacing, such as a script that turns a PNG into
        NIfTI or DICOM.
        """
        axes = np.abs([self.column_axis_lps, self.row_axis_lps])
        is_default = (
            self.spacing_mm_yx == (1.0, 1.0)
            and not any(self.origin_lps_mm)
            and np.array_equal(axes, np.eye(3)[:2])
        )
        return replace(self, spacing_mm_yx=None, spacing_source=None) if is_default else self


@dataclass(frozen=True, eq=False)
class ImagePlane:
    """One plane of an image file as its format's module reads it."""

    values: NDArray[Any]
    """(H, W) or (H, W, C), larger is brighter. The first three of C channels are red, green
    and blue; of fewer than three the first is meant."""
    stated: StatedGeometry = StatedGeometry()
    notes: tuple[str, ...] = ()
    """Sentences that a user should read, without the file's name."""


@dataclass(frozen=True)
class GridPlane:
    """Which plane of a file's grid is read; axes are numbered x first."""

    column_axis: int
    row_axis: int
    index: tuple[int, ...]
    """Grid index of the plane's first pixel."""

    def cut_from(self, values: NDArray[Any], components: int = 1) -> NDArray[Any]:
        """Cut the plane out of (…, z, y, x) values, or (…, z, y, x, components)."""
        axes = reversed(range(values.ndim - (components > 1)))
        return values[tuple(self.along(axis) for axis in axes)]

    def along(self, axis: int) -> int | slice:
        """Return which part of an axis is read: all of it in the plane, else one index."""
        return slice(None) if axis in (self.column_axis, self.row_axis) else self.index[axis]


def choose_slice(count: int, slice_index: int | None) -> int:
    """Return which of ``count`` slices is meant; an ImageError asks for one, or another one."""
    held, remedy = "the file holds one slice", "leave out --slice"
    if count > 1:
        held = f"the file holds {count} slices or frames"
        remedy = f"choose one with --slice 0 to {count - 1}"
        if slice_index is None:
            raise ImageError(held, remedy=remedy)
    chosen = slice_index or 0
    if not 0 <= chosen < count:
        raise ImageError(f"there is no slice {chosen}, {held}", remedy=remedy)
    return chosen


def choose_plane(size_xyz: Sequence[int], slice_index: int | None) -> GridPlane:
    """Choose the plane of a grid with at most three axes longer than 1, as `choose_slice`."""
    long_axes = [axis for axis, length in enumerate(size_xyz) if length > 1]
    if len(long_axes) > 3:
        raise ImageError(
            f"the image has {len(long_axes)} dimensions ({_times(size_xyz)})",
            remedy="save one plane or one volume of it",
        )
    column_axis, row_axis = long_axes[:2] if len(long_axes) >= 2 else (0, 1)
    index = [0] * max(len(size_xyz), 2)
    is_volume = len(long_axes) == 3
    chosen = choose_slice(size_xyz[long_axes[2]] if is_volume else 1, slice_index)
    if is_volume:
        index[long_axes[2]] = chosen
    return GridPlane(column_axis, row_axis, tuple(index))


def check_size(*lengths: int) -> None:
    """Raise an ImageError for an image without pixels, or larger than `MOST_PIXELS`."""
    pixels = math.prod(int(length) for length in lengths)
    if pixels < 1 or min(lengths) < 1:
        raise damaged(f"the header states a size of {_times(lengths)}, the file is")
    if pixels > MOST_PIXELS:
        raise ImageError(
            f"{_times(lengths)} pixels are too many to read at once",
            remedy="save it in a smaller size",
        )


def _times(lengths: Sequence[int]) -> str:
    return " x ".join(str(length) for length in lengths)


def damaged(what_is: str, file: Path | None = None) -> ImageError:
    """Return the error for what is not whole, such as "the pixels are"."""
    return ImageError(f"{what_is} cut short or damaged", file=file, remedy=COPY_AGAIN)


def pixels_missing(file: Path, header: str) -> ImageError:
    """Return the error for a header whose file of pixels is not there."""
    return ImageError(
        "the file that holds the pixels is missing", file=file, remedy=f"keep it beside {header}"
    )


def unknown_colours(format_name: str, kind: object) -> ImageError:
    """Return the error for colours that are not read."""
    return ImageError(
        f"{format_name} files with colours of the kind {kind} cannot be read",
        remedy="save it as grey or RGB",
    )


def as_text(data: bytes) -> str:
    """Decode a line of a header: UTF-8, or Latin-1 as older programs write."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def affine_lps(directions: ArrayLike, spacing: ArrayLike, origin: ArrayLike) -> Affine:
    """Return the affine of a grid, (3, n + 1), as `plane_geometry` has it, of its parts.

    ``directions`` is (n, n): its columns are unit vectors along the axes.
    """
    count = np.size(spacing)
    affine = np.zeros((max(count, 3), count + 1))
    affine[:count, :count] = np.reshape(directions, (count, count)) * np.asarray(spacing)
    affine[:count, count] = origin
    return affine[:3]


def plane_geometry(
    affine: Affine, plane: GridPlane, source: SpacingSource | None
) -> StatedGeometry:
    """Return the geometry of one plane of a grid.

    The columns of ``affine``, (3, n + 1), are the step along each axis of the grid, x first,
    and the position of its first pixel; LPS mm. ``source`` is None for an unknown spacing.
    """
    columns, rows = affine[:, plane.column_axis], affine[:, plane.row_axis]
    if not np.isfinite(affine).all() or not np.cross(rows, columns).any():
        return StatedGeometry()
    index = np.array(plane.index[: affine.shape[1] - 1])
    origin = affine[:, : len(index)] @ index + affine[:, -1]
    spacing = None
    if source is not None:
        spacing = (_as_written(np.linalg.norm(rows)), _as_written(np.linalg.norm(columns)))
    row_axis, column_axis = orthonormal(rows, columns)
    return StatedGeometry(spacing, triple(origin), row_axis, column_axis, source)


def _as_written(length: SupportsFloat) -> float:
    """Take rounding out: NIfTI's single precision makes 0.3 0.30000001192."""
    exact = float(length)
    short = float(f"{exact:.6g}")
    return short if abs(short - exact) <= 3e-7 * short else exact


def triple(values: ArrayLike) -> Triple:
    """Return three floats; adding zero turns -0.0 into 0.0."""
    x, y, z = np.asarray(values, dtype=float) + 0.0
    return float(x), float(y), float(z)


def orthonormal(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> tuple[Triple, Triple]:
    """Return unit vectors along rows and columns; the columns' direction is kept."""
    column_axis = columns / np.linalg.norm(columns)
    across = rows / np.linalg.norm(rows)
    row_axis = across - column_axis * (across @ column_axis)
    return triple(row_axis / np.linalg.norm(row_axis)), triple(column_axis)


_MM_PER_UNIT = {
    **{"m": 1e3, "meter": 1e3, "cm": 10.0, "centimeter": 10.0, "mm": 1.0, "millimeter": 1.0},
    **dict.fromkeys(("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m"), 1e-3),
    # ImageJ escapes what is not ASCII.
    **dict.fromkeys(("\\u00b5m", "micron", "micrometer"), 1e-3),
    **{"nm": 1e-6, "nanometer": 1e-6, "inch": 25.4, "in": 25.4},
}


def mm_per_unit(name: str) -> float | None:
    """Return the millimetres in a unit of length; None for an unknown name."""
    name = name.strip().lower()
    return _MM_PER_UNIT.get(name, _MM_PER_UNIT.get(name.removesuffix("s")))


# Modes of Pillow whose arrays are grey, or red, green, blue and perhaps alpha.
_PLAIN_MODES = {"L", "LA", "I", "F", "RGB", "RGBA", "RGBX"}


def pillow_values(image: Image.Image) -> NDArray[Any]:
    """Return the pixels of an image opened by Pillow, (H, W) or (H, W, C)."""
    check_size(*image.size)
    mode = image.mode
    if mode == "1":
        return np.array(image.convert("L"))
    if mode in ("P", "PA", "CMYK", "YCbCr"):
        if mode.startswith("P"):
            # Transparent entries of a palette keep their colour.
            image.info.pop("transparency", None)
        return np.array(image.convert("RGB"))
    if mode not in _PLAIN_MODES and not mode.startswith("I;16"):
        raise unknown_colours(str(image.format), mode)
    return np.array(image)


_ORIENTATIONS = {
    **{2: "mirrored", 3: "turned by 180 degrees", 4: "mirrored, upside down"},
    **{5: "mirrored and turned by 90 degrees", 6: "turned by 90 degrees"},
    **{7: "mirrored and turned by 270 degrees", 8: "turned by 270 degrees"},
}


def orientation_notes(value: object) -> tuple[str, ...]:
    """Return a sentence where the tag *Orientation* (EXIF, TIFF) is not 1, upright.

    Pixels keep the order in which they are stored, as in napari: landmarks belong to that grid.
    """
    meaning = _ORIENTATIONS.get(value) if isinstance(value, int) else None
    if meaning is None:
        return ()
    return (
        f"the file asks viewers to show it {meaning} (orientation {value}), which is "
        "not applied: rows and columns are those that are stored, as in napari",
    )


class SharedContext:
    """A switch of the whole process that several threads hold at once.

    The first thread that enters turns it on, the last one that leaves turns it off.
    """

    def __init__(self, make_context: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make_context = make_context
        self._context: AbstractContextManager[Any] | None = None
        self._users = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._context = self._make_context()
                self._context.__enter__()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._context is not None:
                self._context.__exit__(None, None, None)
