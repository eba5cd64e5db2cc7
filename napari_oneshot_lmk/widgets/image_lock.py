"""Locks that let one window at a time write the annotation of an image.

While a window has an autosave file, a lock lies beside it, and a small file that says
who holds it. The system releases the lock when its process ends, however it ends; the
files that a killed process leaves behind mean nothing.
"""

from __future__ import annotations

import json
import os
import platform
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.widgets import texts

ATTEMPTS = 3
"""A window that closes an image removes its lock file, perhaps while another takes it."""


@dataclass(frozen=True)
class Holder:
    """The window that has an image; what is not known of it is empty or 0."""

    host: str = ""
    pid: int = 0
    since: str = ""
    """ISO 8601, with time zone."""

    @property
    def sentence(self) -> str:
        """The message to the user of a second window."""
        if not self.pid:
            where = texts.ANOTHER_WINDOW
        elif self.host == platform.node() and self.pid == os.getpid():
            where = texts.ANOTHER_WINDOW_HERE
        elif self.host == platform.node():
            where = texts.ANOTHER_NAPARI.format(pid=self.pid)
        else:
            where = texts.ANOTHER_COMPUTER.format(host=self.host, pid=self.pid)
        with suppress(ValueError):
            since = datetime.fromisoformat(self.since).astimezone()
            where += texts.HELD_SINCE.format(since=f"{since:%d %b %H:%M}")
        return texts.OPEN_ELSEWHERE.format(where=where)


class ImageLocks:
    """The autosave files that one window may write.

    They are released by `release_all`, when this object is garbage-collected, and when
    the process ends.
    """

    def __init__(self) -> None:
        self._held: dict[Path, FileLock] = {}
        self._end = weakref.finalize(self, _release, self._held)
        self.in_window = False
        """Whether there is a window for which these are held."""
        _OF_THIS_PROCESS.add(self)

    def taken_by(self, sidecar: Path) -> Holder | None:
        """Take an autosave file, which need not exist, for this window, or say who has it.

        None says that this window may write: it has the file, or nothing can be locked,
        as in a folder that is read-only and on file systems without locks.
        """
        place = _place(sidecar)
        if place in self._held:
            return None
        for _ in range(ATTEMPTS):
            # Others may be other users of a shared folder.
            lock = FileLock(_lock_path(place), mode=0o666, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if self._take_over(place):
                    return None
                holder = _read(place)
                if holder is not None:
                    return holder
            except (OSError, NotImplementedError):
                return None
            else:
                self._held[place] = lock
                _write(place)
                return None
        return Holder()

    def _take_over(self, place: Path) -> bool:
        """Take a file from a session of this process whose window is gone."""
        for other in list(_OF_THIS_PROCESS):
            if place in other._held and not other.in_window:
                self._held[place] = other._held.pop(place)
                return True
        return False

    def holder_of(self, sidecar: Path) -> Holder | None:
        """Say which other window has an autosave file, without taking it."""
        if self.has(sidecar) or not _lock_path(_place(sidecar)).exists():
            return None
        holder = self.taken_by(sidecar)
        self.release(sidecar)
        return holder

    def has(self, sidecar: Path) -> bool:
        """Say whether this window has taken an autosave file."""
        return _place(sidecar) in self._held

    def release(self, sidecar: Path) -> None:
        """Release an autosave file; nothing happens where it was not taken."""
        place = _place(sidecar)
        if place in self._held:
            _release({place: self._held.pop(place)})

    def release_all(self) -> None:
        """Release everything, because the window closes."""
        self.in_window = False
        _release(self._held)


_OF_THIS_PROCESS: weakref.WeakSet[ImageLocks] = weakref.WeakSet()


def _release(held: dict[Path, FileLock]) -> None:
    while held:
        place, lock = held.popitem()
        with suppress(OSError):
            _holder_path(place).unlink()
        # Before the release: afterwards it may be somebody else's. Windows refuses.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        with suppress(OSError):
            lock.release()
        if os.name == "nt":
            with suppress(OSError):
                Path(lock.lock_file).unlink()


def _place(sidecar: Path) -> Path:
    """Return where a file really lies: a share may be known under several paths."""
    return Path(os.path.realpath(sidecar))


def _lock_path(place: Path) -> Path:
    return place.with_name(f".{place.name}.lock")


def _holder_path(place: Path) -> Path:
    # A file of its own: Windows lets nobody read what is locked.
    return place.with_name(f".{place.name}.holder")


def _write(place: Path) -> None:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = Holder(platform.node(), os.getpid(), now)
    # Without it the lock is as good; a second window cannot say whose it is.
    with (
        suppress(OneshotError, OSError),
        atomic_write(_holder_path(place), overwrite=True) as partial,
    ):
        partial.write_text(json.dumps(asdict(holder)), encoding="utf-8")


def _read(place: Path) -> Holder | None:
    try:
        content = json.loads(_holder_path(place).read_text(encoding="utf-8"))
        return Holder(str(content["host"]), int(content["pid"]), str(content["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
