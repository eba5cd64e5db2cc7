"""Compare two processes with one process that has twice the batch.

Three trainings on the same images: one process; one process that reads the images of
each batch in the opposite order, which shows what rounding alone does; two processes
under torchrun, half the batch each. Prints by how much the loss of each step differs,
and how long an epoch took.

    python scripts/compare_processes.py --data sample_data/skull --out OUT
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from napari_oneshot_lmk.training.events import EpochEnded, Stepped, read_events
from napari_oneshot_lmk.training.preset import Preset

REVERSED = """
import sys
from dataclasses import replace
from napari_oneshot_lmk.cli.app import main
from napari_oneshot_lmk.training.methods import TrainingMethod

plan = TrainingMethod.batches
def backwards(*given, **named):
    return [replace(one, images=one.images[::-1], copies=one.copies[::-1])
            for one in plan(*given, **named)]
TrainingMethod.batches = backwards
main()
"""
MODULE = ["-m", "napari_oneshot_lmk"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def main() -> None:
    """Run all three for each learning rate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 1e-3])
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    template = given.out / "template"
    _run(
        *(*MODULE, "template", "--image", given.data / "images" / "skull_01.png"),
        *("--landmarks", given.data / "landmarks.csv", "--out", template),
    )
    print("rate, second training: largest difference of a step's loss in each epoch")
    for rate in given.rates:
        logs = {}
        for name, start, processes in (
            ("one", MODULE, 1),
            ("one, opposite order", ["-c", REVERSED], 1),
            ("two", [*TORCHRUN, *MODULE], 2),
        ):
            place = given.out / f"{rate:g} {name}"
            preset = given.out / f"{rate:g} {name}.toml"
            changes = {
                "training.batch": given.batch // processes,
                "training.epochs": given.epochs,
                "training.learning_rate": rate,
                "training.precision": "float32",
            }
            preset.write_text(Preset.load("laptop").changed(changes).to_toml())
            _run(
                *(*start, "train", "--template", template, "--device", "cpu"),
                *("--images", given.data / "images", "--preset", preset),
                *("--out", place),
            )
            logs[name] = list(read_events(place / "events.jsonl"))
            if name != "one":
                told = ", ".join(f"{d:.1e}" for d in _apart(logs["one"], logs[name]))
                print(f"{rate:g}, {name}: {told}", flush=True)
        for name, events in logs.items():
            seconds = [e.seconds for e in events if isinstance(e, EpochEnded)][1:]
            print(f"{rate:g}, {name}: {median(seconds):.1f} s an epoch", flush=True)


def _apart(one: list[object], other: list[object]) -> list[float]:
    largest: dict[int, float] = {}
    steps = [[e for e in log if isinstance(e, Stepped)] for log in (one, other)]
    for a, b in zip(*steps, strict=True):
        assert (a.epoch, a.step) == (b.epoch, b.step)
        apart = abs(a.loss - b.loss) / abs(a.loss)
        largest[a.epoch] = max(largest.get(a.epoch, 0.0), apart)
    return list(largest.values())


def _run(*arguments: object) -> None:
    # One thread a process, whoever trains: torchrun's default.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)


if __name__ == "__main__":
    main()
