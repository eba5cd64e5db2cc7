"""Pseudo-labels: where the model of the moment sees each landmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.matching.embeddings import (
    embed_points,
    embed_points_in_patches,
    local_log_similarity,
    network_log_similarity,
)
from napari_oneshot_lmk.matching.heatmaps import heatmap_log_similarity
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork, Network
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.first_pass import FINEST, TEMPLATE, EncodedImages
from napari_oneshot_lmk.training.task import TrainingTask

HALF_WEIGHT_RESIDUAL = 0.045
"""Shape residual, as a fraction of the template's size, that halves a label's weight: 3 mm
on a lateral cephalogram (docs/method.md)."""
LARGEST_RESIDUAL = 0.15
"""Residuals count no more than this in the criterion: a gross error counts as one error."""
DRIFT = 0.008
"""Common displacement, as a fraction of the template's size, that counts as drift."""
FURTHER = 0.004
"""Mean increase, as such a fraction, of the distance from where the others expect a landmark, that
counts as worse: with many images a tenth of a millimetre on a head is more than chance."""
FEWEST_OF_DRIFT = 10
"""Fewer images say nothing of all."""
HALF_HELD_IMAGES = 5
"""Images of which half of a common displacement is taken back."""
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Points of all images."""

    points_yx: Array
    """(I, N, 2) pixels of the network's grid, all placed landmarks, trained or not."""
    residuals: Array
    """(I, N) distance from where the other landmarks expect each, as a fraction of the
    template's size."""

    def weights(self, weigh: bool) -> Array:
        """Return the weight of each in the loss, (I, N) in 0..1."""
        if not weigh:
            return np.ones_like(self.residuals)
        return np.asarray(1 / (1 + (self.residuals / HALF_WEIGHT_RESIDUAL) ** 2))

    def agreements(self, rows: Sequence[int]) -> Array:
        """Mean residual of some landmarks on each image, (I,).

        The criterion without annotations: landmarks that a network sees in the right
        places fit the shape that the others span. Points that drift together fit it,
        too (docs/benchmarks/training.md).
        """
        capped = np.minimum(self.residuals[:, list(rows)], LARGEST_RESIDUAL)
        return np.asarray(capped.mean(1))

    def shift(self, before: PseudoLabels, pixel_size_yx: Array) -> float:
        """Median distance from earlier labels, in the unit of the pixel size."""
        displacement = (self.points_yx - before.points_yx) * pixel_size_yx
        return float(np.median(np.hypot(displacement[..., 0], displacement[..., 1])))

    def held_to(self, instant: PseudoLabels) -> PseudoLabels:
        """Take back what all labels of a landmark have moved together (docs/method.md).

        The median displacement from the labels of instant detection is subtracted. Its own error
        is larger with few images, of which it takes back less.
        """
        count = len(self.points_yx)
        shift_yx = np.median(self.points_yx - instant.points_yx, axis=0)
        moved = self.points_yx - shift_yx * count / (count + HALF_HELD_IMAGES)
        return PseudoLabels(moved, self.residuals)

    def drifted(self, instant: PseudoLabels, size_px_yx: Array) -> Array:
        """Say which landmarks' labels have moved all together, (N,) bool.

        Which is so where the median displacement from the labels of instant detection is more
        than three of its standard errors, and a part of the template's size that no training does
        that is held (docs/benchmarks/training.md).

        Parameters
        ----------
        instant : PseudoLabels
        size_px_yx : (2,)
            The template's size in pixels of the network's grid.
        """
        if len(self.points_yx) < FEWEST_OF_DRIFT:
            return np.zeros(self.points_yx.shape[1], dtype=bool)
        displacement = (self.points_yx - instant.points_yx) / size_px_yx
        shift = np.median(displacement, axis=0)
        spread = np.median(np.hypot(*np.moveaxis(displacement - shift, -1, 0)), axis=0)
        # Of a median along an axis, from the median distance in the plane (both of a Gaussian).
        error = 1.25 * spread / 1.18 / np.sqrt(len(displacement))
        return np.asarray(np.hypot(*shift.T) > np.maximum(DRIFT, 3 * error))

    def made_worse(self, instant: PseudoLabels, shape: ShapeModel) -> Array:
        """Say which landmarks a network sees worse than instant detection does, (N,) bool.

        No annotation is read. They have drifted, or, image by image, they lie further from where
        the other landmarks expect them than instant detection's points do: by more than chance,
        three standard errors of the mean difference, and by more than `FURTHER`.

        Parameters
        ----------
        instant : PseudoLabels
        shape : ShapeModel
        """
        drifted = self.drifted(instant, (shape.size / shape.pixel_size_yx).numpy())
        if len(self.points_yx) < FEWEST_OF_DRIFT:
            return drifted
        # Both are compared with the same expectation, that of these labels.
        expected_yx = shape.expect(torch.from_numpy(self.points_yx)).points_yx.numpy()
        own, before = (
            np.minimum(_residuals(shape, points_yx, expected_yx), LARGEST_RESIDUAL)
            for points_yx in (self.points_yx, instant.points_yx)
        )
        further = own - before
        error = further.std(axis=0, ddof=1) / np.sqrt(len(further))
        return np.asarray(drifted | (further.mean(0) > np.maximum(FURTHER, 3 * error)))

    def with_rows(self, rows: Sequence[int], other: PseudoLabels) -> PseudoLabels:
        """Take some landmarks from other labels."""
        points, residuals = self.points_yx.copy(), self.residuals.copy()
        points[:, list(rows)] = other.points_yx[:, list(rows)]
        residuals[:, list(rows)] = other.residuals[:, list(rows)]
        return PseudoLabels(points, residuals)


