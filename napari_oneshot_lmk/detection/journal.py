"""What has become of each image so far, on disk: a run that is killed goes on.

A line of JSON an image. The first line says what the results depend on; results of
other settings are never mixed with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.batch import Outcome
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.files import check_replaceable, format_to_write
from napari_oneshot_lmk.landmarks.landmarks import (
    Landmarks,
    geometry_from_json,
    geometry_to_json,
    landmarks_from_json,
    landmarks_to_json,
)
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable
from napari_oneshot_lmk.storage.lock import LockedError, file_lock


@dataclass(frozen=True)
class BatchSettings:
    """All that the results of an image depend on, apart from the image.

    Parameters
    ----------
    method, encoder : str
        As in `Provenance`.
    template_sha256, model_sha256 : str
        Of their content; without a model it is empty.
    spacing_mm_yx : pair of float, optional
        That overrides what the files say.
    slice_index : int, optional
        Of volumes.
    version : str
        Of this program.
    """

    method: str
    encoder: str
    template_sha256: str
    model_sha256: str = ""
    spacing_mm_yx: tuple[float, float] | None = None
    slice_index: int | None = None
    version: str = __version__

    def differences(self, others: Mapping[str, Any]) -> list[str]:
        """Name what is not the same in the first line of a journal."""
        mine = json.loads(json.dumps(asdict(self)))
        names = {
            "method": "method",
            "encoder": "encoder",
            "template_sha256": "template",
            "model_sha256": "model",
            "spacing_mm_yx": "spacing",
            "slice_index": "slice",
            "version": "version of this program",
        }
        return [names[key] for key, value in mine.items() if others.get(key) != value]


@dataclass
class Noted:
    """The images of which the same is to be known."""

    first: str
    images: int = 0


@dataclass
class Counts:
    """What a summary says of the images that are done."""

    images: int = 0
    points: int = 0
    unsure: int = 0
    without_spacing: int = 0
    first_without_spacing: str = ""
    notes: dict[str, Noted] = field(default_factory=dict)
    """Sentences on how images were read, and of which."""

    def add(self, image: str, found: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        """Count the record of an image's landmarks."""
        for note in notes:
            self.notes.setdefault(note, Noted(image)).images += 1
        self.images += 1
        self.points += len(found["points"])
        self.unsure += sum(point.get("unsure", False) for point in found["points"])
        geometry = found["geometry"]
        if geometry is None or geometry["spacing_mm_yx"] is None:
            self.without_spacing += 1
            self.first_without_spacing = self.first_without_spacing or image


SCHEMA_VERSION = 1
SECONDS_BETWEEN_FLUSHES = 2.0
"""A process that is killed loses nothing; a power failure at most so much."""
_NOT_YET = -1
_NOTHING_KNOWN: dict[str, Any] = {"spacing_source": None, "notes": []}
"""Of how an image was read, in a journal of an earlier version."""


