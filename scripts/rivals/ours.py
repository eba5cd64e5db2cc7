"""Rows of this project itself, by its own benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.methods import Options
from napari_oneshot_lmk.benchmark.run import run_method, write_method
from napari_oneshot_lmk.benchmark.trained import TrainingOptions
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.training.events import EpochEnded, Event
from napari_oneshot_lmk.training.preset import Preset
from rivals.row_files import accuracy_of, kept_row, write_row

SOURCE = "this project"


def own_row(
    dataset: Dataset,
    method: str,
    seed: int,
    folder: Path,
    weights: Path | None,
    device: str,
    preset: str,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Return the row of a method of ``oneshot-lmk benchmark accuracy``, kept where it is there.

    Its training goes on where it was interrupted.
    """
    place = folder / f"{method}-seed-{seed}"
    if (row := kept_row(place)) is not None:
        tell(f"{method}: the row is there and is kept")
        return row

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded):
            tell(f"{method}: epoch {event.epoch} of {event.epochs}")

    settings = Preset.load(preset)
    # Runs are in a folder of their own for each seed.
    training = TrainingOptions(dataset, folder / f"ours-seed-{seed}", settings, seed, listen)
    options = Options(weights, device, training=training)
    result = run_method(dataset, dataset.template(), method, options, seed=seed)
    write_method(result, place, overwrite=True)
    stats = result.training
    trained = {"seconds": stats.seconds, "parameters": stats.parameters} if stats else {}
    how = f"preset {preset}, {stats.seconds / 60:.1f} min" if stats else "not trained"
    return write_row(
        place,
        {"name": method, "title": f"{method} ({SOURCE})", "source": SOURCE, "seed": seed}
        | {"training": trained, "how": how}
        | accuracy_of(result),
    )
