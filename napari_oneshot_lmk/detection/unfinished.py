"""Results under way: the folder beside them that a run over many images works in.

::

    found.csv.partial/journal.jsonl   what has become of each image so far
    found.csv.partial/written.json    hash of the file that an early end has written
    found.csv.partial/lock            held by the process at work

It is gone once the results are complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_oneshot_lmk.detection.circumstances import Circumstances
from napari_oneshot_lmk.detection.journal import Journal
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.files import check_replaceable, format_to_write
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable
from napari_oneshot_lmk.storage.lock import LockedError, file_lock

SUFFIX = ".partial"


class UnfinishedResults:
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
        self, circumstances: Circumstances, images: Sequence[ImageFile]
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