class Journal(Collection[Landmarks]):
    """The outcomes of a run over many images, and what is left to do.

    Going through it gives what was found, in the order of the images, read from the
    disk each time.

    Parameters
    ----------
    path : Path
        The file; one that exists is gone on with.
    circumstances : BatchSettings
        Of this run.
    images : sequence of ImageFile
        All that are wanted. Lines about other images, and about files that have
        changed since, are left aside.

    Raises
    ------
    UsageError
        If it belongs to other circumstances, or is damaged.
    OutputError
        If it cannot be written.
    """

    def __init__(
        self, path: Path, circumstances: BatchSettings, images: Sequence[ImageFile]
    ) -> None:
        self.path, self.images = path, images
        self.circumstances = circumstances
        self.tally = Counts()
        self.others = 0
        """Images in it that are not wanted any more, or have changed."""
        self._index = {str(image.path): i for i, image in enumerate(images)}
        # Eight bytes an image: all that the memory needs of those that are done.
        self._lines = array("q", [_NOT_YET]) * len(images)
        try:
            # Unbuffered: a line is with the system once it is written.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _not_writable(path, error) from error
        self._size, self._flushed = 0, time.monotonic()
        try:
            self._take_up(circumstances)
        except BaseException:
            self._file.close()
            raise

    # -- what is there -----------------------------------------------------------

    def __len__(self) -> int:
        return self.tally.images

    def __contains__(self, landmarks: object) -> bool:
        return any(landmarks == found for found in self)

    def __iter__(self) -> Iterator[Landmarks]:
        for landmarks, _ in self.with_reading():
            yield landmarks

    def with_reading(self) -> Iterator[tuple[Landmarks, dict[str, Any]]]:
        """Go through what was found, and how each image was read.

        Yields
        ------
        Landmarks, dict
            The dict has ``spacing_source`` (str or None) and ``notes`` (list of str).
        """
        with self.path.open("rb") as file:
            for image, start in zip(self.images, self._lines, strict=True):
                if start == _NOT_YET:
                    continue
                file.seek(start)
                line = json.loads(file.readline())
                found = line["found"]
                geometry = found["geometry"]
                landmarks = landmarks_from_json(
                    # The name that the image has in this run's table.
                    {**found, "image": image.name},
                    None if geometry is None else geometry_from_json(geometry),
                )
                yield landmarks, line.get("reading", _NOTHING_KNOWN)

    @property
    def missing(self) -> list[ImageFile]:
        """The images that nothing was found on so far, in their order."""
        return [
            image
            for image, start in zip(self.images, self._lines, strict=True)
            if start == _NOT_YET
        ]

    # -- writing -----------------------------------------------------------------

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises
        ------
        OutputError
            If there is no room left.
        """
        image = outcome.image
        line: dict[str, Any] = {"path": str(image.path), "file": _stamp(image.path)}
        if outcome.landmarks is None:
            line["failed"] = str(outcome.error)
            self._append(line)
            return
        found = landmarks_to_json(outcome.landmarks)
        geometry = outcome.landmarks.geometry
        found["geometry"] = None if geometry is None else geometry_to_json(geometry)
        source, notes = outcome.spacing_source, outcome.notes
        reading = {"spacing_source": source and str(source), "notes": list(notes)}
        start = self._append(line | {"found": found, "reading": reading})
        self._lines[self._index[line["path"]]] = start
        self.tally.add(image.name, found, outcome.notes)

    def flush(self) -> None:
        """Bring everything to the disk itself."""
        os.fsync(self._file.fileno())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _append(self, content: Mapping[str, Any]) -> int:
        """Write a line and return where it begins."""
        start = self._size
        line = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        try:
            count = self._file.write(line)
            if count != len(line):
                raise OSError("no room is left")
            self._size += len(line)
            if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
                self.flush()
        except OSError as error:
            raise _not_writable(self.path, error) from error
        return start

    # -- reading what another run has left -----------------------------------------

    def _take_up(self, circumstances: BatchSettings) -> None:
        """Read the lines that are there, or write the first one."""
        with self.path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                # New, or killed while it wrote its first line.
                self._file.truncate(0)
                self._append({"schema_version": SCHEMA_VERSION, **asdict(circumstances)})
                return
            self._check(first, circumstances)
            self._size = len(first)
            for line in file:
                if not line.endswith(b"\n"):
                    self._file.truncate(self._size)
                    break
                self._take(self._size, line)
                self._size += len(line)

    def _check(self, first: bytes, circumstances: BatchSettings) -> None:
        try:
            header = dict(json.loads(first))
            known = header["schema_version"] == SCHEMA_VERSION
        except (ValueError, KeyError, TypeError):
            known = False
        what = ["format"] if not known else circumstances.differences(header)
        if what:
            raise UsageError(
                f"what is in it was found with another {' and another '.join(what)}",
                file=self.path,
                remedy="choose another --out, or begin anew with --overwrite",
            )

    def _take(self, start: int, line: bytes) -> None:
        """Count one line of a run before."""
        try:
            content = json.loads(line)
            path, found = content["path"], content.get("found")
        except (ValueError, KeyError, TypeError, AttributeError):
            # Zeros that a power failure has left: that image is done again.
            return
        if found is None:
            return
        index = self._index.get(path, _NOT_YET)
        if index == _NOT_YET or content["file"] != _stamp(Path(path)):
            self.others += 1
        elif self._lines[index] == _NOT_YET:
            self._lines[index] = start
            notes = content.get("reading", _NOTHING_KNOWN)["notes"]
            self.tally.add(self.images[index].name, found, notes)


def _stamp(path: Path) -> list[int]:
    """Size and time of change of a file, by which a replaced one is noticed."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written ({error.strerror or error})",
        file=path,
        remedy="free some space or choose another --out; what is in it is kept",
    )


