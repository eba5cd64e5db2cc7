"""One plane of an image file: stored values, and what the file states about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.file_kind import FileKind
from napari_oneshot_lmk.imaging.image import SpacingSource

Triple = tuple[float, float, float]

_X, _Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
MOST_PIXELS = 2**30
"""A film has 10 to 30 million; a header that says more than this is nonsense."""


@dataclass(frozen=True)
class StatedGeometry:
    """Spacing and orientation of one plane, as a file states them.

    Parameters
    ----------
    spacing_mm_yx : tuple of float, optional
        As written, not checked; None where the file does not say.
    origin_lps_mm, row_axis_lps, column_axis_lps : tuple of float
        As in :class:`~napari_oneshot_lmk.geometry.Geometry`.
    spacing_source : SpacingSource, optional
        What states the spacing.
    """

    spacing_mm_yx: tuple[float, float] | None = None
    origin_lps_mm: Triple = (0.0, 0.0, 0.0)
    row_axis_lps: Triple = _Y
    column_axis_lps: Triple = _X
    spacing_source: SpacingSource | None = None

    def without_default(self) -> StatedGeometry:
        """Forget a spacing of 1 mm along the axes from the origin.

        That is what programs write that know nothing of the spacing: a film turned
        into NIfTI or DICOM by a script.
        """
        axes = np.abs([self.column_axis_lps, self.row_axis_lps])
        by_default = (
            self.spacing_mm_yx == (1.0, 1.0)
            and not any(self.origin_lps_mm)
            and np.array_equal(axes, np.eye(3)[:2])
        )
        if not by_default:
            return self
        return replace(self, spacing_mm_yx=None, spacing_source=None)


@dataclass(frozen=True)
class GridPlane:
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

    def of_zyx(self, values: NDArray[Any], components: int = 1) -> NDArray[Any]:
        """Cut the plane out of an array in (…, z, y, x) order.

        Parameters
        ----------
        values : ndarray
            With a last axis of components where there are several.
        components : int
            1 means that there is no such axis.

        Returns
        -------
        ndarray, (H, W) or (H, W, components)
        """
        grid = values.ndim - (components > 1)
        at: list[int | slice] = []
        for axis in range(grid - 1, -1, -1):
            in_plane = axis in (self.column_axis, self.row_axis)
            at.append(slice(None) if in_plane else self.index[axis])
        return values[tuple(at)]


@dataclass(frozen=True, eq=False)
class StoredPlane:
    """One plane as a format's module reads it.

    Parameters
    ----------
    values : ndarray, (H, W) or (H, W, C)
        Larger is brighter; of C channels the first, or the first three as red,
        green and blue, are meant.
    stated : StatedGeometry
        What the file says about where they lie.
    kind : FileKind
        The format.
    notes : tuple of str
        Sentences that a user should read, without the file's name.
    """

    values: NDArray[Any]
    stated: StatedGeometry
    kind: FileKind
    notes: tuple[str, ...] = ()


def choose_slice(count: int, slice_index: int | None) -> int:
    """Return which of so many slices or frames is meant.

    Raises
    ------
    ImageError
        If there are several and none is chosen, or the chosen one is not there.
    """
    if count > 1 and slice_index is None:
        raise ImageError(
            f"the file holds {count} slices or frames",
            remedy=f"choose one with --slice 0 to {count - 1}",
        )
    chosen = slice_index or 0
    if 0 <= chosen < count:
        return chosen
    held = "one slice" if count == 1 else f"{count} slices or frames"
    raise ImageError(
        f"there is no slice {chosen}, the file holds {held}",
        remedy="leave out --slice" if count == 1 else f"choose one with --slice 0 to {count - 1}",
    )


def choose_plane(size_xyz: Sequence[int], slice_index: int | None) -> GridPlane:
    """Choose the plane of a grid whose sizes are given x first.

    Raises
    ------
    ImageError
        If the grid has more than three long axes, or as `choose_slice`.
    """
    long = [axis for axis, length in enumerate(size_xyz) if length > 1]
    if len(long) > 3:
        shape = " x ".join(str(length) for length in size_xyz)
        raise ImageError(
            f"the image has {len(long)} dimensions ({shape})",
            remedy="save one plane or one volume of it",
        )
    column_axis, row_axis = (long[0], long[1]) if len(long) >= 2 else (0, 1)
    index = [0] * max(len(size_xyz), 2)
    count = size_xyz[long[2]] if len(long) == 3 else 1
    chosen = choose_slice(count, slice_index)
    if len(long) == 3:
        index[long[2]] = chosen
    return GridPlane(column_axis, row_axis, tuple(index))


def check_size(*lengths: int) -> None:
    """Refuse a picture that no computer could hold.

    Raises
    ------
    ImageError
        If it has no pixels, or more than `MOST_PIXELS`.
    """
    pixels = 1
    for length in lengths:
        pixels *= int(length)
    if pixels < 1 or min(lengths) < 1:
        raise ImageError(
            f"the header states a size of {' x '.join(map(str, lengths))}, the file is "
            "cut short or damaged",
            remedy="copy or export it again",
        )
    if pixels > MOST_PIXELS:
        raise ImageError(
            f"{' x '.join(map(str, lengths))} pixels are too many to read at once",
            remedy="save it in a smaller size",
        )


def geometry_of_plane(
    affine_lps: NDArray[np.float64], plane: GridPlane, source: SpacingSource | None
) -> StatedGeometry:
    """Return the geometry of one plane of a grid.

    Parameters
    ----------
    affine_lps : ndarray, (3, n + 1)
        Columns: the step along each axis of the grid, x first, and the place of its
        first pixel; LPS mm.
    plane : GridPlane
        Which plane.
    source : SpacingSource, optional
        What states the spacing; None means that nothing does.
    """
    columns = affine_lps[:, plane.column_axis]
    rows = affine_lps[:, plane.row_axis]
    if not np.isfinite(affine_lps).all() or not np.cross(rows, columns).any():
        return StatedGeometry()
    index = np.array(plane.index[: affine_lps.shape[1] - 1])
    origin = affine_lps[:, : len(index)] @ index + affine_lps[:, -1]
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
    """Return unit vectors, the columns' direction kept, rounding taken out."""
    column_axis = columns / np.linalg.norm(columns)
    across = rows / np.linalg.norm(rows)
    row_axis = across - column_axis * (across @ column_axis)
    return triple(row_axis / np.linalg.norm(row_axis)), triple(column_axis)


