"""In which order an epoch goes through images, copies and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from napari_oneshot_lmk.training.preset import TrainingSettings

COPIES_AN_IMAGE = 0.5
"""Copies of the template beside each unlabelled image, where a step holds both."""

TEMPLATE_STAGE = "template"
LABEL_STAGE = "pseudo-labels"
SELF_STAGE = "self-supervised"


@dataclass(frozen=True)
class StepPlan:
    """What one step of the optimiser reads.

    Parameters
    ----------
    stage : str
        Train-Template, Train-PL, both at once, or CC2D's self-supervision.
    images : tuple of int
        Unlabelled images.
    copies : tuple of int
        Of the template.
    landmarks : tuple of int
        Of the network: its adapters.
    """

    stage: str
    images: tuple[int, ...]
    copies: tuple[int, ...]
    landmarks: tuple[int, ...]

    def pieces(self, count: int) -> list[StepPlan]:
        """Split it into up to ``count`` smaller ones, for want of memory."""
        parts = zip(_split(self.images, count), _split(self.copies, count), strict=True)
        cut = [replace(self, images=i, copies=c) for i, c in parts]
        return [plan for plan in cut if plan.images or plan.copies]


def epoch_plan(
    settings: TrainingSettings,
    key: Sequence[int],
    *,
    images: int,
    copies: int,
    landmarks: int,
    joint: bool = False,
    processes: int = 1,
) -> list[StepPlan]:
    """Plan one epoch: Train-Template and Train-PL (paper, section 2.1).

    Parameters
    ----------
    settings : TrainingSettings
        Batch, and whether a step holds all landmarks.
    key : sequence of int
        Seed, network, epoch: all that the order depends on. A training that is
        resumed makes the same plan again.
    images, copies, landmarks : int
        How many there are; copies are 0 without a template stage.
    joint : bool
        CC2D's self-supervision: images alone, no landmarks.
    processes : int
        That train together, a batch each: the plan is that of one process with a
        batch as large as theirs together.
    """
    random = np.random.default_rng([*key, 2])
    batch = settings.batch * processes
    order = random.permutation(images).tolist()
    everything = tuple(range(landmarks))
    if joint:
        return [StepPlan(SELF_STAGE, c, (), ()) for c in _chunks(order, batch)]
    if settings.together:
        beside = round(batch * COPIES_AN_IMAGE) or 1
        plans = []
        for chunk in _chunks(order, batch):
            chosen = random.integers(copies, size=beside).tolist() if copies else ()
            plans.append(StepPlan(LABEL_STAGE, chunk, tuple(chosen), everything))
        return plans
    shuffled = random.permutation(copies).tolist()
    first = [
        StepPlan(TEMPLATE_STAGE, (), chunk, (landmark,))
        for chunk in _chunks(shuffled, batch)
        for landmark in everything
    ]
    then = [
        StepPlan(LABEL_STAGE, chunk, (), (landmark,))
        for chunk in _chunks(order, batch)
        for landmark in everything
    ]
    # Landmarks in random order, one a batch (ambiguity 24 of docs/method.md).
    return [stage[i] for stage in (first, then) for i in random.permutation(len(stage))]


def _chunks(order: list[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(order[i : i + size]) for i in range(0, len(order), size)]


def _split(items: tuple[int, ...], count: int) -> list[tuple[int, ...]]:
    edges = np.linspace(0, len(items), count + 1).round().astype(int).tolist()
    return [items[a:b] for a, b in pairwise(edges)]
