"""Methods that are trained first, on the training images of a data folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.events import Event
    from napari_oneshot_lmk.training.preset import Preset


class MethodSpec(NamedTuple):
    """A training method; whether it trains on copies of the template, and a fine stage."""

    method: str
    template_stage: bool
    fine: bool = False


TRAINED_METHODS = {
    "joint": MethodSpec("joint", False),  # CC2D: random points, no landmark
    "sla": MethodSpec("single", False),  # CC2D-SLA
    "atd": MethodSpec("single", True),  # C-ATD
    "fused": MethodSpec("fused", True),  # C-Adapter
    "student": MethodSpec("student", True),  # as CC2D's second stage
    "fine": MethodSpec("fused", True, fine=True),  # the same with a fine stage, as C-F2
    "instant-fine": MethodSpec("instant", False, fine=True),
}
"""The paper's methods by their names in a benchmark."""


@dataclass(frozen=True)
class TrainingOptions:
    """What methods that are trained need beside the template."""

    dataset: Dataset
    """Its training images are used without their landmarks."""
    folder: Path
    """Of the runs, runs/METHOD; a finished run is used as it is, and a fine stage follows the
    one of its method without."""
    preset: Preset
    seed: int = 0
    listen: Callable[[Event], None] = field(default=lambda event: None)
    """Called with every event."""


@dataclass(frozen=True)
class TrainingStats:
    """Cost of a training."""

    seconds: float
    """Working time, encoding of all images included."""
    parameters: int
    """That were trained."""
    peak_memory_mb: float
    """Of this process until the end of training; meaningless for a run finished before."""
    epoch: int
    """That was selected."""


@dataclass(frozen=True)
class TrainedMethod:
    """Detects with a trained model."""

    detector: TrainedDetector
    stats: TrainingStats

    def __call__(self, image: GrayImage) -> Landmarks:
        """Detect on an image."""
        self.detector.set_image(image)
        return self.detector.detect()


def trained_method(
    name: str,
    template: Template,
    options: TrainingOptions | None,
    encoder_weights: Path | None,
    device: str,
) -> TrainedMethod:
    """Train one of `TRAINED_METHODS`, or load its finished run."""
    from napari_oneshot_lmk.benchmark.machine import own_peak_mb
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.run_folder import RunFolder
    from napari_oneshot_lmk.training.train import train

    if options is None:
        raise UsageError(f"the method {name} has to be trained, which cannot be here")
    dataset, spec = options.dataset, TRAINED_METHODS[name]
    images = [dataset.file_of(image) for image in dataset.train]
    run = options.folder / "runs" / name
    encoder = encoder_of_run(run, encoder_weights, device)
    config = TrainingConfig(
        method=spec.method,
        preset=options.preset,
        template_stage=spec.template_stage,
        fine=spec.fine,
        seed=options.seed,
    )
    if spec.fine:
        _begin_with_coarse(run, config.resolved(template, lambda: encoder.device.type == "cuda"))
    spacings = dataset.spacings_mm_yx(dataset.train)
    for event in train(template, images, run, config, encoder=encoder, spacings_mm_yx=spacings):
        options.listen(event)
    peak = own_peak_mb()
    model = TrainedModel.load(run)
    finished = RunFolder(run).finished
    assert finished is not None, "a training that has ended without an error has finished"
    stats = TrainingStats(finished.seconds, model.parameters, peak, finished.epoch)
    return TrainedMethod(TrainedDetector.from_model(model, encoder=encoder), stats)


def _begin_with_coarse(run: Path, config: TrainingConfig) -> None:
    """Copy the finished run beside this one that is the same training but for a fine stage.

    Then the stage alone is left to train, and both rows are of one coarse model.
    """
    from napari_oneshot_lmk.training.run_folder import RunFolder

    for name, spec in TRAINED_METHODS.items():
        coarse = RunFolder(run.with_name(name))
        if spec.fine or run.exists() or not coarse.run_path.is_file():
            continue
        end = coarse.finished
        if end is not None and not end.stopped and config.adds_fine_stage(coarse.settings):
            with atomic_write(run, folder=True) as partial:
                without = shutil.ignore_patterns(coarse.lock_path.name)
                shutil.copytree(coarse.path, partial, ignore=without, dirs_exist_ok=True)


def encoder_of_run(run: Path, weights: Path | None, device: str) -> Encoder:
    """Return the encoder of a finished run, or the one for a run that is still to come.

    ``weights`` is a file that the user named, to use instead of what the run remembers.
    A WeightsError says if the weights cannot be found.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.model_encoder import encoder_for
    from napari_oneshot_lmk.encoders.select import instant_encoder
    from napari_oneshot_lmk.training.run_folder import RunFolder

    folder = RunFolder(run)
    if weights is None and folder.run_path.is_file() and folder.finished is not None:
        return encoder_for(TrainedModel.load(run), None, device)
    return instant_encoder(weights, device)
