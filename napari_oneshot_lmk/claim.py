"""A place that one process at a time may write to."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from napari_oneshot_lmk.errors import OutputError

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class TakenError(Exception):
    """Another process holds the claim."""


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``, which is made where it is missing.

    The system lets go of it when the process ends, however it ends. A file system
    without locks, as some network shares are, is used without. Whoever holds it may
    delete the file at the end.

    Raises
    ------
    TakenError
        If another process holds it.
    OutputError
        If the file cannot be made.
    """
    while True:
        with _opened(path) as file:
            try:
                _lock(file)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise TakenError from error
                # ENOLCK, ENOTSUP: this file system knows no locks.
            if _is_at(file, path):
                yield
                return
            # It was deleted while we took it: nobody else would see this lock.


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("a+b")
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or error})",
            file=path,
            remedy="choose a folder that you may write to",
        ) from error


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
