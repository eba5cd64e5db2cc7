"""What the loop is to train, with everything that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.model_card import Method
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.checkpoint import Checkpoint
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.distributed.group import ALONE, World
from napari_oneshot_lmk.training.preset import Preset


def _nothing() -> Sequence[Path]:
    return ()


@dataclass(frozen=True)
class TrainingTask:
    """One training.

    Parameters
    ----------
    template : Template
        The only annotation that is ever read.
    images : TrainingSet
        Unlabelled images.
    preset : Preset
        All numbers.
    method : {"joint", "single", "fused"}
        One network without adapters on random points; one network a landmark; one
        network with an adapter a landmark.
    landmarks : tuple of str
        Those to train.
    template_stage : bool
        Whether copies of the template are trained on (C-ATD) or not (SLA).
    encoder : Encoder
        What instant detection reads; its maps after the poolings are trained on.
    seed : int
        Of everything random.
    features_folder : Path, optional
        For features that do not fit into memory.
    preview_images : callable
        Images on which each epoch's model is shown; asked anew each time.
    world : World
        The processes that train it together.
    packed_weights : Path, optional
        File of the encoder's weights in half precision, for the model to bring.
    """

    template: Template
    images: TrainingSet
    preset: Preset
    method: Method
    landmarks: tuple[str, ...]
    template_stage: bool
    encoder: Encoder
    seed: int = 0
    features_folder: Path | None = None
    preview_images: Callable[[], Sequence[Path]] = _nothing
    world: World = ALONE
    packed_weights: Path | None = None

    @cached_property
    def placed(self) -> tuple[str, ...]:
        """All landmarks of the template, trained or not, in its order."""
        return tuple(point.name for point in self.template.landmarks.placed)

    @cached_property
    def template_points_yx(self) -> NDArray[np.float64]:
        """Where they are, (N, 2) pixels of the network's grid."""
        placed = self.template.landmarks.with_points(self.template.landmarks.placed)
        return self.template.image.geometry.points_to_network(placed.positions_yx)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Places of the landmarks to train among the placed ones."""
        return tuple(self.placed.index(name) for name in self.landmarks)

    @property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """Rows that are trained together, one network each."""
        if self.method == "single":
            return tuple((row,) for row in self.rows)
        return (self.rows,)

    def unit_name(self, unit: int) -> str:
        """Return the landmark of a unit of its own, empty where all share one."""
        return self.placed[self.units[unit][0]] if self.method == "single" else ""


class CheckpointSink(Protocol):
    """Keeps what the loop hands over."""

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep the network of a landmark that is done."""

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the network of a landmark that was done before."""

    def save_model(self, model: TrainedModel) -> None:
        """Keep the finished model."""
