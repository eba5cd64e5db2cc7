"""Find the image files that a user's paths, folders and patterns stand for."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.errors import SourceError
from napari_oneshot_lmk.imaging.formats import (
    DICOM,
    NIFTI,
    UNREAD_SUFFIXES,
    format_of,
    is_image_name,
)

NAMED = 5
"""Files that a message names before it counts the others."""


def on_disk(path: Path) -> Path:
    """Return a path as the disk spells it, where only the Unicode form differs.

    "ä" is two characters on macOS and in archives made there, one on keyboards and in tables;
    Linux and Windows take them for different names. A path that exists, or that nothing or
    several things on the disk fit, is returned as it is.
    """
    if os.path.lexists(path):
        return path
    real = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        step = real / part
        if not os.path.lexists(step):
            wanted = unicodedata.normalize("NFC", part)
            try:
                names = [entry.name for entry in real.iterdir()]
            except OSError:
                return path
            same = [real / n for n in names if unicodedata.normalize("NFC", n) == wanted]
            if len(same) != 1:
                return path
            step = same[0]
        real = step
    return real


@dataclass(frozen=True)
class ImageFile:
    """An image file and the name that it carries in tables."""

    path: Path
    name: str
    """The file's name, or its path below the given folder where names repeat, with ``/``."""


def find_images(
    sources: Sequence[str | Path], *, tell: Callable[[str], None] = lambda sentence: None
) -> tuple[ImageFile, ...]:
    """Find the image files that files, folders and patterns stand for.

    Parameters
    ----------
    sources : sequence of str or Path
        Files, whatever their name; folders, searched with their subfolders for names that end
        like an image and for DICOM files without a suffix; patterns (``*``, ``?``, ``[…]``,
        ``**``).
    tell : callable
        Called with a sentence that names the files of folders and patterns which are images of
        a format that is not read.

    Returns
    -------
    tuple of ImageFile
        Each file once, in natural order (``2.png`` before ``10.png``).

    Raises
    ------
    SourceError
        If a source does not exist, or there is no image in any.
    """
    found: dict[Path, Path] = {}
    unread: list[Path] = []
    for source in sources:
        base, paths = _expand(source, unread)
        for path in paths:
            # Not resolve(): the name of a link is the name that the user gave.
            found.setdefault(Path(os.path.normpath(path.absolute())), base)
    if unread:
        tell(_passed_over(list(dict.fromkeys(unread))))
    if not found:
        raise SourceError(
            f"there is no image in {', '.join(str(s) for s in sources) or 'nothing'}",
            remedy="name image files, or folders that hold some",
        )
    files = (ImageFile(path, name) for path, name in short_names(found).items())
    return tuple(sorted(files, key=lambda file: _natural(file.name)))


def _passed_over(unread: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in unread[:NAMED])
    more = f" and {len(unread) - NAMED} more" if unread[NAMED:] else ""
    return (
        f"Passed over, since files of this kind are not read: {names}{more}; "
        "save them as PNG or TIFF to use them."
    )


def _expand(source: str | Path, unread: list[Path]) -> tuple[Path, list[Path]]:
    """Return the given folder and the files that a source stands for.

    Images in it of a format that is not read are added to ``unread``.
    """
    path = on_disk(Path(source).expanduser())
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise SourceError(
            f"cannot be opened ({error.strerror or error})", file=source, remedy="check the path"
        ) from error
    if is_folder:
        return path, sorted(_images_below(path, unread))
    if is_file:
        return path.parent, [path]
    if not glob.has_magic(str(path)):
        raise SourceError("there is no such file or folder", file=source, remedy="check the path")
    count = next(n for n, part in enumerate(path.parts) if glob.has_magic(part))
    base = Path(*path.parts[:count])
    paths: list[Path] = []
    for match in sorted(base.glob(str(Path(*path.parts[count:])))):
        if match.is_dir():
            paths.extend(sorted(_images_below(match, unread)))
        elif _is_image(match):
            paths.append(match)
        elif _is_unread(match):
            unread.append(match)
    return base, paths


def _images_below(folder: Path, unread: list[Path]) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(root, name)
            if _is_image(path):
                yield path
            elif _is_unread(path):
                unread.append(path)


def _is_unread(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower().endswith(UNREAD_SUFFIXES)


def _is_image(path: Path) -> bool:
    """Go by the name; look inside only where DICOM files have no suffix."""
    if path.name.startswith("."):
        return False
    if is_image_name(path):
        return True
    # Scanners name files by number or by UID: "IM000001", "1.2.840.10008.5".
    if path.name != "DICOMDIR" and re.fullmatch(r"(\.\d+)?", path.suffix):
        wanted = DICOM
    elif path.suffix.lower() == ".hdr":
        # Pixels lie in the .img file beside it; other programs have .hdr files, too.
        wanted = NIFTI
    else:
        return False
    try:
        return format_of(path) is wanted
    except OSError:
        return False


def short_names(found: Mapping[Path, Path]) -> dict[Path, str]:
    """Give every file the shortest of four names that is its own.

    These are the file's name, its path below the folder that ``found`` has for it and below the
    one that holds the files of all, with ``/``, and its whole path.
    """
    names = {path: path.name for path in found}
    try:
        common = os.path.commonpath([path.parent for path in found])
    except ValueError:  # on different drives
        common = ""
    candidates = (
        lambda path: Path(os.path.relpath(path, found[path])).as_posix(),
        lambda path: Path(os.path.relpath(path, common) if common else path).as_posix(),
        lambda path: path.as_posix(),
    )
    for candidate in candidates:
        counts = Counter(names.values())
        for path, name in names.items():
            if counts[name] > 1:
                names[path] = candidate(path)
    return names


def _natural(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    parts = re.split(r"(\d+)", name.casefold())
    key = tuple((1, 0, p) if i % 2 == 0 else (0, int(p), "") for i, p in enumerate(parts))
    return key, name
