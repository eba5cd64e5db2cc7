"""What is said of the machine that a result was made on."""

from __future__ import annotations

import subprocess
import sys

from napari_oneshot_lmk.benchmark.machine import own_peak_mb


def test_peak_is_a_peak_of_this_process_alone():
    # A parent that is larger than its child must not count for the child.
    ballast = bytearray(600_000_000)
    code = (
        "from napari_oneshot_lmk.benchmark.machine import own_peak_mb\n"
        "before = own_peak_mb()\n"
        "block = bytearray(150_000_000)\n"
        "del block\n"
        "print(before, own_peak_mb())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(float, child.stdout.split())
    assert before < 300
    assert 140 < after - before < 170
    assert own_peak_mb() > len(ballast) / 1e6
