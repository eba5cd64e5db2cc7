"""Image files that may have been moved or changed since they were added to a project."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Protocol
from unicodedata import normalize

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.find import on_disk

NEAR = 2
"""Folders up from the project's to which a path is said relative to it."""
MOST_FILES = 20_000
"""Files beside a project that are looked at when an image is missing."""


class KnownImage(Protocol):
    """What a project knows of an image file."""

    @property
    def id(self) -> str:
        """Of the image."""

    @property
    def relative(self) -> str | None:
        """Path from the project's folder with ``/``, where the file lies near it."""

    @property
    def absolute(self) -> str:
        """Path when it was added or found."""

    @property
    def sha256(self) -> str:
        """Of the file's content."""

    @property
    def size(self) -> int:
        """Of the file, in bytes."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content; an `ImageError` says why it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def size_and_mtime(path: Path) -> tuple[int, int] | None:
    """Return size in bytes and time of change in ns; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def unreadable(path: Path, error: OSError) -> ImageError:
    """Say that an image file cannot be read."""
    return ImageError(
        f"cannot be read ({error.strerror or error})", file=path, remedy="check the path"
    )


def relative_path(path: Path, folder: Path) -> str | None:
    """Return a path from a folder with ``/``; None where it is far, or on another drive."""
    try:
        relative = PurePath(os.path.relpath(path, folder))
    except ValueError:
        return None
    return None if relative.parts.count("..") > NEAR else relative.as_posix()


def place_of(image: KnownImage, folder: Path) -> Path | None:
    """Return where an image of a project lies; None if it is not where it was.

    A file of another size is taken for it only where no place has one of its size.
    """
    places = [] if image.relative is None else [folder / image.relative]
    places.append(Path(image.absolute))
    other = None
    for place in places:
        path = Path(os.path.normpath(on_disk(place)))
        known = size_and_mtime(path)
        if known is not None and known[0] == image.size:
            return path
        if known is not None:
            other = other or path
    return other


def search(
    images: Iterable[KnownImage], folder: Path, most_files: int | None = None
) -> dict[str, Path]:
    """Look for images in a folder and its subfolders, by name and content.

    Hidden folders are passed over.

    Parameters
    ----------
    images : iterable of KnownImage
        What to look for.
    folder : Path
        Where.
    most_files : int, optional
        Files after which to give up.

    Returns
    -------
    dict of str to Path
        Ids of the images that were found -> their files.
    """
    wanted: dict[tuple[str, int], list[KnownImage]] = defaultdict(list)
    for image in images:
        wanted[_key(PurePath(image.absolute).name), image.size].append(image)
    found: dict[str, Path] = {}
    seen = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            seen += 1
            if not wanted or (most_files is not None and seen > most_files):
                return found
            path = Path(root, name)
            key = _key(name), (size_and_mtime(path) or (-1, 0))[0]
            if key not in wanted:
                continue
            try:
                digest = hash_file(path)
            except ImageError:
                # The image stays missing, and that is said.
                continue
            same = next((image for image in wanted[key] if image.sha256 == digest), None)
            if same is not None:
                found[same.id] = path
                wanted[key].remove(same)
                if not wanted[key]:
                    del wanted[key]
    return found


def distinct_names(paths: Sequence[PurePath]) -> list[str]:
    """Name each file by the shortest end of its path that no other one has, with ``/``.

    Examples
    --------
    >>> distinct_names([PurePath("/a/1.png"), PurePath("/b/1.png"), PurePath("/b/2.png")])
    ['a/1.png', 'b/1.png', '2.png']
    """
    lengths = [1] * len(paths)
    while True:
        names = ["/".join(p.parts[-n:]) for p, n in zip(paths, lengths, strict=True)]
        counts: Mapping[str, int] = Counter(_key(name) for name in names)
        longer = [
            n + 1 if counts[_key(name)] > 1 and n < len(p.parts) else n
            for p, n, name in zip(paths, lengths, names, strict=True)
        ]
        if longer == lengths:
            return names
        lengths = longer


def _key(name: str) -> str:
    return normalize("NFC", name)
