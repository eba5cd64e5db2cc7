"""From feature maps to one log-similarity map per landmark.

CC2D's cascade, the product of the cosine maps of all levels, as a sum of logarithms: a
landmark's map is the sum over levels of the log of the cosine between the template's
feature at the landmark and the query's feature at each cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import FeaturePyramid

SMALLEST_COSINE = 1e-2
"""Cosines below it count as this, so that no single level decides alone."""


@dataclass(frozen=True)
class Descriptors:
    """Features of a set of landmarks."""

    vectors: tuple[Tensor, ...]
    """One (N, C) float32 tensor per level, rows of unit length."""
    strides: tuple[int, ...]
    """Of the levels, in the same order."""


def sample_features(feature_map: Tensor, points_yx: Tensor, stride: int) -> Tensor:
    """Read features at sub-pixel points, bilinear between cell centres.

    The map is (C, h, w), the points (N, 2) in pixels of the network's grid, the result
    (N, C) float32. Cell (i, j) is centred on pixel ``stride * (i + 0.5) - 0.5``.

    Examples
    --------
    >>> feature_map = torch.arange(6.0).reshape(1, 2, 3)
    >>> sample_features(feature_map, torch.tensor([[0.5, 2.5], [0.5, 3.5]]), stride=2)
    tensor([[1.0000],
            [1.5000]])
    """
    extent_yx = points_yx.new_tensor(feature_map.shape[-2:]) * stride
    unit_yx = (2 * points_yx + 1) / extent_yx - 1
    grid_xy = unit_yx.flip(-1)[None, :, None].to(feature_map.device, torch.float32)
    found = F.grid_sample(
        feature_map[None].float(), grid_xy, padding_mode="border", align_corners=False
    )
    return found[0, :, :, 0].T


def describe_points(pyramid: FeaturePyramid, points_yx: Tensor) -> Descriptors:
    """Describe (N, 2) points, in network pixels, of the one image of a pyramid."""
    strides = tuple(level.stride for level in pyramid.levels)
    vectors = tuple(
        F.normalize(sample_features(one_map[0], points_yx, stride), dim=1)
        for one_map, stride in zip(pyramid.maps, strides, strict=True)
    )
    return Descriptors(vectors, strides)


def shared_map_cosine(feature_map: Tensor, vectors: Tensor) -> Tensor:
    """Cosine between each landmark and each cell.

    The map is (C, h, w) of any float type, ``vectors`` (N, C) of unit length, the result
    (N, h, w) float32.

    Examples
    --------
    >>> feature_map = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])  # two channels, one row
    >>> shared_map_cosine(feature_map, torch.tensor([[1.0, 0.0]]))
    tensor([[[1., 0.]]])
    """
    height, width = feature_map.shape[-2:]
    cells = feature_map.permute(1, 2, 0).reshape(height * width, -1).float()
    length = torch.linalg.vector_norm(cells, dim=1).clamp_min(1e-6)
    # Each landmark's map is one run of memory: all that follows passes it several times.
    cosine: Tensor = (vectors @ cells.T).div_(length)
    return cosine.reshape(-1, height, width)


def log_similarity(pyramid: FeaturePyramid, descriptors: Descriptors) -> Tensor:
    """Return `sum_log_similarities` of the one image of a pyramid.

    The descriptors are from the same encoder. The result is (N, H / s, W / s) float32.
    """
    return log_similarities(pyramid, [descriptors])[0]


def log_similarities(
    pyramid: FeaturePyramid, templates: Sequence[Descriptors]
) -> tuple[Tensor, ...]:
    """Return `log_similarity` with each of several templates; the maps are read once for all."""
    cosines = [
        shared_map_cosine(feature_map[0], torch.cat(vectors))
        for feature_map, *vectors in zip(
            pyramid.maps, *(template.vectors for template in templates), strict=True
        )
    ]
    counts = [len(template.vectors[0]) for template in templates]
    maps = sum_log_similarities(cosines, templates[0].strides)
    return torch.split(maps, counts)


def combine_templates(maps: Iterable[Tensor], known: Tensor | None) -> Tensor:
    """Return the log of the mean similarity over several templates.

    A place that is very like one of the templates counts, though it is unlike the others:
    bodies differ, and so do images.

    Parameters
    ----------
    maps : iterable of Tensor, (N, h, w)
        Log-similarity with each template; the first knows every landmark.
    known : Tensor, (M, N), bool, or None
        Which landmarks each of the M templates knows; None: all.

    Returns
    -------
    Tensor, (N, h, w)

    Examples
    --------
    >>> maps = [torch.tensor([[[-1.0, -4.0]]]), torch.tensor([[[-5.0, -1.0]]])]
    >>> combine_templates(maps, None).round(decimals=2)
    tensor([[[-1.6700, -1.6400]]])
    """
    total, *others = maps
    if not others:
        return total
    if known is None:
        known = torch.ones(len(others) + 1, len(total), dtype=torch.bool)
    for each, row in zip(others, known[1:].to(total.device), strict=True):
        total = torch.logaddexp(total, each.masked_fill(~row[:, None, None], -torch.inf))
    return total - known.sum(0).log()[:, None, None].to(total.device)


def per_landmark_cosine(embeddings: Tensor, vectors: Tensor) -> Tensor:
    """Cosine between each landmark and each cell of its own map, (N, h, w) float32.

    The maps are (N, C, h, w), as adapters make them, ``vectors`` (N, C) of unit length.
    """
    maps = embeddings.float()
    length = torch.linalg.vector_norm(maps, dim=1).clamp_min(1e-6)
    product: Tensor = torch.einsum("nchw,nc->nhw", maps, vectors.float())
    cosine: Tensor = product / length
    return cosine


def sum_log_similarities(cosines: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """Sum over levels of the log cosine, on the finest level's grid.

    Levels are added from coarse to fine, each sum upsampled bilinearly to the next grid,
    so the cost is that of the finest level and a third more. Cosines of the same grid are
    multiplied before the logarithm.

    ``cosines`` are (N, h, w), one per level in the order of ``strides``. The result is
    (N, H / s, W / s) float32, s the finest stride; values are <= 0.
    """
    products: dict[int, Tensor] = {}
    for index in sorted(range(len(strides)), key=lambda i: -strides[i]):
        factor, stride = cosines[index].clamp_min(SMALLEST_COSINE), strides[index]
        products[stride] = products[stride].mul_(factor) if stride in products else factor
    total: Tensor | None = None
    for product in products.values():
        term = product.log_()
        if total is not None:
            term += F.interpolate(
                total[None], term.shape[-2:], mode="bilinear", align_corners=False
            )[0]
        total = term
    if total is None:
        raise ValueError("a pyramid without levels")
    return total
