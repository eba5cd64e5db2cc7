"""Names of image files, and when two of them mean the same image."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from napari_oneshot_lmk.imaging.formats import IMAGE_SUFFIXES

_OTHER_ENDINGS = (".mrk.json", ".img", ".dib", ".gif", ".webp", ".jp2", ".j2k")
# Anything else behind a dot belongs to the name: files named by UID differ in nothing
# but the number behind the last one. The longer of two endings comes first.
IMAGE_ENDINGS = tuple(sorted({*IMAGE_SUFFIXES, *_OTHER_ENDINGS}, key=len, reverse=True))

LONGEST_NAME = 255


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


def spellings() -> tuple[Callable[[str], str], ...]:
    """Return ways to compare two names, from the strictest to the loosest.

    The whole path; the same whatever the case of the ending; both without folders;
    and the name without folders and ending.
    """
    return (image_key, _ending_lowered, _base, lambda n: _ending_lowered(_base(n)), stem)


def _base(name: str) -> str:
    return image_key(name).rpartition("/")[2]


def _ending(name: str) -> str:
    fitting = (e for e in IMAGE_ENDINGS if name.lower().endswith(e) and len(name) > len(e))
    return name[len(name) - len(next(fitting, "")) :]


def _ending_lowered(name: str) -> str:
    key = image_key(name)
    ending = _ending(key)
    return key.removesuffix(ending) + ending.lower()
