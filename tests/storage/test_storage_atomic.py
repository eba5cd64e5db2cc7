"""Results reach their place whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write(path: Path, text: str = "new", **options: bool) -> None:
    with atomic_write(path, **options) as partial:
        partial.write_text(text)


def refused(path: Path, match: str) -> None:
    """Check that a place cannot be written to, which can be asked beforehand."""
    for refuse in (write, check_writable):
        with pytest.raises(OutputError, match=match):
            refuse(path)


def test_a_file_appears_with_its_missing_parents(tmp_path):
    path = tmp_path / "a" / "b" / "found.mrk.json"
    with atomic_write(path) as partial:
        assert partial.parent == path.parent
        assert partial.name.endswith(".mrk.json")
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert everything_below(tmp_path) == ["a", "a/b", "a/b/found.mrk.json"]


def write_half(path: Path, error: BaseException) -> None:
    with atomic_write(path, overwrite=True) as partial:
        partial.write_text("half")
        raise error


def test_nothing_is_left_when_writing_fails(tmp_path):
    with pytest.raises(ValueError, match="in the middle"):
        write_half(tmp_path / "a" / "found.csv", ValueError("in the middle"))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"found\.csv: cannot be written .*; free"):
        write_half(tmp_path / "found.csv", full)
    assert everything_below(tmp_path) == []


def test_the_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert everything_below(tmp_path) == ["found.csv"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("old")
    refused(path, r"exists already; .*--overwrite")
    assert path.read_text() == "old"
    check_writable(path, overwrite=True)
    assert path.read_text() == "old"
    write(path, overwrite=True)
    assert path.read_text() == "new"
    assert everything_below(tmp_path) == ["found.csv"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "found.csv"

    def race() -> None:
        with atomic_write(path) as partial:
            partial.write_text("new")
            path.write_text("theirs")

    with pytest.raises(OutputError, match="exists already"):
        race()
    assert path.read_text() == "theirs"
    assert everything_below(tmp_path) == ["found.csv"]


def test_a_folder_where_a_file_should_be_and_the_other_way_round(tmp_path):
    with pytest.raises(OutputError, match="is a folder, not a file; add a file name"):
        write(tmp_path, overwrite=True)
    path = tmp_path / "template"
    path.write_text("a file")
    with pytest.raises(OutputError, match="is a file, but the result is a folder"):
        write(path, overwrite=True, folder=True)
    assert path.read_text() == "a file"


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("a file")
    refused(tmp_path / "out" / "found.csv", r"because .*out is a file")
    assert everything_below(tmp_path) == ["out"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root"
)
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        for path in (tmp_path / "found.csv", tmp_path / "new" / "found.csv"):
            refused(path, "does not allow it")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_place_where_nobody_can_make_files():
    # Read-only to root too, unlike a folder without its permission bits.
    for path in (Path("/proc/found.csv"), Path("/proc/new/found.csv")):
        refused(path, "/proc does not allow it")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs a device")
def test_a_device_is_never_replaced():
    with pytest.raises(OutputError, match="is a device"):
        write(Path("/dev/null"), overwrite=True)
    assert not Path("/dev/null").is_file()


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "a" / "b" / "found.csv")
    assert everything_below(tmp_path) == []


def test_a_link_stays_a_link_to_the_new_content(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "found.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write(link, overwrite=True)
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_appears_whole_where_none_or_an_empty_one_was(tmp_path, is_there):
    path = tmp_path / "template"
    if is_there:
        path.mkdir()
    with atomic_write(path, folder=True) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a.txt").write_text("a")
        assert everything_below(path) == []
    assert everything_below(tmp_path) == ["template", "template/sub", "template/sub/a.txt"]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("old")
    with pytest.raises(OutputError, match="folder exists already"):
        write(tmp_path, folder=True)


def test_overwriting_a_folder_keeps_what_is_not_ours(tmp_path):
    path = tmp_path / "documents"
    (path / "sub").mkdir(parents=True)
    for name in ("precious.txt", "a.txt", "sub/b.txt", "sub/precious.txt"):
        (path / name).write_text("old")
    with atomic_write(path, overwrite=True, folder=True) as partial:
        (partial / "sub").mkdir()
        for name in ("a.txt", "sub/b.txt"):
            (partial / name).write_text("new")
    texts = {str(p.relative_to(path)): p.read_text() for p in path.rglob("*.txt")}
    new, old = ("a.txt", "sub/b.txt"), ("precious.txt", "sub/precious.txt")
    assert texts == {**dict.fromkeys(new, "new"), **dict.fromkeys(old, "old")}
    assert [p.name for p in tmp_path.iterdir()] == ["documents"]


def test_a_failed_exchange_of_folders_brings_the_old_one_back(tmp_path, monkeypatch):
    path = tmp_path / "documents"
    path.mkdir()
    for name in ("a.txt", "precious.txt"):
        (path / name).write_text("old")
    rename = Path.rename

    def rename_but_not_in_place(self, target):
        if Path(target) == path and (self / "new.txt").exists():
            raise PermissionError("held open by another program")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_but_not_in_place)

    def exchange() -> None:
        with atomic_write(path, overwrite=True, folder=True) as partial:
            (partial / "a.txt").write_text("new")
            (partial / "new.txt").write_text("new")

    with pytest.raises(OutputError, match="held open by another program"):
        exchange()
    texts = {p.name: p.read_text() for p in path.iterdir()}
    assert texts == {"a.txt": "old", "precious.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["documents"]
