"""Show what each epoch of a training gains, beside the criterion that chooses.

::

    python scripts/accuracy_by_epoch.py --data DIR --out OUT [--preset P] [--epochs N]
        [--every K]

``DIR`` is a data folder as for ``oneshot-lmk benchmark``. Trains as the benchmark
does, scores the model of every epoch on every K-th test image, and writes
``OUT/epochs.csv`` and ``OUT/epochs.md``. The test images' landmarks score only: the
training has no access to them, and chooses its epoch by the agreement.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from napari_oneshot_lmk.benchmark.machine import describe, markdown_machine
from napari_oneshot_lmk.benchmark.trained import TRAINED_METHODS
from napari_oneshot_lmk.evaluation.metrics import Accuracy, sdr_keys
from napari_oneshot_lmk.evaluation.report import evaluate
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Event, Previewed
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.train import train


@dataclass
class Epochs:
    """Collects an epoch's criterion and its points, which come after it."""

    dataset: Dataset
    geometries: dict[str, Geometry]
    rows: list[dict[str, object]] = field(default_factory=list)
    ended: EpochEnded | None = None
    found: dict[str, Landmarks] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Count one event; what is no preview closes an epoch."""
        if isinstance(event, Previewed):
            name = Path(event.image).name
            points = tuple(Landmark(n, yx) for n, yx in event.points_yx.items())
            self.found[name] = Landmarks(points, name, self.geometries[name])
            return
        self.close()
        if isinstance(event, EpochEnded):
            self.ended = event

    def close(self) -> None:
        """Score the epoch whose points are complete."""
        if self.ended is None or not self.found:
            return
        ended, self.ended = self.ended, None
        scoring = evaluate(list(self.found.values()), self.dataset.test_truth).scoring("native")
        self.found = {}
        assert scoring is not None
        row = {"epoch": ended.epoch, **_losses(ended), **_errors(scoring.overall)}
        self.rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _geometry(dataset: Dataset, name: str) -> Geometry:
    spacing = dataset.spacing_mm_yx(name)
    return read_image(dataset.file_of(name).path, spacing_mm_yx=spacing).geometry


def _losses(ended: EpochEnded) -> dict[str, object]:
    losses = {f"loss, {stage}": f"{x:.2f}" for stage, x in ended.losses.items()}
    moved = {f"labels moved, {ended.unit}": f"{ended.shift:.3f}"}
    return {**losses, **moved, f"agreement, {ended.unit}": f"{ended.agreement:.3f}"}


def _errors(overall: Accuracy) -> dict[str, object]:
    shares = zip(sdr_keys(), overall.sdr_percent, strict=True)
    return {
        "MRE mm": f"{overall.mre_mm:.3f}",
        **{f"SDR {distance} mm %": f"{share:.1f}" for distance, share in shares},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder-weights", type=Path)
    parser.add_argument("--method", choices=("fused", "joint"), default="fused")
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    return parser.parse_args()


def _events(chosen: argparse.Namespace, dataset: Dataset) -> Iterator[Event]:
    preset = Preset.load(chosen.preset)
    if chosen.epochs:
        preset = preset.changed({"training.epochs": chosen.epochs})
    spec = TRAINED_METHODS[chosen.method]
    yield from train(
        dataset.template(),
        [dataset.file_of(name) for name in dataset.train],
        chosen.out / "run",
        TrainingConfig(
            method=spec.method,
            preset=preset,
            template_stage=spec.template_stage,
            seed=chosen.seed,
            encoder_weights=chosen.encoder_weights,
        ),
        previews=[dataset.file_of(name).path for name in dataset.test[:: chosen.every]],
        spacings_mm_yx=dataset.spacings_mm_yx(dataset.train),
    )


def main() -> None:
    """Train, score each epoch, write the table."""
    chosen = _arguments()
    dataset = Dataset.load(chosen.data)
    epochs = Epochs(dataset, {name: _geometry(dataset, name) for name in dataset.test})
    for event in _events(chosen, dataset):
        epochs.take(event)
    table = pd.DataFrame(epochs.rows)
    table.to_csv(chosen.out / "epochs.csv", index=False)
    columns = list(table.columns)
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in table.to_numpy()]
    command = shlex.join([Path(sys.executable).name, *sys.argv])
    lines += ["", f"Command: `{command}`", "", *markdown_machine(describe())]
    (chosen.out / "epochs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
