"""Where the whole body may lie: poses that many landmarks vote for.

Fingers look alike, and so do teeth and vertebrae. When most landmarks of a
finger settle on its neighbour they confirm one another, and a robust fit that
starts from the single best peaks never leaves. So a few whole-body poses,
each fixed by two landmarks' candidate peaks, are scored with all maps at once.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

CANDIDATES = 5
"""Peaks of each map that may fix a pose."""
TRIALS = 4000
"""Pairs of candidates tried; drawn with a fixed seed."""
LARGEST_TURN = 0.35
"""Radians, about 20 degrees."""
LARGEST_SCALE = 4 / 3
TOLERANCE = 0.12
"""How far a landmark may lie from its place in a pose, as a standard deviation in
template sizes."""
PATIENCE = 6.0
"""Log-similarity below a map's best that a landmark in a wrong place costs at most."""
POOLED_CELLS = 4


def likely_poses(
    log_maps: Tensor,
    stride: int,
    plane_yx: Array,
    pixel_size_yx: Array,
    size: float,
    count: int,
) -> Array:
    """Find the similarity transforms of the template that fit the maps best.

    Parameters
    ----------
    log_maps : Tensor, (N, h, w)
        Log-similarity of each landmark.
    stride : int
        Network pixels per cell.
    plane_yx : ndarray, (N, 2)
        The template's landmarks in its isotropic plane.
    pixel_size_yx : ndarray, (2,)
        Size of a network pixel in that plane.
    size : float
        The template's size in that plane.
    count : int
        At most so many poses.

    Returns
    -------
    ndarray, (P, N, 2)
        Landmarks of each pose in network pixels, best first. Empty where no two
        landmarks are far enough apart to fix one.
    """
    candidates = _candidates(log_maps, stride) * pixel_size_yx
    poses = _poses_through_pairs(plane_yx, candidates, size) / pixel_size_yx
    if len(poses) == 0:
        return poses
    spread = TOLERANCE * size / pixel_size_yx
    blurred = _best_nearby(log_maps, stride, spread)
    votes = _votes(poses, blurred, stride * POOLED_CELLS)
    best = np.argsort(-votes, kind="stable")[:count]
    return np.asarray(poses[best])


def _candidates(log_maps: Tensor, stride: int) -> Array:
    """(N, K, 2) local maxima of each map, highest first, in network pixels."""
    # A square maximum is two maxima along lines, at a fourth of the cost.
    in_columns = F.max_pool2d(log_maps[None], (9, 1), stride=1, padding=(4, 0))
    highest_around = F.max_pool2d(in_columns, (1, 9), stride=1, padding=(0, 4))[0]
    lowest = log_maps.amin((1, 2), keepdim=True) - 1
    tops = torch.where(log_maps == highest_around, log_maps, lowest)
    cells = tops.flatten(1).topk(min(CANDIDATES, tops[0].numel())).indices.cpu()
    width = log_maps.shape[-1]
    cells_yx = torch.stack([cells // width, cells % width], -1).double().numpy()
    return np.asarray(stride * (cells_yx + 0.5) - 0.5)


def _poses_through_pairs(plane_yx: Array, candidates: Array, size: float) -> Array:
    """(P, N, 2) template landmarks under transforms fixed by two candidates.

    A similarity transform of the plane is a multiplication and an addition of
    complex numbers.
    """
    landmarks, peaks_each = candidates.shape[:2]
    if landmarks < 2:
        return np.empty((0, landmarks, 2))
    rng = np.random.default_rng(0)
    first = rng.integers(0, landmarks, TRIALS)
    second = (first + rng.integers(1, landmarks, TRIALS)) % landmarks
    template = plane_yx @ np.array([1, 1j])
    found = candidates @ np.array([1, 1j])
    # A short base would turn a pixel of error into a large rotation.
    long_enough = np.abs(template[second] - template[first]) > 0.7 * size
    first, second = first[long_enough], second[long_enough]
    from_here = found[first, rng.integers(0, peaks_each, len(first))]
    to_there = found[second, rng.integers(0, peaks_each, len(first))]
    factor = (to_there - from_here) / (template[second] - template[first])
    likely = np.abs(np.log(np.maximum(np.abs(factor), 1e-9))) < np.log(LARGEST_SCALE)
    likely &= np.abs(np.angle(factor)) < LARGEST_TURN
    factor, from_here, anchor = factor[likely], from_here[likely], first[likely]
    placed = from_here[:, None] + factor[:, None] * (
        template[None] - template[anchor][:, None]
    )
    return np.stack([placed.real, placed.imag], -1)


def _best_nearby(log_maps: Tensor, stride: int, spread_yx: Array) -> Tensor:
    """Best of (value minus Gaussian penalty of the distance), on a coarse grid.

    The penalty separates, so each axis is one maximum over all shifts.
    """
    pooled = F.max_pool2d(log_maps[None], POOLED_CELLS)[0]
    for axis in (0, 1):
        cells = torch.arange(pooled.shape[axis + 1], device=pooled.device)
        away = (cells[:, None] - cells[None]) * float(
            stride * POOLED_CELLS / spread_yx[axis]
        )
        rows = pooled.movedim(axis + 1, -1)
        best = (rows[..., None, :] - 0.5 * away.float() ** 2).amax(-1)
        pooled = best.movedim(-1, axis + 1)
    return pooled


def _votes(poses: Array, blurred: Tensor, stride: int) -> Array:
    """(P,) sum of all landmarks' votes for each pose."""
    limits = np.array(blurred.shape[-2:]) - 1
    cells = np.rint((poses + 0.5) / stride - 0.5).astype(np.int64)
    rows, columns = np.moveaxis(np.clip(cells, 0, limits), -1, 0)
    maps = blurred.cpu().numpy()
    votes = maps[np.arange(len(maps))[None], rows, columns]
    least = maps.max((1, 2)) - PATIENCE
    return np.asarray(np.maximum(votes, least).sum(1), dtype=np.float64)
