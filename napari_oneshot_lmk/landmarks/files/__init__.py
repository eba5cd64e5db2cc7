"""Landmark files: one module a format, registered by one line below."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.csv_table import CSV_TABLE
from napari_oneshot_lmk.landmarks.files.landmark_format import LandmarkFormat
from napari_oneshot_lmk.landmarks.files.mrk_json import MRK_JSON
from napari_oneshot_lmk.landmarks.landmark import Landmarks
from napari_oneshot_lmk.output import written

FORMATS: tuple[LandmarkFormat, ...] = (
    CSV_TABLE,
    MRK_JSON,
)
"""Every format that landmarks are read from and written to."""


def is_landmark_file(path: str | Path) -> bool:
    """Say whether the name ends like that of a landmark file."""
    return any(str(path).lower().endswith(form.suffix) for form in FORMATS)


def read_landmarks(
    path: str | Path, *, geometry: Geometry | None = None
) -> tuple[Landmarks, ...]:
    """Read the landmarks of one or more images.

    Parameters
    ----------
    path : str or Path
        The format goes by the end of the name, see ``FORMATS``.
    geometry : Geometry, optional
        Geometry of the image, used where the file does not hold one. Files
        that hold millimetres only (Slicer's own) cannot be read without.

    Returns
    -------
    tuple of Landmarks
        One for each image, in the order of the file.

    Raises
    ------
    UsageError
        If no format has this name ending.
    LandmarkError
        If the file cannot be read, or what it says makes no sense.
    """
    path = Path(path)
    try:
        return format_of(path).read(path, geometry)
    except OneshotError as error:
        raise error.about(path) from error


def write_landmarks(
    path: str | Path, images: Collection[Landmarks], *, overwrite: bool = False
) -> None:
    """Write the landmarks of one or more images.

    Parameters
    ----------
    path : str or Path
        The format goes by the end of the name, see ``FORMATS``.
    images : collection of Landmarks
        One for each image, gone through more than once.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    UsageError
        If no format has this name ending.
    OutputError
        If the file cannot be written, or the format holds one image only.
    SpacingUnknownError
        If the format needs millimetres and the spacing is unknown.
    """
    path = Path(path)
    form = format_of(path)
    try:
        with written(path, overwrite=overwrite) as partial:
            form.write(partial, images)
    except OneshotError as error:
        raise error.about(path) from error


def format_of(path: Path) -> LandmarkFormat:
    """Return the format that a name ends like.

    Raises
    ------
    UsageError
        If there is none.
    """
    for form in FORMATS:
        if path.name.lower().endswith(form.suffix):
            return form
    known = " or ".join(form.suffix for form in FORMATS)
    raise UsageError(
        "is not the name of a landmark file", file=path, remedy=f"end it in {known}"
    )
