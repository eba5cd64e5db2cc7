"""Finds the landmarks of an image by its name, however that is spelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.image_names import BySpelling, image_key
from napari_oneshot_lmk.landmarks.landmarks import Landmarks


class LandmarkLookup:
    """Landmarks of many images; a UsageError says if two sets are of one image."""

    def __init__(self, images: Sequence[Landmarks], side: str = "given") -> None:
        self._by_spelling = BySpelling(by_name(images, side).items())

    def find(self, name: str) -> Landmarks | None:
        """Return the landmarks of the image called ``name``, by the strictest spelling that fits.

        None where there are none; a UsageError says where several could be meant.
        """
        found = self._by_spelling.find(name)
        if len(found) > 1:
            named = first_names(landmarks.image for landmarks in found)
            what = f"{named} could all be the image {name!r}"
            raise UsageError(what, remedy="write its full file name in the image column")
        return found[0] if found else None


def find_image(images: Sequence[Landmarks], name: str) -> Landmarks | None:
    """Return the landmarks of one image; see `LandmarkLookup.find`."""
    return LandmarkLookup(images).find(name)


def by_name(images: Sequence[Landmarks], side: str) -> dict[str, Landmarks]:
    """Return image -> landmarks; a UsageError says if an image stands twice on a ``side``."""
    by_key: dict[str, Landmarks] = {}
    for landmarks in images:
        key = image_key(landmarks.image)
        if key in by_key:
            what = f"the {side} landmarks of image {landmarks.image!r} stand twice"
            raise UsageError(what, remedy="keep one of the two")
        by_key[key] = landmarks
    return {landmarks.image: landmarks for landmarks in by_key.values()}


def grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    """Return what ``key`` makes of names -> the names, in order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


def first_names(names: Iterable[str], most: int = 3) -> str:
    """Return the first of some names for a sentence."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most]) or "none"
    return f"{shown}, …" if len(names) > most else shown
