"""Open images that share a file name, told apart as the command line does it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.imaging.find import short_names
from napari_oneshot_lmk.landmarks.image_names import image_key

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


def names_apart(images: Sequence[tuple[str, Path | None]]) -> list[str]:
    """Return a name of its own for each image, given its name and its file, if it has one.

    A name that several have becomes the path of the file below the folder that holds the
    files of all, with ``/``: what ``oneshot-lmk detect`` calls it, given that folder.
    """
    counts = Counter(image_key(name) for name, _ in images)
    paths = [Path(os.path.normpath(file.absolute())) for _, file in images if file is not None]
    short = short_names({path: path.parent for path in paths})
    named: list[str] = []
    for name, file in images:
        own = name
        if file is not None and counts[image_key(name)] > 1 and name.startswith(file.name):
            # Behind the name of a stack stands the slice.
            own = short[Path(os.path.normpath(file.absolute()))] + name[len(file.name) :]
        named.append(own)
    return _numbered(named)


def named_apart(images: Sequence[Landmarks], files: Sequence[Path | None]) -> list[Landmarks]:
    """Return the landmarks of images, each under a name of its own."""
    pairs = [(landmarks.image, file) for landmarks, file in zip(images, files, strict=True)]
    names = names_apart(pairs)
    return [
        landmarks if landmarks.image == name else replace(landmarks, image=name)
        for landmarks, name in zip(images, names, strict=True)
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """Return names with numbers where they are still the same.

    That is one file opened twice, or layers without a file.
    """
    used: set[str] = set()
    numbered = []
    for name in names:
        own, number = name, 1
        while image_key(own) in used:
            number += 1
            own = f"{name} ({number})"
        used.add(image_key(own))
        numbered.append(own)
    return numbered
