"""Trains in child processes, kills them at random points, and goes on with them.

A script of its own, because it forks: the children start at once, with all that is
slow to import, and this process has no window and no other threads. Prints how
many times it killed and when, and the hash of each model.

    python killed_training.py FOLDER KILLS
"""

import hashlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import read_events
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.train import train

SLOW = (
    "torch.utils.tensorboard",
    "napari_oneshot_lmk.encoders.select",
    "napari_oneshot_lmk.training.trainer",
    "napari_oneshot_lmk.training.run_lifecycle",
)
"""Imported once, instead of in each child."""


def started(work: Callable[[], None]) -> int:
    """Fork a child that works and ends."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def model_hash(run: Path) -> str:
    """Hash of all numbers of a run's model."""
    digest = hashlib.sha256()
    for path in sorted((run / "model").iterdir()):
        # The description holds how long it took.
        if path.suffix == ".safetensors":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def main(folder: Path, kills: int) -> None:
    torch.set_num_threads(1)
    for name in SLOW:
        import_module(name)
    encoder = shipped_encoder("cpu")
    template = Template.load(folder / "template")
    preset = Preset.load(folder / "preset.toml")

    def work(run: Path) -> None:
        images = find_images([folder / "images"])
        config = TrainingConfig(preset=preset)
        for _ in train(template, images, run, config, encoder=encoder):
            pass

    begun = time.perf_counter()
    pid = started(lambda: work(folder / "whole"))
    assert os.waitpid(pid, 0)[1] == 0
    duration = time.perf_counter() - begun
    print("whole", model_hash(folder / "whole"), flush=True)
    chance = random.Random(5)
    killed = number = 0
    while killed < kills:
        number += 1
        run = folder / f"run{number}"
        ended, attempts = False, 0
        while not ended:
            attempts += 1
            pid = started(lambda run=run: work(run))
            # After some attempts it may come to its end.
            if killed < kills and attempts < 6:
                time.sleep(chance.uniform(0, 0.8 * duration))
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            if os.WIFSIGNALED(status):
                killed += 1
                told = read_events(run / "events.jsonl")
                last = type(told[-1]).__name__ if told else "nothing"
                print("killed after", last, flush=True)
            else:
                assert os.WEXITSTATUS(status) == 0, "the training failed"
                ended = True
        print("run", attempts, model_hash(run), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
