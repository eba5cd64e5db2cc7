"""Methods that train first: the paper's ladder on a data set's training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.events import Event
    from napari_oneshot_lmk.training.preset import Preset


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder.

    Parameters
    ----------
    method : str
        Of `oneshot-lmk train`.
    template_stage : bool
        Whether copies of the template are trained on.
    """

    method: str
    template_stage: bool


RUNGS = {
    "joint": Rung("joint", False),  # CC2D: random points, no landmark
    "sla": Rung("single", False),  # CC2D-SLA
    "atd": Rung("single", True),  # C-ATD
    "fused": Rung("fused", True),  # C-Adapter
}
"""By the name of the benchmark's method."""


@dataclass(frozen=True)
class TrainingOptions:
    """How methods that train do it.

    Parameters
    ----------
    dataset : Dataset
        Its training images are seen, and of their landmarks none but the template's.
    folder : Path
        Holds runs/METHOD; a finished run is used as it is.
    preset : Preset
        All numbers.
    seed : int
        Of the training.
    listen : callable
        Called with every event.
    """

    dataset: Dataset
    folder: Path
    preset: Preset
    seed: int = 0
    listen: Callable[[Event], None] = field(default=lambda event: None)


@dataclass(frozen=True)
class TrainingFacts:
    """What a table says of a training beside its errors.

    Parameters
    ----------
    seconds : float
        Working time, the first look at all images included.
    parameters : int
        That were trained.
    peak_memory_mb : float
        Of this process until its training ended; of a run that was finished before,
        of the process that only loaded it.
    epoch : int
        That was kept.
    """

    seconds: float
    parameters: int
    peak_memory_mb: float
    epoch: int


@dataclass(frozen=True)
class TrainedMethod:
    """Finds landmarks with a trained model."""

    detector: TrainedDetector
    facts: TrainingFacts

    def __call__(self, image: GrayImage) -> Landmarks:
        """Find the landmarks on an image."""
        self.detector.set_image(image)
        return self.detector.detect()


def trained_method(
    name: str,
    template: Template,
    options: TrainingOptions | None,
    encoder_weights: Path | None,
    device: str,
) -> TrainedMethod:
    """Train one rung, or take its finished run, and make its detector.

    Parameters
    ----------
    name : str
        In `RUNGS`.
    template : Template
        Of the data set.
    options : TrainingOptions, optional
        Needed; None says that the caller cannot train.
    encoder_weights : Path, optional
        File of VGG19 weights.
    device : str
        Where to compute.

    Raises
    ------
    UsageError
        If nothing can be trained.
    """
    from napari_oneshot_lmk.benchmark.machine import own_peak_mb
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.train import train

    if options is None:
        raise UsageError(f"the method {name} has to be trained, which cannot be here")
    dataset, rung = options.dataset, RUNGS[name]
    images = [dataset.file_of(image) for image in dataset.train]
    run = options.folder / "runs" / name
    encoder = encoder_of_run(run, encoder_weights, device)
    config = TrainingConfig(
        method=rung.method,
        preset=options.preset,
        template_stage=rung.template_stage,
        seed=options.seed,
        spacing_mm_yx=dataset.spacing_mm_yx(dataset.template_image),
    )
    for event in train(template, images, run, config, encoder=encoder):
        options.listen(event)
    peak = own_peak_mb()
    model = TrainedModel.load(run)
    training = model.card.training
    facts = TrainingFacts(training.seconds, model.parameters, peak, training.epoch)
    return TrainedMethod(TrainedDetector.from_model(model, encoder=encoder), facts)


def encoder_of_run(run: Path, weights: Path | None, device: str) -> Encoder:
    """Return the encoder for a run: a finished one remembers where its weights lie.

    Parameters
    ----------
    run : Path
        Its folder; it need not exist.
    weights : Path, optional
        A file that the user named; only this one is used then.
    device : str
        Where to compute.

    Raises
    ------
    WeightsError
        If the weights cannot be had.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.model_encoder import encoder_for
    from napari_oneshot_lmk.encoders.select import instant_encoder
    from napari_oneshot_lmk.training.run_folder import RunFolder

    folder = RunFolder(run)
    if weights is None and folder.run_path.is_file() and folder.finished is not None:
        return encoder_for(TrainedModel.load(run), None, device)
    return instant_encoder(weights, device)
