"""Autosave: every edit goes at once to a small file beside the image.

The file is an ordinary landmark table, so nothing special is needed to get the
work back. A file that this session did not write is never overwritten: it is
moved aside first.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError, OutputError
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.widgets import words

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.widgets.layers import ImageTarget

SUFFIX = ".landmarks.csv"
PREVIOUS = ".previous.csv"
LONGEST_NAME = 255
"""Bytes that file systems allow a name to have."""


class Sidecar:
    """The autosave file of one picture.

    Parameters
    ----------
    path : Path
        Where it is, or would be.
    image : str
        Name of the image that it is about; "" where any will do.
    earlier : Path, optional
        Where versions before 0.2 wrote it: two images whose names differ in a blank
        only shared that place.
    """

    def __init__(self, path: Path, image: str = "", earlier: Path | None = None) -> None:
        self.path = path
        self._image = image
        self._earlier = earlier
        self._ours = False

    @classmethod
    def of(cls, target: ImageTarget, beside_image: bool, fallback: Path) -> Sidecar:
        """Find the place for a picture's sidecar.

        Parameters
        ----------
        target : ImageTarget
            The picture.
        beside_image : bool
            Put it beside the image file where that folder can be written.
        fallback : Path
            Folder for pictures without a file, or in a read-only folder.
        """
        name = target.image_name
        stem = re.sub(r"[^\w.\-]+", "_", name).strip("_") or "image"
        path = target.path
        if len(f"{stem}{SUFFIX}".encode()) > LONGEST_NAME:
            stem = stem[:40]
            path = None
        if path is None or not beside_image or not os.access(path.parent, os.W_OK):
            # Two patients' "img.png" must not share a file: the picture tells.
            stem = f"{stem}-{_fingerprint(target)}"
            return cls(fallback / f"{stem}{SUFFIX}")
        beside = path.parent / f"{name}{SUFFIX}"
        earlier = path.parent / f"{stem}{SUFFIX}"
        return cls(beside, name, None if earlier == beside else earlier)

    def offer(self) -> Landmarks | None:
        """Read what an earlier session left here; None if there is nothing.

        Raises
        ------
        OneshotError
            If the file is there but cannot be read.
        """
        path = self._found()
        if self._ours or path is None:
            return None
        images = read_landmarks(path)
        if len(images) != 1 or all(p.state is State.SKIPPED for p in images[0]):
            return None
        of_another = self._image and images[0].image not in (self._image, "")
        return None if of_another else images[0]

    def _found(self) -> Path | None:
        """Return the file that is there."""
        for path in (self.path, self._earlier):
            if path is not None and path.is_file():
                return path
        return None

    def accept(self) -> None:
        """Go on with what is here: from now on it may be overwritten."""
        self._ours = True

    def save(self, landmarks: Landmarks) -> datetime:
        """Write the landmarks; returns when.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        try:
            if not self._ours and self.path.exists():
                self.path.replace(self._free_previous())
            write_landmarks(self.path, [landmarks], overwrite=True)
        except OneshotError:
            raise
        except OSError as error:
            raise OutputError(
                words.NOT_SAVED.format(reason=error.strerror or error), file=self.path
            ) from error
        self._ours = True
        return datetime.now().astimezone()

    @property
    def saved_at(self) -> datetime:
        """When the file was last written."""
        path = self._found() or self.path
        return datetime.fromtimestamp(path.stat().st_mtime).astimezone()

    def _free_previous(self) -> Path:
        stem = self.path.name.removesuffix(SUFFIX)
        path = self.path.with_name(f"{stem}{PREVIOUS}")
        number = 2
        while path.exists():
            path = self.path.with_name(f"{stem}.previous-{number}.csv")
            number += 1
        return path


def _fingerprint(target: ImageTarget) -> str:
    import numpy as np

    pixels = np.ascontiguousarray(target.picture(None).pixels)
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:10]
