"""What a training on a laptop consists of, and how long each part takes.

The training itself is run, on a few generated images; a part is the time between two of its events.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.images import template_of, write_images
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import Inspection
from napari_oneshot_lmk.training.events import EpochEnded, Event, Preparing, Stepped
from napari_oneshot_lmk.training.fine import train_fine
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.trainer import fit

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.checkpoint import Checkpoint, KeptNetwork

LANDMARKS = 19
IMAGES = 149
"""Of the training that is reckoned up: the benchmark's."""
EPOCHS, FINE_STEPS = 3, 12
WARM_UP = 2
"""Times of each part that do not count."""


@dataclass(frozen=True)
class TrainingParts:
    """Medians in seconds, and what a training has of each part.

    Parameters
    ----------
    image_s, copy_s : float
        The first look at an unlabelled image, and at a copy of the template.
    step_s : float
        A step of the fused model.
    infer_s : float
        Infer-PL on an image.
    fine_image_s, fine_step_s : float
        Of the fine stage: an image that is detected on, a step.
    copies, steps, epochs, fine_steps : int
        Of a training on `IMAGES` images with the preset.
    """

    image_s: float
    copy_s: float
    step_s: float
    infer_s: float
    fine_image_s: float
    fine_step_s: float
    copies: int
    steps: int
    epochs: int
    fine_steps: int

    @property
    def fused_s(self) -> float:
        """Reckoned up: a fused model, without reading files and what follows the last epoch."""
        looks = IMAGES * self.image_s + self.copies * self.copy_s
        return looks + self.epochs * (self.steps * self.step_s + IMAGES * self.infer_s)

    @property
    def fine_s(self) -> float:
        """Reckoned up: its fine stage, without the renewal of labels."""
        return IMAGES * self.fine_image_s + self.fine_steps * self.fine_step_s

    def as_dict(self) -> dict[str, Any]:
        """Return the members and the sums by name."""
        sums = {"fused_s": self.fused_s, "fine_s": self.fine_s}
        return asdict(self) | sums | {"both_s": sum(sums.values())}


class _InMemory:
    """A `CheckpointSink` that writes nothing."""

    model: TrainedModel | None = None

    def load(self) -> None:
        """There is no checkpoint."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Forget it."""

    def save_part(self, index: int, network: KeptNetwork) -> None:
        """Forget it."""

    def load_part(self, index: int) -> KeptNetwork:
        """There is one network alone."""
        raise KeyError(index)

    def save_model(self, model: TrainedModel) -> None:
        """Keep it for the fine stage."""
        self.model = model


def measure_training(
    encoder: Encoder,
    folder: Path,
    *,
    preset: str = "laptop",
    images: int = 16,
    on_event: Callable[[], None] = lambda: None,
) -> TrainingParts:
    """Train a fused model and a fine stage on a few images, and time the parts.

    Parameters
    ----------
    encoder : Encoder
    folder : Path
        Where the images are written.
    preset : str
    images : int
        As many unlabelled ones as copies of the template.
    on_event : callable
        Called as the training goes on.
    """
    whole, template = Preset.load(preset), template_of(LANDMARKS)
    few = {
        **{"template_copies.count": images, "training.epochs": EPOCHS},
        **{"fine.epochs": 1, "fine.epoch_steps": FINE_STEPS, "fine.renewals": 0},
    }
    write_images(folder, images)
    inspection = Inspection(template)
    for file in find_images([folder]):
        inspection.inspect(file)
    config = TrainingConfig(preset=whole.changed(few)).resolved(template, lambda: False)
    task = TrainingTask(
        config=config, template=template, images=inspection.result(), encoder=encoder
    )
    sink = _InMemory()
    coarse = _parts(fit(task, sink), on_event)
    assert sink.model is not None, "a training that is not stopped has a model"
    detector = TrainedDetector.from_model(sink.model, encoder=encoder, upright=True)
    fine = _parts(_events(train_fine(detector, task.images, task.preset, 0)), on_event)
    per_step = whole.training.batch
    return TrainingParts(
        image_s=coarse["images"],
        copy_s=coarse["copies"],
        step_s=coarse["step"],
        infer_s=coarse["epoch"] / len(task.images),
        fine_image_s=fine["images"],
        fine_step_s=fine["step"],
        copies=whole.template_copies.count,
        steps=-(-IMAGES // per_step),
        epochs=whole.training.epochs,
        fine_steps=(whole.fine.renewals + 1) * whole.fine.epochs * whole.fine.epoch_steps,
    )


def _events(training: Generator[Event, None, object]) -> Iterator[Event]:
    yield from training


def _parts(events: Iterator[Event], on_event: Callable[[], None]) -> dict[str, float]:
    """Return the median time before each kind of event."""
    times: dict[str, list[float]] = defaultdict(list)
    before = time.perf_counter()
    for event in events:
        now = time.perf_counter()
        if isinstance(event, Preparing):
            times[event.what].append(now - before)
        elif isinstance(event, Stepped):
            times["step"].append(now - before)
        elif isinstance(event, EpochEnded):
            times["epoch"].append(now - before)
        on_event()
        before = time.perf_counter()
    return {what: median(spent[min(WARM_UP, len(spent) - 1) :]) for what, spent in times.items()}


ROWS = {
    "image_s": "first look at an image",
    "copy_s": "first look at a copy of the template",
    "step_s": "step of the fused model",
    "infer_s": "Infer-PL on an image",
    "fine_image_s": "fine stage: detection on an image",
    "fine_step_s": "fine stage: step",
}


def training_rows(
    content: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> list[list[str]]:
    """Return the lines of the table, beside an earlier measurement if there is one."""

    def row(title: str, name: str, factor: float, unit: str, digits: int) -> list[str]:
        def cell(value: float) -> str:
            return f"{value * factor:.{digits}f} {unit}"

        cells = [title, cell(content[name])]
        if before is not None:
            cells += [cell(before[name]), f"{before[name] / content[name]:.2f}"]
        return cells

    rows = [row(title, name, 1e3, "ms", 0) for name, title in ROWS.items()]
    sums = {"fused_s": "fused model", "fine_s": "its fine stage", "both_s": "both"}
    rows += [
        row(f"{IMAGES} images: {title}", name, 1 / 60, "min", 1) for name, title in sums.items()
    ]
    return rows
