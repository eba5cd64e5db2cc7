"""Uncertainty of a point: how far off it is expected to be, and where the true one lies.

Three signs are read that need no annotation: how widely the posterior spreads around the point,
how far the point lies from where the others expect it, and how like the template the image is
there. What they say about the error is learnt from generated phantoms, whose truth is known
(docs/benchmarks/score.md). All lengths are in units of the template's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import FeaturePyramid
from napari_oneshot_lmk.matching.peaks import cell_centres
from napari_oneshot_lmk.matching.shape import Expectation, ShapeModel
from napari_oneshot_lmk.matching.similarity import SMALLEST_COSINE, Descriptors, sample_features

SHARPNESS, LEVELS = 1.5, 6
"""Factor on the log-posterior before it is read as a probability, where an encoder has so many
levels."""
SHARPNESS_OF_MODELS = 0.5
"""Times this for models that do not tell theirs: maps of trained networks are sharper."""
LEAST_SPREAD = 0.005
CLARITY_OF_RADIUS = 0.9
"""Below it another place of the whole body is within what a radius of 90 % has to hold."""

LARGEST = 3.0
"""Errors and radii are not said to be larger: the body itself is about as large."""

# Fitted by scripts/fit_uncertainty.py; docs/benchmarks/score.md.
LOG_ERROR = (-1.606, 0.799, 0.166, -0.769)
"""Logarithm of the typical error: constant, and factors of the signs."""
MEAN = (1.332, 1.321)
"""Logarithm of the mean error from that of the typical one: constant and slope."""
RADIUS = (2.766, 1.549)
"""Logarithm of the radius that holds nine of ten true points, likewise."""
CHANCE = (-12.166, -4.102)
"""Log-odds of lying within `NEAR` of the true point, likewise."""
NEAR = 0.06
"""What counts as near: 2.6 mm on a lateral cephalogram, 5 mm on a hand."""
UNSURE_BELOW = 0.7
"""Points of a lower score are shown as unsure: at least three chances in ten are that they are not
near."""


def sharpness_for(levels: int) -> float:
    """Return the factor on the log-posterior of detection without training.

    Its maps are sums over an encoder's levels, which are neither independent, when the sum would be
    as sharp as it should be, nor the same, when their mean would be.
    """
    return SHARPNESS * math.sqrt(LEVELS / levels)


def read_signs(
    posterior: Tensor,
    points_yx: Tensor,
    expectation: Expectation,
    shape: ShapeModel,
    stride: int,
    similarity: Tensor,
    sharpness: float | Tensor,
) -> Tensor:
    """Read what points to a point's error.

    Parameters
    ----------
    posterior : Tensor, (N, h, w)
        And ``points_yx``, ``expectation``: of `ShapeModel.fit`.
    points_yx : Tensor, (N, 2), float64
    expectation : Expectation
    shape : ShapeModel
    stride : int
        Network pixels per cell.
    similarity : Tensor, (N,)
        Of `similarity_at`.
    sharpness : float or Tensor, (N,)
        Factor on the posterior; those of different detectors are not equally sharp.

    Returns
    -------
    Tensor, (N, 3), float64
        Logarithm of the mean distance of the posterior from the point, of one plus the squared
        standardised shape residual, and the similarity.
    """
    spread = log_spread(posterior, points_yx, shape, stride, sharpness)
    residual = (points_yx - expectation.points_yx) * shape.pixel_size_yx
    surprise = (residual**2).sum(1) / expectation.sd**2
    signs = (spread, surprise.log1p(), similarity.double().cpu())
    return torch.stack(signs, 1)


def log_spread(
    posterior: Tensor,
    points_yx: Tensor,
    shape: ShapeModel,
    stride: int,
    sharpness: float | Tensor,
) -> Tensor:
    """Return the logarithm of the mean distance of each posterior from its point, (N,) float64.

    Parameters as of `read_signs`.
    """
    factor = torch.as_tensor(sharpness).to(posterior).reshape(-1, 1)
    share = torch.softmax(factor * posterior.flatten(1), dim=1).view_as(posterior)
    offsets = []
    for axis, count in enumerate(posterior.shape[1:]):
        places = cell_centres(torch.arange(count, dtype=torch.float64), stride)
        apart = (places - points_yx[:, axis, None]) * shape.pixel_size_yx[axis] / shape.size
        offsets.append((apart**2).float().to(posterior.device))
    distance = (offsets[0][:, :, None] + offsets[1][:, None, :]).sqrt()
    return ((share * distance).sum((1, 2)).double().cpu() + LEAST_SPREAD).log()


def similarity_at(
    pyramid: FeaturePyramid, templates: Sequence[Descriptors], known: Tensor, points_yx: Tensor
) -> Tensor:
    """Return how like the template the image is at each point, (N,) float32.

    It is the mean logarithm of the cosine over the encoder's levels, with the most similar of the
    templates. ``known`` is (M, N) bool: which of the M templates knows which landmark.
    """
    each = []
    for descriptors in templates:
        cosines = [
            (F.normalize(sample_features(one_map[0], points_yx, stride), dim=1) * vectors).sum(1)
            for one_map, vectors, stride in zip(
                pyramid.maps, descriptors.vectors, descriptors.strides, strict=True
            )
        ]
        each.append(torch.stack(cosines).clamp_min(SMALLEST_COSINE).log().mean(0))
    every = torch.stack(each)
    return torch.where(known.to(every.device), every, every.new_full((), -math.inf)).amax(0)


def log_error(signs: Tensor) -> Tensor:
    """Return the logarithm of the typical error of points, (N,), from (N, 3) `read_signs`."""
    constant, *factors = LOG_ERROR
    return constant + signs @ torch.tensor(factors, dtype=signs.dtype)


def mean_error(log_errors: Tensor) -> Tensor:
    """Return the mean error that is expected where `log_error` is so large."""
    return (MEAN[0] + MEAN[1] * log_errors).exp().clamp_max(LARGEST)


def radius_of_90(log_errors: Tensor) -> Tensor:
    """Return the radius that holds nine of ten true points where `log_error` is so large."""
    return (RADIUS[0] + RADIUS[1] * log_errors).exp().clamp_max(LARGEST)


def chance_of_near(log_errors: Tensor) -> Tensor:
    """Return the chance that the true point lies within `NEAR`, where `log_error` is so large."""
    return (CHANCE[0] + CHANCE[1] * log_errors).sigmoid()
