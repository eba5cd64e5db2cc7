"""A small training that really learns: shifted images, a small network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from cli_scene import POINTS, SHAPE_YX, SHIFTS, SPACING_MM, save_image, scene, view

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Geometry
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training import train as training
from napari_oneshot_lmk.training.checkpoint import Checkpoint, KeptNetwork
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import Inspection, TrainingSet
from napari_oneshot_lmk.training.events import Event
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.task import TrainingTask

SMALL = {
    "network.width": 0.05,
    "network.adapter_channels": 2,
    "network.embedding_channels": 8,
    "network.lateral_channels": 8,
    "template_copies.count": 4,
    "patch.size": 128,
    "training.epochs": 2,
    "training.batch": 2,
    "training.precision": "float32",
}
SPACING_YX = (SPACING_MM, SPACING_MM)
SMALL_GRID_YX = (192, 192)
"""A quarter of the pixels, and of the time; files do not keep it."""


def scene_template(
    folder: Path,
    spacing_mm_yx: tuple[float, float] | None = None,
    grid_yx: tuple[int, int] = NETWORK_SHAPE_YX,
) -> Template:
    """Write three images whose content is moved into ``images``; annotate the unmoved one."""
    (folder / "images").mkdir()
    for name, shift in SHIFTS.items():
        save_image(folder / "images" / name, view(scene(), shift))
    pixels = view(scene(), (0, 0)).astype("float32")
    geometry = Geometry(SHAPE_YX, spacing_mm_yx, network_shape_yx=grid_yx)
    image = GrayImage(pixels, geometry, "template.png")
    return Template.create(image, Landmarks.from_positions(POINTS, image.name))


def small_task(
    folder: Path,
    method: str = "fused",
    template_stage: bool = True,
    grid_yx: tuple[int, int] = NETWORK_SHAPE_YX,
    **changes: object,
) -> TrainingTask:
    """Three images, three landmarks; settings are named with __ for the dot."""
    template = scene_template(folder, SPACING_YX, grid_yx)
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    config = TrainingConfig(
        method=method,
        preset=Preset.load("laptop").changed({**SMALL, **dotted}),
        template_stage=template_stage,
    )
    return TrainingTask(
        config=config.resolved(template, lambda: False),
        template=template,
        images=inspect(find_images([folder / "images"]), template, SPACING_YX),
        encoder=shipped_encoder("cpu"),
    )


def without_weights(folder: Path) -> dict[str, str]:
    """Environment of a child: one thread, the shipped encoder, and no network."""
    nothing = {name: str(folder / name) for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME")}
    # A proxy that refuses at once: nobody else's machine is asked.
    return {**nothing, "OMP_NUM_THREADS": "1", "https_proxy": "http://127.0.0.1:9"}


def inspect(
    files: Sequence[ImageFile], template: Template, spacing_mm_yx: Any = None
) -> TrainingSet:
    """Read all files, as a training does before it begins."""
    inspection = Inspection(template, spacing_mm_yx)
    for file in files:
        inspection.inspect(file)
    return inspection.result()


@dataclass(frozen=True)
class Job:
    """The arguments of one training, to be given again with changes."""

    template: Template
    images: Sequence[ImageFile]
    out: Path
    config: TrainingConfig
    encoder: Encoder
    previews: Sequence[Path] = ()
    overwrite: bool = False

    def but(self, **changes: Any) -> Job:
        """Change arguments, or fields of the configuration."""
        of_config = {k: v for k, v in changes.items() if k in TrainingConfig.model_fields}
        own = {k: v for k, v in changes.items() if k not in of_config}
        values = dict(self.config) | of_config
        return replace(self, config=TrainingConfig(**values), **own)


def train(
    job: Job, should_stop: Callable[[], bool] = lambda: False, **more: Any
) -> Iterator[Event]:
    """Train a job, or go on with it."""
    return training.train(
        *(job.template, job.images, job.out, job.config),
        encoder=job.encoder,
        previews=job.previews,
        overwrite=job.overwrite,
        should_stop=should_stop,
        **more,
    )


def assert_found(detector: Detector, task: TrainingTask, within_px: float = 4) -> None:
    """All landmarks lie about where each image shows them."""
    for image in task.images.usable:
        detector.set_image(task.images.read(image))
        found = detector.detect()
        for name, yx in POINTS.items():
            off = np.subtract(found[name].position_yx, np.add(yx, SHIFTS[image.name]))
            assert np.hypot(*off) < within_px, (image.name, name)


class Kept:
    """Keeps in memory what the loop hands over."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self.parts: dict[int, KeptNetwork] = {}
        self.model: TrainedModel | None = None

    def load(self) -> Checkpoint | None:
        return self.checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def save_part(self, index: int, network: KeptNetwork) -> None:
        self.parts[index] = network

    def load_part(self, index: int) -> KeptNetwork:
        return self.parts[index]

    def save_model(self, model: TrainedModel) -> None:
        self.model = model
