"""What has become of each image so far, on disk: a run that is killed goes on.

A line of JSON an image. The first line says what the results depend on; results of
other settings are never mixed with them.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.detection.circumstances import Circumstances
from napari_oneshot_lmk.detection.many import Outcome
from napari_oneshot_lmk.detection.tally import Tally
from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.landmarks import (
    Landmarks,
    geometry_from_json,
    geometry_to_json,
    landmarks_from_json,
    landmarks_to_json,
)

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
    circumstances : Circumstances
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
        self, path: Path, circumstances: Circumstances, images: Sequence[ImageFile]
    ) -> None:
        self.path, self.images = path, images
        self.circumstances = circumstances
        self.tally = Tally()
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

    def _take_up(self, circumstances: Circumstances) -> None:
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

    def _check(self, first: bytes, circumstances: Circumstances) -> None:
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
