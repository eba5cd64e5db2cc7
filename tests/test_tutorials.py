"""The commands of tutorials and of two more pages run as printed, with a faster training."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_oneshot_lmk.training.preset import Preset

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ("project", "morphometrics")
"""Pages with commands that are no tutorials."""
PAGES = [
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    *(ROOT / "docs" / f"{name}.md" for name in PLAIN),
]
FENCE = re.compile(r"(?:^<!-- test: ([^\n]*) -->\n)?^```bash\n(.*?)^```$", re.M | re.S)
SWAP = re.compile(r'"([^"]+)" as "([^"]+)"')
SHORT = {
    "training.epochs": 1,
    "template_copies.count": 2,
    "network.width": 0.1,
    "network.adapter_channels": 2,
}
"""What the tests change in the preset laptop; the tutorials call it FAST.toml."""
RESULTS = {
    "engineer": ("errors", "table", "bundle_found"),
    "morphometrician": ("errors_trained",),
    "project": ("study/images",),
    "morphometrics": ("aligned",),
}
"""Folders that the commands of a page leave."""


@dataclass(frozen=True)
class Block:
    """One fenced block of commands, with the comment above it."""

    code: str
    comment: str

    @property
    def runs(self) -> bool:
        return self.comment.startswith("run")

    @property
    def fast(self) -> str:
        """The commands with the comment's replacements."""
        code = self.code
        for written, used in SWAP.findall(self.comment):
            assert written in code, f"{written!r} is not in the block below it"
            code = code.replace(written, used)
        return code


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = [Block(code, comment) for comment, code in FENCE.findall(text)]
    assert len(found) == text.count("```bash\n"), "a fence is not closed"
    return found


BLOCKS = {path.stem: blocks_of(path) for path in PAGES}
RUNNABLE = [name for name, found in BLOCKS.items() if any(b.runs for b in found)]


def run(code: str, folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as in a fresh shell, with this checkout and without a network."""
    nowhere = "http://127.0.0.1:9"
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "no_proxy": "",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_says_whether_it_is_run_and_why_not(name: str) -> None:
    for block in BLOCKS[name]:
        assert block.runs or re.fullmatch(r"skip: \w.+", block.comment), block


def test_there_is_a_tutorial_for_each_user() -> None:
    assert set(BLOCKS) == {"index", "orthodontist", "morphometrician", "engineer", *PLAIN}
    assert set(RUNNABLE) == {"morphometrician", "engineer", *PLAIN}


# Ten commands, each a process of its own.
@pytest.mark.timeout(1200)
@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("name", RUNNABLE)
def test_commands_run_from_top_to_bottom(name: str, tmp_path: Path, programs: Path) -> None:
    preset = Preset.load("laptop").changed(SHORT)
    (tmp_path / "FAST.toml").write_text(preset.to_toml(), encoding="utf-8")
    (tmp_path / "napari-oneshot-lmk").symlink_to(ROOT)
    for block in BLOCKS[name]:
        if block.runs:
            done = run(block.fast, tmp_path, programs)
            assert done.returncode == 0, f"{block.fast}\n{done.stdout}\n{done.stderr}"
    for folder in RESULTS[name]:
        assert any((tmp_path / folder).iterdir())
