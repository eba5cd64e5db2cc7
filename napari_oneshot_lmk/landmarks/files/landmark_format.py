"""What a landmark file format is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmarks


@dataclass(frozen=True)
class LandmarkFormat:
    """A file format for landmarks.

    Parameters
    ----------
    suffix : str
        End of the file name, lower case; it may hold several dots.
    title : str
        What file dialogues call it.
    read : callable
        ``read(path, geometry)`` -> tuple of Landmarks. ``geometry`` is that of
        the image where the caller knows it, for files that do not hold it.
    write : callable
        ``write(path, images)`` writes to a path that is free. The images may be
        gone through more than once.
    """

    suffix: str
    title: str
    read: Callable[[Path, Geometry | None], tuple[Landmarks, ...]]
    write: Callable[[Path, Collection[Landmarks]], None]
