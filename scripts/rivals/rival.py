"""What every rival is: a network, the loss of a step, and where it finds landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from rivals.loop import Schedule
from rivals.matching import cell_of, highest_cells, product_of_cosines
from rivals.study import SIDE, STRIDES, Query, Study


@dataclass(frozen=True)
class Options:
    """What differs from the published settings, to fit a small computer."""

    width: float = 1.0
    """Multiplies the channels of all trained layers; 1: as published."""
    points: int = 1
    """Points of a patch that a step compares; 1: as published."""
    batch: int | None = None
    """Images a step, instead of the published number."""
    learning_rate: float | None = None
    """Instead of the published one."""
    copies: int = 500
    """Augmented copies of the template, for FM-OSD."""
    crops: int | None = None
    """Crops of a copy that a step of FM-OSD's fine stage sees, instead of one per landmark."""
    dino_weights: Path | None = None
    """File of DINO's ViT-S/8, for FM-OSD."""
    candidates: int = 3
    """Cells that FM-OSD matches back."""


class Rival:
    """A published system.

    Parameters
    ----------
    study : Study
        All that it may see.
    options : Options
    trained : callable
        Returns another rival by its name, trained: one that this one builds upon.
    """

    name: ClassVar[str]
    """In commands and tables."""
    title: ClassVar[str]
    """In words."""
    schedule: ClassVar[Schedule]
    """Published."""
    source: ClassVar[str]
    """The publication."""
    needs_dino: ClassVar[bool] = False
    """Whether it reads DINO's weights, which do not come with this project."""

    network: nn.Module
    """With all that is trained."""

    def __init__(
        self, study: Study, options: Options, trained: Callable[[str], Rival] | None = None
    ) -> None:
        self.study, self.options = study, options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(study.seed)
            self.network = self.build(trained).to(study.device)

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.options.batch or self.schedule.batch

    def build(self, trained: Callable[[str], Rival] | None) -> nn.Module:
        """Return the network."""
        raise NotImplementedError

    def prepare(self, tell: Callable[[int, int], None]) -> None:
        """Do what the training needs and its budget does not count; call ``tell`` on the way."""

    def loss(self, generator: torch.Generator) -> Tensor:
        """Return the loss of one step; what is random is drawn from the generator."""
        raise NotImplementedError

    def locate(self, query: Query) -> Tensor:
        """Return the landmarks (N, 2) of an image, in pixels of the network's grid."""
        raise NotImplementedError


class EmbeddingRival(Rival):
    """A rival that compares each cell's embeddings with those of the template's landmarks."""

    strides: ClassVar[tuple[int, ...]] = STRIDES
    """Of the levels of its embeddings."""

    @cached_property
    def anchors(self) -> list[Tensor]:
        """Embeddings (N, E) of the template's landmarks on each level, of its whole image."""
        read = []
        levels = self._embed(self.study.template_pixels)
        for level, stride in zip(levels, self.strides, strict=True):
            each = torch.full((2,), 1 / stride, device=level.device)
            rows, columns = cell_of(self.study.template_yx, each, level.shape[-2:]).unbind(1)
            read.append(level[:, rows, columns].T)
        return read

    def locate(self, query: Query) -> Tensor:
        """Return the cell where the product of all levels' similarities is highest."""
        levels = self._embed(query.pixels)
        return highest_cells(product_of_cosines(levels, self.anchors, (SIDE, SIDE))).float()

    def _embed(self, pixels: Tensor) -> list[Tensor]:
        """Return the embeddings (E, h, w) of one image, a level each."""
        raise NotImplementedError
