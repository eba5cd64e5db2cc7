"""Results on many images while a run is under way: one that was killed is resumed.

A run works in a folder beside its table, which is removed once the table is complete::

    found.csv.partial/journal.jsonl   a line per image: its landmarks, or its error
    found.csv.partial/written.json    hash of the table that an interrupted run has written
    found.csv.partial/lock            held by the process at work

The first line of the journal holds the settings of the run. Results of other settings
are never mixed with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.detection.batch import BatchSettings, Counts, DetectionResult
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.files import check_replaceable, format_to_write
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable
from napari_oneshot_lmk.storage.lock import LockedError, file_lock

SCHEMA_VERSION = 1
SUFFIX = ".partial"
SECONDS_BETWEEN_FLUSHES = 2.0
"""A process that is killed loses nothing; a power failure at most so much."""
_NOT_YET = -1
_UNKNOWN_READING: dict[str, Any] = {"spacing_source": None, "notes": []}
"""In place of ``reading`` in journals of earlier versions, which do not have it."""


class Journal(Collection[Landmarks]):
    """The results of a run on disk, and which images are still missing.

    Iterating reads the landmarks found so far from the disk, in the order of the images.

    Parameters
    ----------
    path : Path
        The file; one that exists is resumed.
    settings : BatchSettings
    images : sequence of ImageFile
        Lines about others, and about files that have changed since, are ignored, and
        counted in ``others``.

    Raises
    ------
    UsageError
        If it was begun with other settings, or is damaged.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path, settings: BatchSettings, images: Sequence[ImageFile]) -> None:
        self.path, self.settings, self.images = path, settings, images
        self.counts = Counts()
        self.others = 0
        self._index = {str(image.path): i for i, image in enumerate(images)}
        # Where the line of each image begins: all that is in memory, eight bytes per image.
        self._lines = array("q", [_NOT_YET]) * len(images)
        try:
            # Unbuffered: a line is with the system once it is written.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _not_writable(path, error) from error
        self._size, self._flushed = 0, time.monotonic()
        try:
            self._resume()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return self.counts.images

    def __contains__(self, landmarks: object) -> bool:
        return any(landmarks == found for found in self)

    def __iter__(self) -> Iterator[Landmarks]:
        return (landmarks for landmarks, _ in self.with_reading())

    def with_reading(self) -> Iterator[tuple[Landmarks, dict[str, Any]]]:
        """Yield the landmarks of each image and how it was read.

        The latter has ``spacing_source`` (str or None) and ``notes`` (list of str).
        """
        with self.path.open("rb") as file:
            for image, start in zip(self.images, self._lines, strict=True):
                if start != _NOT_YET:
                    file.seek(start)
                    line = json.loads(file.readline())
                    # The name that the image has in this run's table.
                    landmarks = Landmarks.from_json({**line["found"], "image": image.name})
                    yield landmarks, line.get("reading", _UNKNOWN_READING)

    @property
    def missing(self) -> list[ImageFile]:
        """Images without a result so far, in their order."""
        each = zip(self.images, self._lines, strict=True)
        return [image for image, start in each if start == _NOT_YET]

    def add(self, result: DetectionResult) -> None:
        """Append a result; a full disk raises an `OutputError`."""
        image = result.image
        line: dict[str, Any] = {"path": str(image.path), "file": _size_and_mtime(image.path)}
        if result.landmarks is None:
            self._append(line | {"failed": str(result.error)})
            return
        found = result.landmarks.to_json(with_geometry=True)
        source = result.spacing_source
        reading = {"spacing_source": source and str(source), "notes": list(result.notes)}
        start = self._append(line | {"found": found, "reading": reading})
        self._lines[self._index[line["path"]]] = start
        self.counts.add(image.name, found, result.notes)

    def flush(self) -> None:
        """Write everything to the disk itself, past the caches of the system."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the file."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _append(self, content: Mapping[str, Any]) -> int:
        """Append a line; return the offset of its first byte."""
        start = self._size
        line = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError("no room is left")
            self._size += len(line)
            if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
                self.flush()
        except OSError as error:
            raise _not_writable(self.path, error) from error
        return start

    def _resume(self) -> None:
        """Read the lines that are there, or write the first one."""
        with self.path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                # New, or killed while it wrote its first line.
                self._file.truncate(0)
                self._append({"schema_version": SCHEMA_VERSION, **asdict(self.settings)})
                return
            self._check_settings(first)
            self._size = len(first)
            for line in file:
                if not line.endswith(b"\n"):
                    self._file.truncate(self._size)
                    break
                self._read_line(self._size, line)
                self._size += len(line)

    def _check_settings(self, first: bytes) -> None:
        what = ["format"]
        with suppress(ValueError, KeyError, TypeError):
            header = dict(json.loads(first))
            if header["schema_version"] == SCHEMA_VERSION:
                what = self.settings.differences(header)
        if what:
            raise UsageError(
                f"what is in it was found with another {' and another '.join(what)}",
                file=self.path,
                remedy="choose another --out, or begin anew with --overwrite",
            )

    def _read_line(self, start: int, line: bytes) -> None:
        try:
            content = json.loads(line)
            path, found = content["path"], content.get("found")
        except (ValueError, KeyError, TypeError, AttributeError):
            # Zeros left by a power failure: that image is done again.
            return
        if found is None:
            return
        index = self._index.get(path, _NOT_YET)
        if index == _NOT_YET or content["file"] != _size_and_mtime(Path(path)):
            self.others += 1
        elif self._lines[index] == _NOT_YET:
            self._lines[index] = start
            notes = content.get("reading", _UNKNOWN_READING)["notes"]
            self.counts.add(self.images[index].name, found, notes)


def _size_and_mtime(path: Path) -> list[int]:
    """Size and time of change, by which a replaced file is noticed; [] if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _not_writable(path: Path, error: OSError) -> OutputError:
    remedy = "free some space or choose another --out; what is in it is kept"
    return OutputError(f"cannot be written ({error.strerror or error})", file=path, remedy=remedy)


