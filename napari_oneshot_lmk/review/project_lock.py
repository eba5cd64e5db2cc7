"""One process at a time writes a project; the others can say which one it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from napari_oneshot_lmk.errors import ProjectError
from napari_oneshot_lmk.review.project_files import IMAGES_FOLDER
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.storage.lock import LockedError, file_lock

LOCK_FILE = "lock"
WRITER_FILE = "writer.json"
_LEFT_BEHIND = re.compile(r"\.[0-9a-f]{16}(\..*)?")
"""What a process that was killed in `atomic_write` leaves."""


@contextmanager
def hold_project(folder: Path) -> Iterator[None]:
    """Make this process the only one that writes a project.

    Raises
    ------
    ProjectError
        If another process is writing it; the message says which one.
    OutputError
        If the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / LOCK_FILE))
        except LockedError as error:
            raise ProjectError(
                f"{_writer(folder)} is working on it",
                file=folder,
                remedy="close it there first; until then it can only be read",
            ) from error
        _remove_leftovers(folder)
        writer = folder / WRITER_FILE
        stack.callback(writer.unlink, missing_ok=True)
        with atomic_write(writer, overwrite=True) as partial:
            since = datetime.now(UTC).isoformat(timespec="minutes")
            content = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
        yield


def _writer(folder: Path) -> str:
    """Say who holds the lock."""
    try:
        content = json.loads((folder / WRITER_FILE).read_bytes())
        pid, host, since = content["pid"], content["host"], content["since"]
    except (OSError, ValueError, KeyError, TypeError):
        # It holds the lock, but has not written its name yet.
        return "another process"
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f"this program itself (since {since})"
    return f"process {pid} on {host} (since {since})"


def _remove_leftovers(folder: Path) -> None:
    for place in (folder, folder / IMAGES_FOLDER):
        for path in place.glob(".*"):
            if not _LEFT_BEHIND.fullmatch(path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
