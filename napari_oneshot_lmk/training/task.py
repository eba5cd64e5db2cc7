"""What the training loop is to train, with everything that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.distributed.group import ALONE, ProcessGroup
from napari_oneshot_lmk.training.methods import TrainingMethod
from napari_oneshot_lmk.training.preset import Preset


@dataclass(frozen=True)
class TrainingTask:
    """One training; its configuration is resolved, the template is the only annotation."""

    config: TrainingConfig
    template: Template
    images: TrainingSet
    encoder: Encoder
    features_folder: Path | None = None
    """For features that do not fit into memory."""
    preview_images: Callable[[], Sequence[Path]] = tuple
    """Images in which each epoch's model finds the landmarks; called anew each time."""
    group: ProcessGroup = ALONE
    """The processes that train it together."""
    packed_weights: Path | None = None
    """File of the encoder's weights in half precision, to be put into the model."""

    @property
    def preset(self) -> Preset:
        """All numbers."""
        return self.config.numbers

    @property
    def method(self) -> TrainingMethod:
        """Which networks are trained."""
        return self.config.training_method

    @cached_property
    def placed(self) -> tuple[str, ...]:
        """All placed landmarks of the template, trained or not, in its order."""
        return tuple(point.name for point in self.template.landmarks.placed)

    @cached_property
    def template_points_yx(self) -> NDArray[np.float64]:
        """Where they are, (N, 2) pixels of the network's grid."""
        placed = self.template.landmarks.with_points(self.template.landmarks.placed)
        return self.template.image.geometry.points_to_network(placed.positions_yx)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Indices of the landmarks to train among the placed ones."""
        return tuple(self.placed.index(name) for name in self.config.landmarks)

    @property
    def landmark_groups(self) -> tuple[tuple[int, ...], ...]:
        """Rows of the landmarks that are trained together, one network per group."""
        return self.method.groups(self.rows)

    def network_name(self, index: int) -> str:
        """Return the landmark of a network of its own, empty where all share one."""
        return self.placed[self.landmark_groups[index][0]] if self.method.per_landmark else ""