class PartialResults:
    """A table of landmarks and the folder beside it that a run works in.

    The end of the table's name says which format; a `UsageError` is raised where none has
    it. ``overwrite`` replaces a table that exists, and a journal of other settings; one of
    the same settings is resumed anyway.
    """

    def __init__(self, out: Path, *, overwrite: bool = False) -> None:
        self.out, self._overwrite = Path(out), overwrite
        self._write = format_to_write(self.out).write
        # A link is followed, as everything that is written follows it.
        target = Path(os.path.realpath(out))
        self.folder = target.with_name(target.name + SUFFIX)
        self._journal_path = self.folder / "journal.jsonl"
        self._written_path = self.folder / "written.json"
        self._lock_path = self.folder / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process at work on this table, else a `UsageError` is raised.

        An `OutputError` is raised where the table exists and may not be replaced, or
        cannot be written. On leaving, the folder is removed, unless it holds a journal.
        """
        check_writable(self.out, overwrite=self._may_replace())
        check_replaceable(self.out)
        missing = [p for p in self.folder.parents if not p.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"cannot be made ({error.strerror or error})"
            remedy = "choose a folder that you may write to"
            raise OutputError(what, file=self.folder, remedy=remedy) from error
        try:
            with file_lock(self._lock_path):
                try:
                    # Another process may have finished meanwhile.
                    check_writable(self.out, overwrite=self._may_replace())
                    yield
                finally:
                    self._remove_folder(missing)
        except LockedError as error:
            raise UsageError(
                "another process is at work on this file",
                file=self.out,
                remedy="wait for it, or choose another --out",
            ) from error

    @contextmanager
    def journal(self, settings: BatchSettings, images: Sequence[ImageFile]) -> Iterator[Journal]:
        """Open the journal, within `locked`; raises as `Journal` where it is not replaced."""
        try:
            journal = Journal(self._journal_path, settings, images)
        except UsageError:
            if not self._overwrite:
                raise
            self._journal_path.unlink()
            journal = Journal(self._journal_path, settings, images)
        try:
            yield journal
        finally:
            journal.close()
            if not journal:
                self.drop(journal)

    def write(self, journal: Journal) -> None:
        """Write the table of the results so far, if there are any.

        An `OutputError`, where it cannot be written, leaves the journal; any other
        `OneshotError`, where the format cannot hold the results, removes it.
        """
        if not journal:
            return
        journal.flush()
        with atomic_write(self.out, overwrite=self._may_replace()) as partial:
            try:
                assert self._write is not None  # `format_to_write` says so
                # A format that holds one image may refer to its file.
                source = journal.images[0].path if len(journal.images) == 1 else None
                self._write(partial, journal, source)
            except OneshotError as error:
                if not isinstance(error, OutputError):
                    # For example unknown millimetres: another call is needed, and this
                    # journal would be in its way.
                    self.drop(journal)
                raise error.about(self.out) from error
            # The hash before the table: one whose hash is not here is the user's own and is
            # not replaced.
            with atomic_write(self._written_path, overwrite=True) as note:
                note.write_text(json.dumps({"sha256": _sha256(partial)}) + "\n")

    def drop(self, journal: Journal) -> None:
        """Remove the journal: the table is complete."""
        journal.close()
        for path in (self._journal_path, self._written_path):
            path.unlink(missing_ok=True)

    def _may_replace(self) -> bool:
        """Whether the table may be replaced: asked for, or written by an interrupted run."""
        if self._overwrite:
            return True
        try:
            note = json.loads(self._written_path.read_text())
            return bool(note["sha256"] == _sha256(self.out))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _remove_folder(self, made: Sequence[Path]) -> None:
        """Remove the folder and the parents made for it, unless a journal is left."""
        if self._journal_path.exists():
            return
        # Windows does not delete a file that is open; an empty lock stays there.
        with suppress(OSError):
            self._lock_path.unlink(missing_ok=True)
            for folder in (self.folder, *made):
                folder.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