SUFFIX = ".partial"


class PartialResults:
    """A file of landmarks and the folder beside it.

    Parameters
    ----------
    out : Path
        The file; the end of its name says which format.
    overwrite : bool
        Replace a file that exists, and a journal of other circumstances. A journal
        of the same circumstances is gone on with anyway.

    Raises
    ------
    UsageError
        If no format has this name ending.
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
    def claimed(self) -> Iterator[None]:
        """Be the only process at work on this table.

        At the end the folder is gone, unless it holds a journal.

        Raises
        ------
        UsageError
            If another process is at work on it.
        OutputError
            If the file exists and may not be replaced, or cannot be written.
        """
        check_writable(self.out, overwrite=self._may_replace())
        check_replaceable(self.out)
        missing = [p for p in self.folder.parents if not p.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot be made ({error.strerror or error})",
                file=self.folder,
                remedy="choose a folder that you may write to",
            ) from error
        try:
            with file_lock(self._lock_path):
                try:
                    # The process before may have come to its end meanwhile.
                    check_writable(self.out, overwrite=self._may_replace())
                    yield
                finally:
                    self._clear_up(missing)
        except LockedError as error:
            raise UsageError(
                "another process is at work on this file",
                file=self.out,
                remedy="wait for it, or choose another --out",
            ) from error

    @contextmanager
    def journal(
        self, circumstances: BatchSettings, images: Sequence[ImageFile]
    ) -> Iterator[Journal]:
        """Open the journal; within `claimed`.

        Raises
        ------
        UsageError
            If it belongs to other circumstances and may not be begun anew.
        """
        try:
            journal = Journal(self._journal_path, circumstances, images)
        except UsageError:
            if not self._overwrite:
                raise
            self._journal_path.unlink()
            journal = Journal(self._journal_path, circumstances, images)
        try:
            yield journal
        finally:
            journal.close()
            if not journal:
                self.drop(journal)

    def write(self, journal: Journal) -> None:
        """Write the file with what was found so far; nothing where that is nothing.

        Raises
        ------
        OutputError
            If it cannot be written; the journal stays.
        OneshotError
            If the format cannot hold it; the journal is gone then.
        """
        if not journal:
            return
        journal.flush()
        with atomic_write(self.out, overwrite=self._may_replace()) as partial:
            try:
                assert self._write is not None  # as asked for
                self._write(partial, journal, self._source(journal))
            except OutputError as error:
                raise error.about(self.out) from error
            except OneshotError as error:
                # Such as millimetres that are unknown: another call is needed, and
                # this journal would be in its way.
                self.drop(journal)
                raise error.about(self.out) from error
            # First the note, then the file: one that this folder does not know is
            # somebody's own and is not replaced.
            with atomic_write(self._written_path, overwrite=True) as note:
                note.write_text(json.dumps({"sha256": _sha256(partial)}) + "\n")

    def drop(self, journal: Journal) -> None:
        """Forget the journal: everything is done and written."""
        journal.close()
        for path in (self._journal_path, self._written_path):
            path.unlink(missing_ok=True)

    def _source(self, journal: Journal) -> Path | None:
        """Return the image file that a format of one image may refer to."""
        return journal.images[0].path if len(journal.images) == 1 else None

    def _may_replace(self) -> bool:
        """Whether the file may be replaced: asked for, or made by a run before."""
        if self._overwrite:
            return True
        try:
            note = json.loads(self._written_path.read_text())
            return bool(note["sha256"] == _sha256(self.out))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _clear_up(self, made: Sequence[Path]) -> None:
        """Remove the folder, and those made for it, if nothing is left in them."""
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
