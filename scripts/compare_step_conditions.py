"""Time a training step as it is, and without what was done for its speed.

::

    python scripts/compare_step_conditions.py --data DIR [--encoder-weights FILE]

Each row is ``python scripts/benchmarks step`` in a process of its own: with the
allocator's usual habit of giving memory back after each step, and beside a program
that keeps one processor busy, with threads that wait passively (as shipped) or
actively (what torch's threads do by themselves).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

COMMAND = "from benchmarks.__main__ import app; app()"
USUAL_ALLOCATOR = (
    "import benchmarks.training_step as step; step.keep_freed_memory = lambda: False; " + COMMAND
)
CONDITIONS = {
    # What it is called: the code, how threads wait, whether beside a busy program.
    "as shipped": (COMMAND, "PASSIVE", False),
    "memory given back": (USUAL_ALLOCATOR, "PASSIVE", False),
    "threads wait actively": (COMMAND, "ACTIVE", False),
    "beside a busy program": (COMMAND, "PASSIVE", True),
    "beside a busy program, threads wait actively": (COMMAND, "ACTIVE", True),
}


@contextmanager
def busy_program() -> Iterator[None]:
    """Keep one processor busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds_a_sample(code: str, waiting: str, busy: bool, options: list[str]) -> float:
    """Return the median time of one landmark of one image, forward and backward."""
    beside = busy_program() if busy else nullcontext()
    step = ["step", "--json"]
    with tempfile.TemporaryDirectory() as folder, beside:
        done = subprocess.run(
            [sys.executable, "-c", code, *step, "--out", f"{folder}/step", *options],
            env=os.environ | {"OMP_WAIT_POLICY": waiting, "PYTHONPATH": str(Path(__file__).parent)},
            stdout=subprocess.PIPE,
            check=True,
        )
    return float(json.loads(done.stdout)["ours_s"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder-weights", type=Path)
    chosen = parser.parse_args()
    options = ["--data", str(chosen.data)]
    if chosen.encoder_weights:
        options += ["--encoder-weights", str(chosen.encoder_weights)]
    print("| | ms a sample | times as shipped |\n|---|---|---|", flush=True)
    shipped = None
    for name, (code, waiting, busy) in CONDITIONS.items():
        seconds = seconds_a_sample(code, waiting, busy, options)
        shipped = shipped or seconds
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / shipped:.1f} |", flush=True)


if __name__ == "__main__":
    main()
