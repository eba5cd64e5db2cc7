"""Time the first look at a folder: how images are read, and whether to compile.

::

    python scripts/compare_encoding.py --data DIR [--encoder-weights FILE] [--images N]

Reads, prepares and encodes images one after the other, with MONAI's
``ThreadDataLoader`` as training does, and with worker processes; then compiles the
encoder with ``torch.compile``. The three ways to read are timed by turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from napari_oneshot_lmk.encoders.select import instant_encoder
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.dataset import Dataset

ROUNDS = 3


class Reader:
    """The images by index: what a worker process can be sent."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Read and prepare one, (1, 1, H, W)."""
        return prepare_image(read_image(self.paths[index]))


def ways(reader: Reader) -> dict[str, Callable[[], Iterable[Tensor]]]:
    """Return the ways to read, by what they are called."""
    return {
        "one after the other": lambda: (reader[i] for i in range(len(reader))),
        "a thread (as shipped)": lambda: (
            image
            for _, image in prefetch(range(len(reader)), reader.__getitem__, threads=1, waiting=3)
        ),
        "DataLoader, one worker process": lambda: DataLoader(
            reader, batch_size=None, num_workers=1
        ),
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder-weights", type=Path)
    parser.add_argument("--images", type=int, default=40)
    chosen = parser.parse_args()
    dataset = Dataset.load(chosen.data)
    encoder = instant_encoder(chosen.encoder_weights, "cpu")
    names = (dataset.train + dataset.test)[: chosen.images]
    reader = Reader([dataset.file_of(name).path for name in names])
    picture = reader[0]
    encoder(picture)

    found: dict[str, list[float]] = {name: [] for name in ways(reader)}
    for _ in range(ROUNDS):
        for name, images in ways(reader).items():
            took = seconds(lambda images=images: [encoder(one) for one in images()])  # type: ignore[misc]
            found[name].append(took / len(reader))
    print("| reading and encoding | ms an image |\n|---|---|")
    for name, each in found.items():
        print(f"| {name} | {1e3 * median(each):.0f} |")

    plain = median(seconds(lambda: encoder(picture)) for _ in range(15))
    torch.set_grad_enabled(False)
    compiled = torch.compile(encoder)
    first = seconds(lambda: compiled(picture))
    later = median(seconds(lambda: compiled(picture)) for _ in range(15))
    print("\n| encoder | ms an image | first call, s |\n|---|---|---|")
    print(f"| as it is | {1e3 * plain:.0f} | |")
    print(f"| compiled | {1e3 * later:.0f} | {first:.1f} |")


if __name__ == "__main__":
    main()
