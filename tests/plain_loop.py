"""A loop that is quick and learns next to nothing, to test what stands around it.

Like ``training.trainer.fit`` it is a generator of events that saves checkpoints, asks
whether to stop at each step and saves a model at the end.
Its "network" is three numbers, trained with Adam on noise and image content.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from napari_oneshot_lmk.training import events
from napari_oneshot_lmk.training.checkpoint import Checkpoint, pack, unpack
from napari_oneshot_lmk.training.task import TrainingTask

STEPS = 4
LOOP = "napari_oneshot_lmk.training.trainer"


@dataclass(frozen=True)
class PlainModel:
    numbers: torch.Tensor

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.json").write_text(repr(self.numbers.tolist()))


def fit(
    task: TrainingTask, checkpoints: Any, should_stop: Callable[[], bool], pause_s: float = 0.0
) -> Iterator[events.Event]:
    images = []
    for done, image in enumerate(task.images.usable, start=1):
        images.append(float(task.images.read(image).pixels.mean()))
        yield events.Preparing("images", done, len(task.images))
    torch.manual_seed(task.config.seed)
    numbers = torch.nn.Parameter(torch.randn(3))
    optimiser = torch.optim.Adam([numbers], lr=task.preset.training.learning_rate)
    begun, began = checkpoints.load(), 0
    if begun is not None:
        state = unpack(begun.tensors, begun.state["all"])
        numbers.data = state["numbers"]
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        began = begun.epoch
    epochs, stopped = task.preset.training.epochs, False
    for epoch in range(began + 1, epochs + 1):
        losses = []
        for step in range(1, STEPS + 1):
            if should_stop():
                stopped = True
                break
            time.sleep(pause_s)
            target = torch.randn(3) + images[step % len(images)]
            loss = (numbers - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            left = (epochs - epoch) * STEPS * 0.01
            yield events.Stepped("", epoch, epochs, step, STEPS, losses[-1], left)
        if stopped:
            break
        value = {"numbers": numbers.detach(), "optimiser": optimiser.state_dict()}
        tensors, rest = pack(value | {"random": torch.get_rng_state()})
        checkpoints.save(Checkpoint(epoch, epoch * STEPS, tensors, {"all": rest}))
        mean = {"template": sum(losses) / STEPS}
        yield events.EpochEnded("", epoch, epochs, mean, 1.5, "mm", 0.25, epoch == 1, 0.1)
        for path in task.preview_images():
            yield events.Previewed(str(path), dict.fromkeys(task.config.landmarks, (1.0, 2.0)))
    if stopped and epoch == 1:
        yield events.Failed("Stopped before the first epoch ended.")
        return
    checkpoints.save_model(PlainModel(numbers.detach()))
    yield events.Finished("", epoch - stopped, stopped, 1.0)


def install(pause_s: float = 0.0) -> None:
    """Put it in the place of the real one."""
    module = ModuleType(LOOP)
    module.fit = lambda *given: fit(*given, pause_s)  # type: ignore[attr-defined]
    sys.modules[LOOP] = module
