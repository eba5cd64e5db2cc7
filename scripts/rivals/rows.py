"""One row of the table: train a rival, find the landmarks of all test images, score, keep.

A row that is there is kept; a network that is trained is not trained again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_oneshot_lmk.benchmark.machine import own_peak_mb
from napari_oneshot_lmk.benchmark.run import MethodResult, evaluate_locator, write_method
from napari_oneshot_lmk.benchmark.trained import TrainingStats
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance
from napari_oneshot_lmk.storage.atomic import atomic_write
from rivals.loop import Budget, Trained, optimise
from rivals.registry import find_rival
from rivals.rival import Options, Rival
from rivals.row_files import accuracy_of, kept_row, write_json, write_row
from rivals.study import Study

Tell = Callable[[str], None]


@dataclass(eq=False)
class Rows:
    """All rows of one folder: the data they are of, and how rivals are trained.

    ``tell`` is called with sentences on what is being done.
    """

    dataset: Dataset
    study: Study
    folder: Path
    options: Options
    budget: Budget
    tell: Tell = print
    _ready: dict[str, Rival] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        """Return the folder of a rival's row with this seed."""
        return self.folder / f"{name}-seed-{self.study.seed}"

    def run(self, name: str) -> dict[str, Any]:
        """Return the row of a rival, which is made where it is not there."""
        place = self.place(name)
        if (row := kept_row(place)) is not None:
            self.tell(f"{name}: the row is there and is kept ({row['how']})")
            return row
        rival = self.trained(name)
        result = self.score(name, rival)
        write_method(result, place, overwrite=True)
        return write_row(place, self._row(rival, result))

    def missing(self, name: str) -> dict[str, Any] | None:
        """Return a row that says what a rival lacks, None where it lacks nothing."""
        rival = find_rival(name)
        if not rival.needs_dino or self.options.dino_weights is not None:
            return None
        lacks = "not measured: needs DINO's ViT-S/8 (--dino-weights)"
        return {"name": name, "title": rival.title, "seed": self.study.seed, "missing": lacks}

    def trained(self, name: str) -> Rival:
        """Return a rival with its network trained, now or before."""
        if name not in self._ready:
            rival = find_rival(name)(self.study, self.options, self.trained)
            path = self._network_path(name)
            if path.is_file():
                rival.network.load_state_dict(load_file(path))
                rival.network.eval()
                self.tell(f"{name}: the trained network is there and is kept")
            else:
                self._train(rival, path)
            self._ready[name] = rival
        return self._ready[name]

    def _train(self, rival: Rival, path: Path) -> None:
        started = time.monotonic()

        def prepared(done: int, total: int) -> None:
            if done % 25 == 0 or done == total:
                self.tell(f"{rival.name}: prepared {done} of {total}")

        self.study.encode_all(prepared)
        rival.prepare(prepared)
        preparing_s = time.monotonic() - started
        schedule = rival.schedule
        if self.options.learning_rate is not None:
            schedule = replace(schedule, learning_rate=self.options.learning_rate)
        latest = [time.monotonic()]

        def step(number: int, done: float, loss: float) -> None:
            if time.monotonic() - latest[0] > 20 or done >= 1:
                latest[0] = time.monotonic()
                self.tell(f"{rival.name}: step {number}, {100 * done:.0f} %, loss {loss:.4f}")

        trained = optimise(
            rival.network, rival.loss, schedule, self.budget, self.study.seed, tell=step
        )
        state = {k: v.detach().cpu().contiguous() for k, v in rival.network.state_dict().items()}
        kept = _kept_training(rival, self.options, self.budget, trained, preparing_s)
        with atomic_write(path, overwrite=True) as partial:
            save_file(state, partial)
        write_json(path.with_suffix(".json"), kept)

    def score(self, name: str, rival: Rival) -> MethodResult:
        """Find the landmarks of every test image, then compare them with the truth."""

        def locate(image: GrayImage) -> Landmarks:
            query = self.study.query(image)
            points = rival.locate(query).double().cpu().numpy()
            return as_landmarks(self.study, image, points, name)

        def counted(done: int, total: int) -> None:
            if done % 50 == 0 or done == total:
                self.tell(f"{name}: {done} of {total} test images")

        result = evaluate_locator(
            self.dataset, name, locate, seed=self.study.seed, on_image=counted
        )
        kept = self._training(name)
        stats = TrainingStats(
            kept["seconds"], kept["parameters"], kept["peak_memory_mb"], kept["steps"]
        )
        return replace(result, training=stats)

    def _row(self, rival: Rival, result: MethodResult) -> dict[str, Any]:
        seed, training = self.study.seed, self._training(rival.name)
        return {
            **{"name": rival.name, "title": rival.title, "source": rival.source, "seed": seed},
            **{"training": training, "how": described(training)},
            **accuracy_of(result),
        }

    def _training(self, name: str) -> dict[str, Any]:
        path = self._network_path(name).with_suffix(".json")
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept

    def _network_path(self, name: str) -> Path:
        return self.folder / "networks" / f"{name}-seed-{self.study.seed}.safetensors"


def _kept_training(
    rival: Rival, options: Options, budget: Budget, trained: Trained, preparing_s: float
) -> dict[str, Any]:
    """Return what is to be known of a training beside its network."""
    parameters = sum(each.numel() for each in rival.network.parameters() if each.requires_grad)
    changed = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(options).items()
        if value != getattr(Options(), key)
    }
    return {
        **{"budget": asdict(budget), "settings": changed, "batch": rival.batch},
        **asdict(trained),
        "preparing_seconds": preparing_s,
        "published_steps": rival.schedule.steps,
        "parameters": parameters,
        "peak_memory_mb": own_peak_mb(),
        "threads": torch.get_num_threads(),
    }


def described(training: dict[str, Any]) -> str:
    """Return in words how a rival was trained.

    Examples
    --------
    >>> counts = {"steps": 90, "published_steps": 61800, "batch": 8, "threads": 1}
    >>> described(counts | {"computing_seconds": 480.0, "settings": {"width": 0.25}})
    '90 of 61800 steps of 8, 8.0 min on 1 thread, width 0.25'
    """
    threads = training["threads"]
    settings = training["settings"]
    return ", ".join(
        [
            f"{training['steps']} of {training['published_steps']} steps of {training['batch']}",
            f"{training['computing_seconds'] / 60:.1f} min on {threads} thread"
            + ("s" if threads > 1 else ""),
            *(
                f"{key.replace('_', ' ')} {value}"
                for key, value in settings.items()
                if key not in ("batch", "dino_weights")
            ),
        ]
    )


def as_landmarks(
    study: Study, image: GrayImage, on_network: np.ndarray[Any, Any], method: str
) -> Landmarks:
    """Return (N, 2) points of the network's grid as landmarks like the template's."""
    positions = iter(image.geometry.points_from_network(on_network).tolist())
    points = (
        Landmark(point.name, None, point.state)
        if point.position_yx is None
        else Landmark(point.name, tuple(next(positions)))
        for point in study.template.landmarks
    )
    encoder = study.encoder.card.identity
    provenance = Provenance(method=method, encoder=encoder, template=study.template.name)
    return Landmarks(tuple(points), image.name, image.geometry, provenance)
