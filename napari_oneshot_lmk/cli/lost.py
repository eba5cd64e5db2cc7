"""Saying what a landmark file does not hold."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import warn

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


def warn_of_losses(path: Path, images: Collection[Landmarks]) -> tuple[str, ...]:
    """Tell in one sentence what of these landmarks the format of a file leaves out.

    Parameters
    ----------
    path : Path
        Named like the files that were written.
    images : collection of Landmarks
        What was written.

    Returns
    -------
    tuple of str
        What was left out; empty where nothing was.
    """
    from napari_oneshot_lmk.landmarks.files import format_to_write, unsupported_fields

    lost = unsupported_fields(path, images)
    if lost:
        warn(
            f"{format_to_write(path).title} files do not hold everything; left out: "
            f"{', '.join(lost)}."
        )
    return lost