def initial_labels(task: TrainingTask, encoded: EncodedImages) -> PseudoLabels:
    """Labels before the first epoch: found by instant detection, or random.

    Random ones lie anywhere in the frame, as published (ambiguity 17 of docs/method.md). A network
    that draws heatmaps has nothing but its labels to learn from: it begins with found ones.
    """
    instant = instant_labels(encoded)
    if task.preset.labels.initial == "instant" or task.method.draws_heatmaps:
        return instant
    random = random_stream(task.config.seed, Stream.LABELS)
    shape_yx = task.template.image.geometry.network_shape_yx
    points = random.uniform(0, np.array(shape_yx) - 1.0, instant.points_yx.shape)
    anywhere = PseudoLabels(points, np.zeros_like(instant.residuals))
    return instant.with_rows(task.rows, anywhere)


def instant_labels(encoded: EncodedImages) -> PseudoLabels:
    """Labels where detection without training finds the landmarks."""
    found = np.stack([instant.found_yx for instant in encoded.instants])
    expected = np.stack([instant.expected_yx for instant in encoded.instants])
    return PseudoLabels(found, _residuals(encoded.shape, found, expected))


def adapters_of(network: Network, count: int) -> list[int]:
    """Adapters of a network's landmarks in order: one each, or the only one for all."""
    return [0] * count if network.config.num_landmarks == 1 else list(range(count))


def _template_embeddings(
    task: TrainingTask, encoded: EncodedImages, network: LandmarkNetwork, rows: Sequence[int]
) -> tuple[Tensor, ...]:
    """Return what detection compares with, fine to coarse, (1, K, E) each."""
    device = encoded.cache.device
    points = torch.from_numpy(task.template_points_yx[list(rows)]).float().to(device)
    adapters = adapters_of(network, len(rows))
    if task.method.detection_anchor(task.preset.training) == "patch":
        image, size = encoded.image(TEMPLATE).to(device), task.preset.patch.size
        return embed_points_in_patches(network, task.encoder, image, adapters, points, size)
    return embed_points(network, encoded.cache.batch([TEMPLATE]), adapters, points[None])


def infer_pseudo_labels(
    task: TrainingTask,
    encoded: EncodedImages,
    network: Network,
    rows: Sequence[int],
    labels: PseudoLabels,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[Array, Array]]:
    """Infer-PL (paper, section 2.1): points and residuals of each image of this shard.

    The network, in evaluation mode, sees the landmarks ``rows``; the others stay as instant
    detection sees them. ``labels`` are those before: where to look. Yields points (N, 2) in
    network pixels and residuals (N,), see `PseudoLabels`.
    """
    settings, device = task.preset.detection, encoded.cache.device
    rows, adapters = list(rows), adapters_of(network, len(rows))
    anchors: tuple[Tensor, ...] = ()
    if isinstance(network, LandmarkNetwork):
        with torch.inference_mode():
            anchors = _template_embeddings(task, encoded, network, rows)

    def infer(index: int) -> tuple[Array, Array]:
        maps = encoded.cache.batch([encoded.images[index].sha256])
        known, start = torch.from_numpy(labels.points_yx[index]), None
        if isinstance(network, HeatmapNetwork):
            seen = heatmap_log_similarity(network, maps, adapters, dtype)
        elif settings.search_cells:
            places = known[rows].float().to(device)
            cells = settings.search_cells
            seen = local_log_similarity(network, maps, adapters, anchors, places, cells, dtype)
            start = known
        else:
            # The first labels may be anywhere: the whole image is searched.
            seen = network_log_similarity(network, maps, adapters, anchors)
        mixed = encoded.instant_map(index).to(seen.device)
        mixed[rows] = seen + settings.instant_share * mixed[rows]
        found, expectation, _ = encoded.shape.fit(mixed, FINEST, start_yx=start)
        found_yx, expected_yx = found.numpy(), expectation.points_yx.numpy()
        return found_yx, _residuals(encoded.shape, found_yx, expected_yx)

    for index in task.group.shard(range(len(encoded.images))):
        with torch.inference_mode():
            inferred = infer(index)
        yield inferred


def _residuals(shape: ShapeModel, found_yx: Array, expected_yx: Array) -> Array:
    offset = (found_yx - expected_yx) * shape.pixel_size_yx.numpy()
    return np.asarray(np.hypot(offset[..., 0], offset[..., 1]) / float(shape.size))
