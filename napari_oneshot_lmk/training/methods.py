"""The methods that the paper compares: which networks they train, and what a step reads.

A new method is a subclass of `TrainingMethod` and a line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.config import NetworkConfig, Normalisation

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.preset import NetworkSettings, TrainingSettings

COPIES_PER_IMAGE = 0.5
"""Augmented templates beside each unlabelled image, where a batch holds both."""

TEMPLATE_STAGE = "template"
LABEL_STAGE = "pseudo-labels"
SELF_STAGE = "self-supervised"


@dataclass(frozen=True)
class Batch:
    """What one step of the optimiser reads, as indices."""

    stage: str
    """Train-Template, Train-PL (both, if it holds copies as well), or CC2D's self-supervision."""
    images: tuple[int, ...]
    """Unlabelled images."""
    copies: tuple[int, ...]
    """Augmented templates."""
    landmarks: tuple[int, ...]
    """Of the network: its adapters."""

    def split(self, count: int) -> list[Batch]:
        """Split it into up to ``count`` smaller batches, where memory is short."""
        parts = zip(_split(self.images, count), _split(self.copies, count), strict=True)
        pieces = [replace(self, images=i, copies=c) for i, c in parts]
        return [piece for piece in pieces if piece.images or piece.copies]


class TrainingMethod:
    """One method: what `TrainingConfig.method` names."""

    name: ClassVar[str]
    description: ClassVar[str]
    paper_name: ClassVar[str]
    title: ClassVar[str] = ""
    """In a form, which offers the methods that have a title."""
    per_landmark: ClassVar[bool] = False
    """Whether each landmark has a network of its own, which needs no other."""
    has_adapters: ClassVar[bool] = False
    """Whether a network has layers for each landmark."""
    self_supervised: ClassVar[bool] = False
    """Whether it learns from random points of patches, without pseudo-labels and template."""

    draws_heatmaps: ClassVar[bool] = False
    """Whether a network makes a map of each landmark instead of embeddings."""

    def groups(self, landmarks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return which landmarks are trained together, in one network per group."""
        return (tuple(landmarks),)

    def network_config(
        self, settings: NetworkSettings, encoder_channels: tuple[int, ...], landmarks: int
    ) -> NetworkConfig:
        """Return the network for so many landmarks on an encoder's five maps."""
        sizes = settings.model_dump()
        if not self.has_adapters:
            landmarks, sizes["adapter_channels"] = 1, 0
        return NetworkConfig(encoder_channels, landmarks, **sizes)

    def detection_anchor(self, settings: TrainingSettings) -> Literal["patch", "template"]:
        """Return what detection compares images with."""
        return "template" if self.self_supervised else settings.anchor

    def reads_patches(self, settings: TrainingSettings) -> bool:
        """Whether its steps cut patches from the images."""
        return self.self_supervised or settings.anchor == "patch"

    def holds_all(self, settings: TrainingSettings) -> bool:
        """Return whether a step holds all landmarks, and copies beside images."""
        return settings.together

    def batches(
        self,
        settings: TrainingSettings,
        random: np.random.Generator,
        *,
        images: int,
        copies: int,
        landmarks: int,
        processes: int = 1,
    ) -> list[Batch]:
        """Return the batches of one epoch: Train-Template and Train-PL (paper, section 2.1).

        The order depends only on ``random``, which is this epoch's. There are so many images,
        copies (0 without a template stage), landmarks and processes, which train together:
        a batch holds as many images as theirs together.
        """
        size = settings.batch * processes
        image_chunks = _shuffled_chunks(images, size, random)
        everything = tuple(range(landmarks))
        if self.holds_all(settings):
            beside = round(size * COPIES_PER_IMAGE) or 1
            batches = []
            for chunk in image_chunks:
                chosen = random.integers(copies, size=beside).tolist() if copies else ()
                batches.append(Batch(LABEL_STAGE, chunk, tuple(chosen), everything))
            return batches
        copy_chunks = _shuffled_chunks(copies, size, random)
        train_template = [
            Batch(TEMPLATE_STAGE, (), chunk, (k,)) for chunk in copy_chunks for k in everything
        ]
        train_pl = [
            Batch(LABEL_STAGE, chunk, (), (k,)) for chunk in image_chunks for k in everything
        ]
        # Landmarks in random order, one per batch (ambiguity 24 of docs/method.md).
        return [
            stage[i] for stage in (train_template, train_pl) for i in random.permutation(len(stage))
        ]


class Fused(TrainingMethod):
    """C-Adapter: one network for all landmarks, with adapters (paper, section 2.2)."""

    name = "fused"
    description = "one network for all landmarks with a small adapter for each"
    paper_name = "C-Adapter"
    title = "All landmarks, fused"
    has_adapters = True


class Single(TrainingMethod):
    """CC2D-SLA, with copies of the template C-ATD: one network per landmark."""

    name = "single"
    description = "one network per landmark"
    paper_name = "CC2D-SLA, C-ATD"
    title = "Single landmark"
    per_landmark = True

    def groups(self, landmarks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return each landmark alone."""
        return tuple((landmark,) for landmark in landmarks)


class Joint(TrainingMethod):
    """CC2D-SSL: one network for all landmarks, trained on random points."""

    name = "joint"
    description = "one network, trained on random points, without pseudo-labels"
    paper_name = "CC2D"
    self_supervised = True

    def batches(
        self,
        settings: TrainingSettings,
        random: np.random.Generator,
        *,
        images: int,
        copies: int,
        landmarks: int,
        processes: int = 1,
    ) -> list[Batch]:
        """Return batches of images alone."""
        chunks = _shuffled_chunks(images, settings.batch * processes, random)
        return [Batch(SELF_STAGE, chunk, (), ()) for chunk in chunks]


class Student(TrainingMethod):
    """CC2D's second stage: a network that draws where each landmark is, from pseudo-labels."""

    name = "student"
    description = "one network that draws a map of each landmark, trained on pseudo-labels"
    paper_name = "CC2D, second stage"
    draws_heatmaps = True

    def network_config(
        self, settings: NetworkSettings, encoder_channels: tuple[int, ...], landmarks: int
    ) -> NetworkConfig:
        """Return the decoder alone."""
        norm: Normalisation = "none" if settings.normalisation == "none" else "batch"
        return NetworkConfig(
            encoder_channels,
            landmarks,
            adapter_channels=0,
            width=settings.width,
            normalisation=norm,
            lateral_channels=settings.lateral_channels,
            rfb=False,
            head="heatmaps",
        )

    def reads_patches(self, settings: TrainingSettings) -> bool:
        """Whole images alone."""
        return False

    def holds_all(self, settings: TrainingSettings) -> bool:
        """Return true: it draws the maps of all landmarks anyway."""
        return True


class Instant(TrainingMethod):
    """No network at all: a fine stage follows what detection finds without training."""

    name = "instant"
    description = "detection without training, which a fine stage (--fine) follows"
    paper_name = "instant"

    def groups(self, landmarks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return nothing."""
        return ()

    def reads_patches(self, settings: TrainingSettings) -> bool:
        """There are no steps."""
        return False


METHODS: dict[str, TrainingMethod] = {
    method.name: method for method in (Fused(), Single(), Joint(), Student(), Instant())
}


def find_method(name: str) -> TrainingMethod:
    """Return the method of a name; raise `UsageError` if there is none."""
    if name not in METHODS:
        raise UsageError(f"there is no method {name!r}", remedy=f"use {', '.join(METHODS)}")
    return METHODS[name]


def _shuffled_chunks(count: int, size: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    order = random.permutation(count).tolist()
    return [tuple(order[i : i + size]) for i in range(0, count, size)]


def _split(items: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    edges = np.linspace(0, len(items), count + 1).round().astype(int).tolist()
    return [items[a:b] for a, b in pairwise(edges)]
