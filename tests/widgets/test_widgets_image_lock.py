"""Two windows on one image: the second is told, and nobody is told without reason."""

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ENOLCK, EOPNOTSUPP, EROFS
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from napari_oneshot_lmk.widgets import image_lock
from napari_oneshot_lmk.widgets.image_lock import Holder, ImageLocks

OTHER = """
import sys
from pathlib import Path
from napari_oneshot_lmk.widgets.image_lock import ImageLocks
locks = ImageLocks()
holder = locks.taken_by(Path(sys.argv[1]))
print("mine" if holder is None else holder.pid, flush=True)
sys.stdin.readline()
if sys.argv[2] == "release":
    locks.release_all()
"""


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    return tmp_path / "image.landmarks.csv"


@contextmanager
def another_process(sidecar: Path, end: str = "release") -> Iterator[tuple[Any, str]]:
    """A process that has taken the file, or was told who has."""
    command = [sys.executable, "-c", OTHER, str(sidecar), end]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process, process.stdout.readline().strip()
        if process.poll() is None:
            process.communicate("\n", timeout=20)


def left(sidecar: Path) -> list[str]:
    return sorted(path.name for path in sidecar.parent.iterdir())


def test_a_second_process_is_told_who_has_the_image(sidecar):
    locks = ImageLocks()
    assert locks.taken_by(sidecar) is None
    assert locks.taken_by(sidecar) is None
    assert locks.has(sidecar)
    with another_process(sidecar) as (_, said):
        assert said == str(os.getpid())
    locks.release(sidecar)
    with another_process(sidecar) as (process, said):
        assert said == "mine"
        holder = locks.taken_by(sidecar)
        assert (holder.host, holder.pid) == (platform.node(), process.pid)
        assert f"another napari (process {process.pid}), since" in holder.sentence
        assert "not saved" in holder.sentence
        # Another image is free.
        assert locks.taken_by(sidecar.with_name("other.landmarks.csv")) is None
    assert locks.taken_by(sidecar) is None
    locks.release_all()
    assert left(sidecar) == []


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_the_lock_of_a_killed_process_is_taken_over(sidecar):
    locks = ImageLocks()
    with another_process(sidecar) as (process, said):
        assert said == "mine"
        assert locks.taken_by(sidecar) is not None
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        # Its files are still there, and mean nothing.
        assert len(left(sidecar)) == 2
        assert locks.taken_by(sidecar) is None
    content = json.loads((sidecar.parent / f".{sidecar.name}.holder").read_text())
    assert content["pid"] == os.getpid()
    locks.release_all()
    assert left(sidecar) == []


def test_a_process_that_ends_without_a_word_lets_go(sidecar):
    with another_process(sidecar, end="nothing") as (_, said):
        assert said == "mine"
    assert left(sidecar) == []
    assert ImageLocks().taken_by(sidecar) is None


def test_two_windows_of_one_process(sidecar):
    first, second = ImageLocks(), ImageLocks()
    first.in_window = True
    assert first.taken_by(sidecar) is None
    # The same folder under another path is the same folder.
    link = sidecar.parent / "link"
    link.symlink_to(sidecar.parent, target_is_directory=True)
    holder = second.taken_by(link / sidecar.name)
    assert "another window of this napari" in holder.sentence
    assert not second.has(sidecar)
    # A window that is forgotten has closed.
    del first
    assert second.taken_by(sidecar) is None


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(code, os.strerror(code)) for code in (EACCES, EROFS, ENOLCK, EOPNOTSUPP)),
        NotImplementedError("no flock"),
    ],
    ids=str,
)
def test_where_nothing_can_be_locked_nobody_is_alarmed(sidecar, monkeypatch, error):
    monkeypatch.setattr(image_lock.FileLock, "acquire", Mock(side_effect=error))
    locks = ImageLocks()
    assert locks.taken_by(sidecar) is None
    assert not locks.has(sidecar)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_alarms_nobody(sidecar):
    sidecar.parent.chmod(0o500)
    try:
        assert ImageLocks().taken_by(sidecar) is None
    finally:
        sidecar.parent.chmod(0o700)


def test_a_folder_that_is_gone_alarms_nobody(sidecar):
    assert ImageLocks().taken_by(sidecar.parent / "gone" / sidecar.name) is None


def test_the_holder_is_described_as_far_as_it_is_known(sidecar):
    first, second = ImageLocks(), ImageLocks()
    first.in_window = True
    first.taken_by(sidecar)
    file = sidecar.parent / f".{sidecar.name}.holder"
    file.write_text(json.dumps(["damaged"]))
    holder = second.taken_by(sidecar)
    assert holder == Holder()
    assert "in another window." in holder.sentence
    far = Holder("reading-room-2", 4711, "2026-03-01T09:30:00+00:00")
    assert "computer reading-room-2 (process 4711), since" in far.sentence