_MM_PER_UNIT = {
    "m": 1e3,
    "meter": 1e3,
    "cm": 10.0,
    "centimeter": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "um": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    # ImageJ escapes what is not ASCII.
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "inch": 25.4,
    "in": 25.4,
}


def mm_per_unit(name: str) -> float | None:
    """Return the millimetres in a unit of length; None for an unknown name."""
    name = name.strip().lower()
    return _MM_PER_UNIT.get(name, _MM_PER_UNIT.get(name.removesuffix("s")))


# Modes whose arrays are grey, or red, green, blue and perhaps alpha, as they are.
_AS_THEY_ARE = {"L", "LA", "I", "F", "RGB", "RGBA", "RGBX"}


def values_of(picture: Image.Image) -> NDArray[Any]:
    """Return the pixels of an open picture: (H, W), or (H, W, C) with colours first.

    Raises
    ------
    ImageError
        If it has a kind of colour that nothing here uses.
    OSError
        If the file ends before the picture does.
    """
    check_size(*picture.size)
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.array(picture)
    if mode == "1":
        return np.array(picture.convert("L"))
    if mode in ("P", "PA"):
        # Transparent entries of a palette keep their colour.
        picture.info.pop("transparency", None)
        return np.array(picture.convert("RGB"))
    if mode in ("CMYK", "YCbCr"):
        return np.array(picture.convert("RGB"))
    if mode not in _AS_THEY_ARE:
        raise ImageError(
            f"the picture has colours of the kind {mode}, which cannot be read",
            remedy="save it as grey or RGB",
        )
    return np.array(picture)


_MEANING = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored, upside down",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 270 degrees",
    8: "turned by 270 degrees",
}


def orientation_notes(value: object) -> tuple[str, ...]:
    """Return a sentence where a file wants to be shown turned.

    Pixels stay in the order in which they are stored, which is how napari shows
    them too: landmarks belong to that grid.

    Parameters
    ----------
    value : object
        Of the tag *Orientation*: 1 is upright, 2 to 8 are not, all else is nothing.
    """
    meaning = _MEANING.get(value) if isinstance(value, int) else None
    if meaning is None:
        return ()
    return (
        f"the file asks viewers to show it {meaning} (orientation {value}), which is "
        "not applied: rows and columns are those that are stored, as in napari",
    )
