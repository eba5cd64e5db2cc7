"""Write files and folders whole or not at all.

They are written beside their place under a hidden name and renamed at the end, so that a full
disk or a stopped process leaves no half of a file behind.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_oneshot_lmk.errors import OutputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_CHOOSE_ANOTHER = "choose another name or pass --overwrite"


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = False, folder: bool = False) -> Iterator[Path]:
    """Give a place to write to; what lies there at the end becomes ``path``.

    Parameters
    ----------
    path : Path
        Where the result goes. Missing parent folders are made.
    overwrite : bool
        Replace what is there; of a folder only what the new one holds, too.
    folder : bool
        The result is a folder; the yielded path is one already.

    Yields
    ------
    Path
        Beside ``path``, with the same suffixes.

    Raises
    ------
    OutputError
        If ``path`` exists and may not be replaced, cannot be written, or there is no room left.
    """
    # A link is followed: replacing the link itself would surprise its owner.
    target = Path(os.path.realpath(path))
    _check_free(path, target, overwrite=overwrite, folder=folder)
    made = _make_parents(path, target.parent)
    partial = _hidden_beside(target)
    try:
        _probe(path, target.parent)
        if folder:
            partial.mkdir()
        yield partial
        _flush_to_disk(partial)
        # Somebody else may have come first while we were writing.
        _check_free(path, target, overwrite=overwrite, folder=folder)
        try:
            _put_folder(partial, target) if folder else partial.replace(target)
        except OSError as error:
            raise OutputError(
                f"cannot be put in its place ({error.strerror or error})",
                file=path,
                remedy="close it in other programs, or choose another name",
            ) from error
        _flush_names(target.parent)
    except BaseException as error:
        _remove(partial)
        _remove_empty(made)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise OutputError(
                f"cannot be written ({error.strerror})",
                file=path,
                remedy="free some space or choose another place",
            ) from error
        raise


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Raise now what :func:`atomic_write` would raise after long work.

    Parameters
    ----------
    path : Path
        A file or folder to be made later. Nothing is left on the disk.
    overwrite : bool
        As for :func:`atomic_write`.

    Raises
    ------
    OutputError
        If ``path`` exists and may not be replaced, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        folder = target.is_dir()
    except OSError as error:
        raise _no_name(path, error) from error
    _check_free(path, target, overwrite=overwrite, folder=folder)
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    _probe(path, parent)


def _check_free(path: Path, target: Path, *, overwrite: bool, folder: bool) -> None:
    """Refuse a target that may not be replaced, or cannot have its name."""
    try:
        if not target.exists():
            return
    except OSError as error:
        raise _no_name(path, error) from error
    if target.is_dir():
        if not folder:
            raise OutputError("is a folder, not a file", file=path, remedy="add a file name")
        if not overwrite and any(target.iterdir()):
            raise OutputError("this folder exists already", file=path, remedy=_CHOOSE_ANOTHER)
    elif not target.is_file():
        raise OutputError(
            "is a device or a pipe, not a place for a file", file=path, remedy="choose a file name"
        )
    elif folder:
        raise OutputError(
            "is a file, but the result is a folder", file=path, remedy="choose another name"
        )
    elif not overwrite:
        raise OutputError("exists already", file=path, remedy=_CHOOSE_ANOTHER)


def _no_name(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be the name of a file or folder here ({error.strerror})",
        file=path,
        remedy="choose another name",
    )


def _make_parents(path: Path, parent: Path) -> list[Path]:
    """Make missing folders; return those made, innermost first."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        there = next(folder for folder in (parent, *parent.parents) if folder.exists())
        raise _not_writable(path, there, error) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _probe(path: Path, parent: Path) -> None:
    """Try to make a file in ``parent``: permission bits do not tell root or shares."""
    probe = parent / f".{secrets.token_hex(8)}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _not_writable(path, parent, error) from error


def _not_writable(path: Path, parent: Path, error: OSError) -> OutputError:
    if parent.exists() and not parent.is_dir():
        what = f"cannot be made because {parent} is a file"
    else:
        what = f"cannot be written, {parent} does not allow it ({error.strerror})"
    return OutputError(what, file=path, remedy="choose a folder that you may write to")


def _hidden_beside(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}{''.join(target.suffixes[-2:])}")


def _put_folder(partial: Path, target: Path) -> None:
    """Move a finished folder to its place, keeping foreign files found there."""
    if not target.exists():
        partial.rename(target)
        return
    aside = _hidden_beside(target)
    target.rename(aside)
    moved: list[tuple[Path, Path]] = []
    try:
        for old, new in _foreign(aside, partial):
            old.rename(new)
            moved.append((old, new))
        partial.rename(target)
    except BaseException:
        for old, new in moved:
            new.rename(old)
        aside.rename(target)
        raise
    shutil.rmtree(aside)


def _foreign(old: Path, new: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what ``old`` holds and ``new`` does not, with its place in ``new``."""
    for entry in sorted(old.iterdir()):
        counterpart = new / entry.name
        if not counterpart.exists() and not counterpart.is_symlink():
            yield entry, counterpart
        elif entry.is_dir() and not entry.is_symlink() and counterpart.is_dir():
            yield from _foreign(entry, counterpart)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        with file.open("r+b") as handle:
            os.fsync(handle.fileno())


def _flush_names(folder: Path) -> None:
    """Make the renaming itself lasting; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    # Some network file systems refuse this on folders; the data is safe.
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)
