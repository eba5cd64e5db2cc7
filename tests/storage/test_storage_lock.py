"""A lock that one process at a time may hold."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from filelock import FileLock

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.storage.lock import LockedError, file_lock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock"), pytest.raises(LockedError), file_lock(tmp_path / "lock"):
        pass
    with file_lock(tmp_path / "lock"):
        pass


def test_holder_may_delete_the_file(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock"):
        (tmp_path / "lock").unlink()
    with file_lock(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


def test_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), file_lock(tmp_path / "file" / "l"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_file_system_without_locks_is_used_without(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FileLock) -> None:
        raise OSError(code, "no locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with file_lock(tmp_path / "lock"), file_lock(tmp_path / "lock"):
        pass
