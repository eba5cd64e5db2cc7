"""Names of image files, and when two of them mean the same image."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from napari_oneshot_lmk.imaging.formats import IMAGE_SUFFIXES

_OTHER_ENDINGS = (".mrk.json", ".img", ".dib", ".gif", ".webp", ".jp2", ".j2k")
# Anything else behind a dot belongs to the name: files named by UID differ in nothing
# but the number behind the last one. The longer of two endings comes first.
IMAGE_ENDINGS = tuple(sorted({*IMAGE_SUFFIXES, *_OTHER_ENDINGS}, key=len, reverse=True))

LONGEST_NAME = 255

T = TypeVar("T")


def image_key(name: str) -> str:
    """Return a name that is the same for all spellings of the same path.

    Windows' separators become slashes, and letters that are stored together with
    their accent or apart from it (NFC, NFD) become the same.
    """
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def stem(name: str) -> str:
    """Return a file name without folders, of both kinds of slash, and image ending.

    Examples
    --------
    >>> stem("scans/001.nii.gz"), stem("1.2.826.0.1")
    ('001', '1.2.826.0.1')
    """
    base = _base(name)
    return base.removesuffix(_ending(base))


def is_uid(name: str) -> bool:
    """Say whether a file is named by a DICOM UID: two that differ are two images."""
    parts = stem(name).split(".")
    return len(parts) >= 4 and all(part.isascii() and part.isdigit() for part in parts)


def fits_as_name(name: str) -> bool:
    """Say whether a file may have this name: file systems take 255 bytes or units."""
    return len(name.encode("utf-8", "replace")) <= LONGEST_NAME


def file_names(images: Sequence[str], ending: str) -> list[str]:
    """Name a file after each image; with folder and ending where that is needed.

    Examples
    --------
    >>> file_names(["scan.png", "b/scan.png", "c/film.png"], ".mrk.json")
    ['scan.png.mrk.json', 'b_scan.png.mrk.json', 'film.mrk.json']
    """
    stems = [stem(image) or "landmarks" for image in images]
    counts = Counter(name.lower() for name in stems)
    chosen = [
        name if counts[name.lower()] == 1 else image
        for name, image in zip(stems, images, strict=True)
    ]
    refused = '\\/:*?"<>|' + "".join(map(chr, range(32)))
    plain = str.maketrans(dict.fromkeys(refused, "_"))
    return [name.translate(plain) + ending for name in chosen]


def spellings() -> tuple[Callable[[str], str], ...]:
    """Return ways to compare two names, from the strictest to the loosest.

    The whole path; the same whatever the case of the ending; both without folders;
    and the name without folders and ending.
    """
    return (image_key, _ending_lowered, _base, lambda n: _ending_lowered(_base(n)), stem)


class BySpelling(Generic[T]):
    """Finds what belongs to the name of an image, however that is spelled.

    Parameters
    ----------
    named : iterable of (str, T)
        Names, each with what belongs to it.

    Examples
    --------
    >>> BySpelling([("scans/001.PNG", 1), ("002.png", 2)]).find("001.png")
    [1]
    """

    def __init__(self, named: Iterable[tuple[str, T]]) -> None:
        pairs = list(named)
        # Each way to compare names once: there may be very many.
        self._groups = [(key, _grouped(pairs, key)) for key in spellings()]

    def find(self, name: str) -> list[T]:
        """Return what the strictest spelling that fits at all fits; several are ambiguous."""
        found = (groups[key(name)] for key, groups in self._groups if key(name) in groups)
        return next(found, [])


def _grouped(pairs: Iterable[tuple[str, T]], key: Callable[[str], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for name, thing in pairs:
        groups[key(name)].append(thing)
    return dict(groups)


def _base(name: str) -> str:
    return image_key(name).rpartition("/")[2]


def _ending(name: str) -> str:
    fitting = (e for e in IMAGE_ENDINGS if name.lower().endswith(e) and len(name) > len(e))
    return name[len(name) - len(next(fitting, "")) :]


def _ending_lowered(name: str) -> str:
    key = image_key(name)
    ending = _ending(key)
    return key.removesuffix(ending) + ending.lower()
