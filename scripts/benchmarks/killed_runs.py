"""Detection on very many images: memory, and what is left after being killed.

The command line itself is run, in processes of their own, and killed on the way.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from napari_oneshot_lmk.errors import OneshotError

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class ManyRun:
    """What became of a table.

    Parameters
    ----------
    images : int
        In the folder.
    processes : int
        It took: those that were killed, and the last one.
    images_once : int
        Images that stand in the table with each landmark exactly once.
    peak_mb : float
        Largest resident memory of any of the processes, MB (10^6 bytes).
    seconds : float
        From the first process's start to the last one's end.
    images_per_s : float
        Between the first and the last line of the journal of the last process.
    """

    images: int
    processes: int
    images_once: int
    peak_mb: float
    seconds: float
    images_per_s: float


def run_killed(
    template: Path,
    images: Path,
    out: Path,
    *,
    kills: int,
    seed: int = 0,
    options: Sequence[str] = (),
    shipped: bool = False,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> ManyRun:
    """Detect on a folder; kill the process at random points and start it again.

    Parameters
    ----------
    template : Path
        A saved template.
    images : Path
        The folder.
    out : Path
        The table to be written; there must be none.
    kills : int
        How often.
    seed : int
        Of the points at which it is killed.
    options : sequence of str
        More options of ``oneshot-lmk detect``.
    shipped : bool
        Use the encoder that needs no download.
    on_image : callable
        Called with (done, total).

    Raises
    ------
    OneshotError
        If a process fails.
    """
    total = sum(path.suffix == ".png" for path in images.iterdir())
    rng = np.random.default_rng(seed)
    points = sorted(int(point) for point in rng.uniform(0.1, 0.9, kills) * total)
    command = [sys.executable, "-m", "napari_oneshot_lmk", "detect"]
    command += ["--template", str(template), "--out", str(out), str(images), *options]
    environment = _without_weights(out.parent) if shipped else None
    watch = _Watch(out.with_name(out.name + ".partial") / "journal.jsonl")
    started, told = time.monotonic(), 0
    for point in (*points, None):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        watch.begin(process.pid)
        while process.poll() is None:
            done = watch.look()
            if told < done < total:
                told = done
                on_image(done, total)
            if point is not None and done >= point:
                process.kill()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        assert process.stderr is not None
        words = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        if point is None and process.returncode != 0:
            last = (words.strip().splitlines() or ["no message"])[-1]
            raise OneshotError(f"detection failed ({last})")
    on_image(total, total)
    return ManyRun(
        total,
        kills + 1,
        images_once(out),
        watch.peak_mb,
        time.monotonic() - started,
        watch.images_per_s,
    )


def images_once(table: Path) -> int:
    """Count the images that stand in a table with each landmark exactly once."""
    with table.open(encoding="utf-8", newline="") as file:
        counts = Counter((row["image"], row["landmark"]) for row in csv.DictReader(file))
    landmarks = {landmark for _, landmark in counts}
    images = {image for image, _ in counts}
    return sum(all(counts[image, landmark] == 1 for landmark in landmarks) for image in images)


class _Watch:
    """Follows the journal and the memory of one process after the other."""

    def __init__(self, journal: Path) -> None:
        self.peak_mb = 0.0
        self.images_per_s = 0.0
        self._journal = journal

    def begin(self, pid: int) -> None:
        """Follow another process."""
        self._process = psutil.Process(pid)
        self._read = self._lines = 0
        self._first: tuple[float, int] | None = None

    def look(self) -> int:
        """Return how many images are done."""
        try:
            memory = self._process.memory_info()
            self.peak_mb = max(self.peak_mb, memory.rss / 1e6)
        except psutil.Error:
            pass  # it has just ended
        before = self._lines
        try:
            with self._journal.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            new = b""
        self._read += len(new)
        self._lines += new.count(b"\n")
        if self._lines > max(before, 1):
            now = (time.monotonic(), self._lines)
            self._first = self._first or now
            if now[0] > self._first[0]:
                per_s = (now[1] - self._first[1]) / (now[0] - self._first[0])
                self.images_per_s = per_s
        return max(self._lines - 1, 0)


def _without_weights(folder: Path) -> dict[str, str]:
    """Return an environment in which no weights are found and none fetched."""
    empty = str(folder / "no weights")
    return os.environ | {
        "ONESHOT_LMK_CACHE": empty,
        "TORCH_HOME": empty,
        # Refuses at once, where a missing network may hang.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
