"""Pseudo-labels: where the model of the moment sees each landmark."""

from __future__ import annotations

from collections.abc import Sequence
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
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.first_pass import FINEST, TEMPLATE, EncodedImages
from napari_oneshot_lmk.training.task import TrainingTask

DOUBT = 0.045
"""Shape residual, as a part of the template's size, that halves a label's weight: 3 mm
on a lateral cephalogram (docs/method.md)."""
FARTHEST = 0.15
"""Residuals count no more than this in the criterion: a gross miss is one miss."""
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Points of all images.

    Parameters
    ----------
    points_yx : ndarray, (I, N, 2)
        Pixels of the network's grid, all placed landmarks, trained or not.
    residuals : ndarray, (I, N)
        Distance from where the other landmarks expect each, as a part of the
        template's size.
    """

    points_yx: Array
    residuals: Array

    def weights(self, weigh: bool) -> Array:
        """How much each is believed, (I, N) in 0..1."""
        if not weigh:
            return np.ones_like(self.residuals)
        return np.asarray(1 / (1 + (self.residuals / DOUBT) ** 2))

    def agreements(self, rows: Sequence[int]) -> Array:
        """Mean residual of some landmarks on each image, (I,).

        The criterion without annotations: landmarks that a network sees in the right
        places fit the shape that the others span. Points that drift together fit it,
        too (docs/benchmarks/training.md).
        """
        capped = np.minimum(self.residuals[:, list(rows)], FARTHEST)
        return np.asarray(capped.mean(1))

    def shift(self, before: PseudoLabels, pixel_size_yx: Array) -> float:
        """Median distance from earlier labels, in the unit of the pixel size."""
        displacement = (self.points_yx - before.points_yx) * pixel_size_yx
        return float(np.median(np.hypot(displacement[..., 0], displacement[..., 1])))

    def with_rows(self, rows: Sequence[int], other: PseudoLabels) -> PseudoLabels:
        """Take some landmarks from other labels."""
        points, residuals = self.points_yx.copy(), self.residuals.copy()
        points[:, list(rows)] = other.points_yx[:, list(rows)]
        residuals[:, list(rows)] = other.residuals[:, list(rows)]
        return PseudoLabels(points, residuals)


def initial_labels(task: TrainingTask, encoded: EncodedImages) -> PseudoLabels:
    """Labels before the first epoch: found by instant detection, or anywhere.

    Random ones lie anywhere in the frame, as published (ambiguity 17 of
    docs/method.md).
    """
    instant = PseudoLabels(
        np.stack(encoded.found_yx),
        _residuals(encoded, np.stack(encoded.found_yx), np.stack(encoded.expected_yx)),
    )
    if task.preset.labels.initial == "instant":
        return instant
    random = random_stream(task.seed, Stream.LABELS)
    shape_yx = task.template.image.geometry.network_shape_yx
    points = random.uniform(0, np.array(shape_yx) - 1.0, instant.points_yx.shape)
    anywhere = PseudoLabels(points, np.zeros_like(instant.residuals))
    return instant.with_rows(task.rows, anywhere)


def template_embeddings(
    task: TrainingTask, encoded: EncodedImages, network: LandmarkNetwork, rows: Sequence[int]
) -> tuple[Tensor, ...]:
    """Return what detection compares with: the template seen by a network.

    Returns
    -------
    tuple of Tensor, (1, K, E)
        Fine to coarse; of a network in evaluation mode.
    """
    points = torch.from_numpy(task.template_points_yx[list(rows)]).float()
    points = points.to(encoded.cache.device)
    adapters = adapters_of(network, len(rows))
    if task.method.detection_anchor(task.preset.training) == "patch":
        image = encoded.image(TEMPLATE).to(encoded.cache.device)
        size = task.preset.patch.size
        return embed_points_in_patches(network, task.encoder, image, adapters, points, size)
    maps = encoded.cache.batch([TEMPLATE])
    return embed_points(network, maps, adapters, points[None])


def adapters_of(network: LandmarkNetwork, count: int) -> list[int]:
    """Adapters of a network's landmarks in order: their own, or the only one."""
    if network.config.num_landmarks == 1:
        return [0] * count
    return list(range(count))


def infer_pseudo_labels(
    task: TrainingTask,
    encoded: EncodedImages,
    network: LandmarkNetwork,
    rows: Sequence[int],
    labels: PseudoLabels,
    index: int,
    anchors: tuple[Tensor, ...],
    dtype: torch.dtype = torch.float32,
) -> tuple[Array, Array]:
    """Infer-PL for one image (paper, section 2.1).

    Parameters
    ----------
    task, encoded
        What is trained on.
    network : LandmarkNetwork
        In evaluation mode.
    rows : sequence of int
        Landmarks that it sees; the others stay as instant detection sees them.
    labels : PseudoLabels
        Those of before: where to look.
    index : int
        Of the image.
    anchors : tuple of Tensor
        From `template_embeddings`.
    dtype : torch.dtype
        That the network computes in.

    Returns
    -------
    points_yx : ndarray, (N, 2)
        Pixels of the network's grid.
    residuals : ndarray, (N,)
        See `PseudoLabels`.
    """
    settings = task.preset.detection
    adapters = adapters_of(network, len(rows))
    with torch.inference_mode():
        maps = encoded.cache.batch([encoded.images[index].sha256])
        if settings.search_cells:
            places = torch.from_numpy(labels.points_yx[index, list(rows)])
            seen = local_log_similarity(
                network,
                maps,
                adapters,
                anchors,
                places.float().to(encoded.cache.device),
                settings.search_cells,
                dtype,
            )
        else:
            seen = network_log_similarity(network, maps, adapters, anchors)
        mixed = encoded.instant_map(index).to(seen.device)
        mixed[list(rows)] = seen + settings.instant_share * mixed[list(rows)]
        # The first time all may be anywhere; later they move little.
        known = torch.from_numpy(labels.points_yx[index])
        start = known if settings.search_cells else None
        found, expectation, _ = encoded.shape.fit(mixed, FINEST, start_yx=start)
    found_yx, expected_yx = found.numpy(), expectation.points_yx.numpy()
    return found_yx, _residuals(encoded, found_yx, expected_yx)


def _residuals(encoded: EncodedImages, found_yx: Array, expected_yx: Array) -> Array:
    offset = (found_yx - expected_yx) * encoded.shape.pixel_size_yx.numpy()
    return np.asarray(np.hypot(offset[..., 0], offset[..., 1]) / float(encoded.shape.size))
