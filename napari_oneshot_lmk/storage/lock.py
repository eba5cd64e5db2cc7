"""A lock file that one process at a time may hold."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_oneshot_lmk.errors import OutputError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``, which is made where it is missing.

    The system releases it when the process ends, however it ends. A file system
    without locks, as some network shares are, is used without. Whoever holds the
    lock may delete the file before releasing it.

    Raises
    ------
    LockedError
        If another process holds it.
    OutputError
        If the file cannot be made.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError from error
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(
                f"cannot be written ({error.strerror or error})",
                file=path,
                remedy="choose a folder that you may write to",
            ) from error
    try:
        yield
    finally:
        lock.release()
