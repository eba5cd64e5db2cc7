"""Train the compact CNN on generated images: a candidate for the shipped encoder.

Deterministic on one processor for one torch version, seed and number of steps::

    OMP_NUM_THREADS=1 python scripts/train_compact_encoder.py --out compact.safetensors

No photograph, radiograph or foreign weight takes part.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

from compact_encoder.pair import Pair
from compact_encoder.phantom_pairs import drawn_phantoms, phantom_pair
from compact_encoder.scenes import scene_pair
from compact_encoder.training import trained
from napari_oneshot_lmk.encoders.vgg19 import content_sha256


def pairs(side: int, seed: int) -> Iterator[Pair]:
    """Yield pairs without end: scenes and phantoms in turn."""
    source = torch.Generator().manual_seed(seed)
    phantoms = drawn_phantoms()
    while True:
        yield scene_pair(side, source)
        yield phantom_pair(phantoms, side, source)


def main(arguments: list[str] | None = None) -> None:
    """Train, report now and then, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--side", type=int, default=192, help="pixels, multiple of 32")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    start, recent = time.monotonic(), []

    def report(step: int, loss: float) -> None:
        recent.append(loss)
        if step % 100 == 0 or step == asked.steps:
            mean = sum(recent) / len(recent)
            recent.clear()
            print(f"{step:5d}  loss {mean:.4f}  {time.monotonic() - start:.0f} s", flush=True)

    network = trained(pairs(asked.side, asked.seed), asked.steps, asked.seed, report)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, asked.out)
    print(f"{asked.out}: {asked.out.stat().st_size} bytes, {content_sha256(state)}")


if __name__ == "__main__":
    main()
