"""What a first detection costs, from starting the program to its end.

Every measurement is a process of its own, so this file is run, too: as the dock does it, with the
encoder loaded ahead. Seconds of the processor count what the process and its threads computed;
they depend less on what else runs on the machine than the seconds of a clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from napari_oneshot_lmk.errors import OneshotError

COMMAND = "from napari_oneshot_lmk.cli.app import main; main()"


@dataclass(frozen=True)
class Cost:
    """Medians of one kind of process, or of a step in one."""

    title: str
    wall_s: float
    processor_s: float
    """Of all its threads, user and system together."""


@dataclass(frozen=True)
class StartUp:
    """What was measured."""

    processes: tuple[Cost, ...]
    dock: tuple[Cost, ...]
    """Steps in the dock in their order."""
    repeats: int
    load: tuple[float, float]
    """Mean number of running processes on the machine, in the minute before and after."""


def measure_start(
    template: Path,
    image: Path,
    weights: Path | None,
    scratch: Path,
    *,
    models: dict[str, Path],
    repeats: int,
    others: dict[str, Path],
    on_step: Callable[[int, int], None],
) -> StartUp:
    """Start each kind of process by turns.

    Parameters
    ----------
    template : Path
        A saved template.
    image : Path
        To detect on.
    weights : Path, optional
        Of the encoder; else they are looked for.
    scratch : Path
        Folder for results.
    models : dict of str to Path
        Trained models whose detection is timed beside that without training.
    repeats : int
        Rounds, after one that fills the system's file cache.
    others : dict of str to Path
        More checkouts of this project whose detection is timed in the same rounds.
    on_step : callable
        Called with (processes ended, processes in all).
    """
    shared = [
        *("--device", "cpu", "--out", str(scratch / "found.csv"), "--overwrite"),
        *(() if weights is None else ("--encoder-weights", str(weights))),
    ]
    here = Path(__file__).resolve().parents[2]
    methods = {"detect": ["--template", str(template)]}
    methods |= {f"detect, {name}": ["--model", str(model)] for name, model in models.items()}
    checkouts = {"": here, **{f", {name}": path for name, path in others.items()}}
    kinds: list[tuple[str, list[str], Path]] = [
        ("Python alone", ["-c", "pass"], here),
        ("import torch", ["-c", "import torch"], here),
        ("import monai.transforms", ["-c", "import monai.transforms"], here),
        ("detect --help", ["-c", COMMAND, "detect", "--help"], here),
        *(
            (f"{title}{name}", ["-c", COMMAND, "detect", str(image), *words, *shared], path)
            for title, words in methods.items()
            for name, path in checkouts.items()
        ),
    ]
    before = os.getloadavg()[0]
    found: dict[str, list[tuple[float, float]]] = {title: [] for title, _, _ in kinds}
    docks: list[dict[str, list[float]]] = []
    total, done = (repeats + 1) * (len(kinds) + 1), 0
    for _ in range(repeats + 1):
        for title, arguments, checkout in kinds:
            found[title].append(_timed(arguments, checkout)[:2])
            on_step(done := done + 1, total)
        words = [str(Path(__file__).resolve()), str(template), str(image), str(weights or "")]
        docks.append(json.loads(_timed(words, here)[2].splitlines()[-1]))
        on_step(done := done + 1, total)
    processes = tuple(_cost(title, rounds[1:]) for title, rounds in found.items())
    dock = tuple(_cost(step, [each[step] for each in docks[1:]]) for step in docks[0])
    return StartUp(processes, dock, repeats, (before, os.getloadavg()[0]))


def _cost(title: str, rounds: Sequence[Sequence[float]]) -> Cost:
    wall, processor = zip(*rounds, strict=True)
    return Cost(title, median(wall), median(processor))


def _timed(arguments: list[str], checkout: Path) -> tuple[float, float, str]:
    """Run Python on a checkout; return seconds, seconds of the processor, and what it printed."""
    began, used = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, now = time.perf_counter() - began, os.times()
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OneshotError(f"a process that was measured failed ({last})")
    children = now.children_user + now.children_system
    return wall, children - used.children_user - used.children_system, done.stdout


def rows_of(measured: StartUp) -> list[list[str]]:
    """Return names, wall seconds and seconds of the processor for a table."""
    costs = [
        *((cost.title, cost) for cost in measured.processes),
        *((f"dock: {cost.title}", cost) for cost in measured.dock),
    ]
    rows = [[title, f"{cost.wall_s:.2f}", f"{cost.processor_s:.2f}"] for title, cost in costs]
    return [*rows, ["load average before, after", "{:.1f}, {:.1f}".format(*measured.load), ""]]


def _detect_in_dock(template: str, image: str, weights: str) -> dict[str, tuple[float, float]]:
    """Detect as the dock does; return seconds and the processor's seconds of each step."""
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.detectors import DetectorCache
    from napari_oneshot_lmk.widgets.settings import Preferences

    loaded, pixels = Template.load(Path(template)), read_image(image)
    wanted = Preferences("cpu", Path(weights) if weights else None)
    cache = DetectorCache()
    steps: dict[str, Callable[[], Any]] = {
        "loading ahead, in another thread": lambda: cache.encoder(wanted, lambda *_: None),
        "first detection": lambda: _detect(cache, loaded, wanted, pixels),
        "second detection": lambda: _detect(cache, loaded, wanted, pixels),
    }
    seconds = {}
    for name, step in steps.items():
        began, used = time.perf_counter(), time.process_time()
        step()
        seconds[name] = time.perf_counter() - began, time.process_time() - used
    return seconds


def _detect(cache: Any, template: Any, wanted: Any, pixels: Any) -> None:
    detector = cache(template, wanted, lambda *_: None)
    detector.set_image(pixels)
    detector.detect()


if __name__ == "__main__":
    print(json.dumps(_detect_in_dock(*sys.argv[1:])))
