"""Trains in several processes that know one another as torchrun's do.

A script of its own, because it forks, as `killed_training.py` does: the children start
at once and there are no threads yet. Plays all that can happen and writes what came of
it as JSON.

    python trained_together.py FOLDER
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from killed_training import SLOW, model_hash, started
from learning_scene import SMALL_GRID_YX, Job, Kept, small_task, train

from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.distributed.group import ProcessGroup
from napari_oneshot_lmk.training.distributed.torchrun import group_from_environment
from napari_oneshot_lmk.training.events import EpochEnded, Failed, Noted, Stepped, read_events
from napari_oneshot_lmk.training.objective import Objective
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.trainer import fit

PATIENCE_S, LITTLE_PATIENCE_S = 60.0, 8.0
RATE = 1e-4
"""Of the published settings. At ten times that, the order of a batch's images alone,
within one process, changes losses by more than 1e-3: rounding, which Adam enlarges."""
CURVES: dict[str, dict[str, Any]] = {
    "template": {},
    "patches": {"training__anchor": "patch", "training__together": False, "training__epochs": 1},
    "own norms": {"network__normalisation": "landmark", "training__epochs": 1},
    "student": {"method": "student", "training__epochs": 1},
    "joint": {"method": "joint", "training__points": 3, "training__epochs": 1},
}
"""Three images: of two processes, one is left without in the last step of an epoch."""


def at_once(
    size: int, work: Callable[[ProcessGroup], None], patience_s: float = PATIENCE_S
) -> list[int]:
    """Fork processes that find one another; return their numbers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def one(rank: int) -> Callable[[], None]:
        def child() -> None:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            world = group_from_environment()
            with world.connected("cpu", patience_s):
                work(world)

        return child

    return [started(one(rank)) for rank in range(size)]


def ended(pids: list[int]) -> list[int]:
    """Wait for processes; return their exit codes, negative for a signal."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def curve(folder: Path, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Losses of one process with a batch of 2, and of two with a batch of 1."""
    changes = {"training__epochs": 2, "training__learning_rate": RATE, **changes}
    results: dict[str, Any] = {}
    for size in (1, 2):
        place = folder / f"{name}{size}"
        place.mkdir()
        task = small_task(place, **{**changes, "training__batch": 2 // size}, grid_yx=SMALL_GRID_YX)

        def work(world: ProcessGroup, task: Any = task, place: Path = place) -> None:
            kept = Kept()
            events = list(fit(replace(task, group=world), kept, lambda: False))
            assert kept.model is not None
            numbers: dict[str, Any] = {}
            for part in kept.model.parts:
                numbers |= part.network.state_dict()
            told = {
                "steps": [e.loss for e in events if isinstance(e, Stepped)],
                "epochs": [asdict(e) for e in events if isinstance(e, EpochEnded)],
                "model": {key: float(n.double().sum()) for key, n in numbers.items()},
            }
            (place / f"rank{world.rank}.json").write_text(json.dumps(told))

        assert ended(at_once(size, work)) == [0] * size
        told = (place / f"rank{rank}.json" for rank in range(size))
        results[str(size)] = [json.loads(path.read_text()) for path in told]
    return results


class Runs:
    """Trainings of one small job, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        task = small_task(folder, grid_yx=SMALL_GRID_YX, training__epochs=2, training__batch=1)
        self.folder = folder
        self.job = Job(task.template, [], folder, TrainingConfig(preset=task.preset), task.encoder)

    def start(
        self, name: str, size: int = 2, patience_s: float = PATIENCE_S, **changes: Any
    ) -> list[int]:
        """Start processes that train, or go on with, a run."""
        images = find_images([self.folder / "images"])
        job = self.job.but(images=images, out=self.folder / name, **changes)

        def work(world: ProcessGroup) -> None:
            for _ in train(job, group=world):
                pass

        return at_once(size, work, patience_s)

    def until(self, name: str, epochs: int) -> None:
        """Wait until a run has ended so many epochs."""
        waited = time.monotonic()
        while sum(isinstance(e, EpochEnded) for e in self.told(name)) < epochs:
            assert time.monotonic() - waited < 300, name
            time.sleep(0.02)

    def told(self, name: str) -> list[Any]:
        path = RunFolder(self.folder / name).events_path
        return list(read_events(path)) if path.exists() else []

    def last_failure(self, name: str) -> str:
        event = self.told(name)[-1]
        return event.sentence if isinstance(event, Failed) else f"no failure: {event}"


def lost(runs: Runs) -> dict[str, Any]:
    """Kill or hold one of two processes, then go on with two, or with one."""
    assert ended(runs.start("whole")) == [0, 0]
    found: dict[str, Any] = {"whole": model_hash(runs.folder / "whole")}
    for name, how in (("killed", signal.SIGKILL), ("held", signal.SIGSTOP)):
        little = {"patience_s": LITTLE_PATIENCE_S} if name == "held" else {}
        pids = runs.start(name, **little)
        runs.until(name, 1)
        os.kill(pids[1], how)
        begun = time.monotonic()
        (code,) = ended(pids[:1])
        seconds = time.monotonic() - begun
        found[name] = {"code": code, "seconds": seconds, "says": runs.last_failure(name)}
        os.kill(pids[1], signal.SIGKILL)
        ended(pids[1:])
    assert ended(runs.start("killed")) == [0, 0]
    found["killed"]["model"] = model_hash(runs.folder / "killed")
    (pid,) = runs.start("held", 1)
    found["held"]["alone"] = ended([pid])
    found["held"]["notes"] = [e.text for e in runs.told("held") if isinstance(e, Noted)]
    found["held"]["model"] = (runs.folder / "held" / "model").is_dir()
    return found


def failing(runs: Runs) -> dict[str, Any]:
    """The second process runs out of memory in the second step."""
    whole, calls = Objective.losses, [0]

    def losses(self: Objective, *given: Any) -> Any:
        calls[0] += 1
        if self._task.group.rank == 1 and calls[0] == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, *given)

    with patch.object(Objective, "losses", losses):
        codes = ended(runs.start("failing"))
    return {"codes": codes, "says": runs.last_failure("failing")}


def stopped(runs: Runs) -> dict[str, Any]:
    """Somebody asks the run to stop."""
    preset = runs.job.config.numbers.changed({"training.epochs": 500})
    pids = runs.start("stopped", preset=preset)
    runs.until("stopped", 1)
    RunFolder(runs.folder / "stopped").request_stop()
    codes = ended(pids)
    return {"codes": codes, "end": asdict(runs.told("stopped")[-1])}


def differing(runs: Runs) -> dict[str, Any]:
    """Two processes were started with other seeds."""
    pids = []

    def work(world: ProcessGroup) -> None:
        job = runs.job.but(out=runs.folder / "differing", seed=world.rank)
        try:
            list(train(job, group=world))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            (runs.folder / f"differing{world.rank}.txt").write_text(text)

    pids = at_once(2, work)
    ended(pids)
    return {
        "says": [(runs.folder / f"differing{r}.txt").read_text() for r in range(2)],
        "begun": (runs.folder / "differing").exists(),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # The last is what the first step of an optimiser loads.
    for name in (*SLOW, "torch._dynamo"):
        import_module(name)
    result = {name: curve(folder, name, changes) for name, changes in CURVES.items()}
    (folder / "runs").mkdir()
    runs = Runs(folder / "runs")
    for play in (lost, failing, stopped, differing):
        begun = time.perf_counter()
        result[play.__name__] = play(runs)
        print(play.__name__, f"{time.perf_counter() - begun:.1f} s", flush=True)
    (folder / "result.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
