"""The log of a training: one event a line, as JSON with a time stamp.

Lines are only ever added. A process that is killed may leave half a line; whoever
writes next begins a new one, and readers skip what is none.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.training.events import Event, event_from_json, event_to_json

MOST_BYTES = 64_000
"""Of one read, so that a reader in a window never waits."""


class EventLog:
    """Adds events to a log, each on the disk before the next one.

    Parameters
    ----------
    path : Path
        Made where it is missing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            torn = path.exists() and not _ends_with_line(path)
            # Unbuffered: what a full disk refuses must not be tried again at the end.
            self._file: FileIO = path.open("ab", buffering=0)
        except OSError as error:
            raise self._error(error) from error
        if torn:
            self._write(b"\n")

    def append(self, event: Event) -> None:
        """Add an event.

        Raises
        ------
        OutputError
            If there is no room.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **event_to_json(event)}, ensure_ascii=False)
        self._write(line.encode() + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot be written ({error.strerror or error})",
            file=self._path,
            remedy="free some space, then give the same command again",
        )


def read_events(path: Path) -> list[Event]:
    """Read all events of a log; none where there is no log yet."""
    events: list[Event] = []
    offset = 0
    while True:
        some, after = read_some(path, offset, limit=10_000)
        if after == offset:
            return events
        events += [event for _, event in some]
        offset = after


def read_some(path: Path, offset: int, limit: int) -> tuple[list[tuple[int, Event]], int]:
    """Read the next events of a log that is still being written.

    Parameters
    ----------
    path : Path
        The log. It need not exist yet.
    offset : int
        Bytes that were read before.
    limit : int
        Events at most.

    Returns
    -------
    list of (int, Event)
        Each with the byte that its line begins at.
    int
        Bytes that have been read now; as before where there is nothing new.
    """
    found: list[tuple[int, Event]] = []
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read(MOST_BYTES)
            # A line may be longer than a read, if there are very many landmarks.
            if len(chunk) == MOST_BYTES and b"\n" not in chunk:
                chunk += file.readline()
    except FileNotFoundError:
        return found, offset
    for line in chunk.splitlines(keepends=True):
        # The last line may still be on its way.
        if not line.endswith(b"\n") or len(found) >= limit:
            break
        event = _event(line)
        if event is not None:
            found.append((offset, event))
        offset += len(line)
    return found, offset


def _event(line: bytes) -> Event | None:
    """Return the event of a line; None for half a line, or a later version's."""
    try:
        content: Any = json.loads(line)
        return event_from_json(content) if isinstance(content, dict) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() == 0:
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"
