"""Detects in child processes, kills them at random points, and goes on with them.

A script of its own, because it forks: the children start at once, with all that is
slow to import, and this process has no window and no other threads.

    python killed_detection.py JOURNAL KILLS ARGUMENTS...
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import torch

from napari_oneshot_lmk.cli.app import app

SLOW = (
    "napari_oneshot_lmk.detection.batch",
    "napari_oneshot_lmk.detection.trained_detector",
    "napari_oneshot_lmk.encoders.select",
    "napari_oneshot_lmk.encoders.orientation",
    "napari_oneshot_lmk.imaging.transforms",
)
"""Imported once, instead of in each child."""


def started(arguments: list[str]) -> int:
    """Fork a child that runs the command."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        app(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def main(journal: Path, kills: int, arguments: list[str]) -> None:
    torch.set_num_threads(1)
    for name in SLOW:
        import_module(name)
    chance = random.Random(3)
    for _ in range(kills):
        enough = lines(journal) + chance.randint(3, 7)
        pid = started(arguments)
        while lines(journal) < enough:
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it was not killed"
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print("killed after", lines(journal) - 1, flush=True)
    status = os.waitpid(started(arguments), 0)[1]
    print("ended with", os.WEXITSTATUS(status), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
