"""Where the whole body may lie: poses that most landmarks vote for.

Fingers look alike, and so do teeth and vertebrae. Where most landmarks of a finger are
found on its neighbour they confirm one another, and a robust fit from the single best
peaks does not recover. So a few whole-body poses, each fixed by two landmarks' candidate
peaks, are rated with all maps at once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_oneshot_lmk.matching.peaks import find_candidates, nearest_cells, pool_maxima

CANDIDATES = 5
"""Peaks of each map that may fix a pose."""
TRIALS = 4000
"""Pairs of candidates tried; drawn with a fixed seed."""
LARGEST_TURN = 0.35
"""Radians, about 20 degrees."""
LARGEST_SCALE = 4 / 3
TOLERANCE = 0.12
"""Standard deviation of a landmark around its place in a pose, in template sizes."""
PATIENCE = 6.0
"""Log-similarity below a map's best that a landmark in a wrong place costs at most."""
POOLED_CELLS = 4


class PoseTrials(nn.Module):
    """Pairs of landmarks and of their candidate peaks, each fixing a pose.

    ``plane_yx`` are the template's landmarks in its isotropic plane, (N, 2), ``size`` its
    size there.
    """

    plane_yx: Tensor
    pairs: Tensor
    picks: Tensor

    def __init__(self, plane_yx: NDArray[np.float64], size: float) -> None:
        super().__init__()
        count = len(plane_yx)
        rng = np.random.default_rng(0)
        first = rng.integers(0, count, TRIALS) if count > 1 else np.empty(0, int)
        second = (first + rng.integers(1, count, TRIALS)) % count if count > 1 else first
        template = plane_yx @ np.array([1, 1j])
        # A short base would turn a pixel of error into a large rotation.
        long_enough = np.abs(template[second] - template[first]) > 0.7 * size
        first, second = first[long_enough], second[long_enough]
        picks = [rng.integers(0, CANDIDATES, len(first)) for _ in range(2)]
        self.register_buffer("plane_yx", torch.from_numpy(plane_yx))
        self.register_buffer("pairs", torch.from_numpy(np.stack([first, second])))
        self.register_buffer("picks", torch.from_numpy(np.stack(picks)))
        self._size = size

    def best(
        self, log_maps: Tensor, stride: int, pixel_size_yx: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """Find the similarity transforms of the template that fit the maps best.

        Returns at most ``count`` poses, (P, N, 2) float64 in network pixels, best first,
        and (P,) whether they are plausible: those that turn or scale the template too far
        come last. There is none where no two landmarks are far enough apart to fix one.
        """
        candidates = find_candidates(log_maps, stride, CANDIDATES) * pixel_size_yx
        planes, plausible = self._through_pairs(candidates)
        poses = planes / pixel_size_yx
        if self.pairs.shape[1] == 0:
            return poses, plausible
        blurred = _best_nearby(log_maps, stride, TOLERANCE * self._size / pixel_size_yx)
        votes = _votes(poses, blurred, stride * POOLED_CELLS)
        votes = torch.where(plausible, votes, -math.inf)
        best = torch.argsort(votes, descending=True, stable=True)[:count]
        return poses[best], plausible[best]

    def _through_pairs(self, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N, 2) template landmarks under transforms fixed by two candidates.

        A similarity transform of the plane is a multiplication and an addition of
        complex numbers.
        """
        first, second = self.pairs
        template = torch.complex(self.plane_yx[:, 0], self.plane_yx[:, 1])
        found = torch.complex(candidates[..., 0], candidates[..., 1])
        source = found[first, self.picks[0]]
        target = found[second, self.picks[1]]
        factor = (target - source) / (template[second] - template[first])
        scale = factor.abs().clamp_min(1e-9).log().abs()
        plausible = (scale < math.log(LARGEST_SCALE)) & (factor.angle().abs() < LARGEST_TURN)
        placed = source[:, None] + factor[:, None] * (template[None] - template[first][:, None])
        return torch.stack([placed.real, placed.imag], -1), plausible


def _best_nearby(log_maps: Tensor, stride: int, spread_yx: Tensor) -> Tensor:
    """Best of (value minus Gaussian penalty of the distance), on a coarse grid.

    The penalty separates, so each axis is one maximum over all shifts.
    """
    pooled = pool_maxima(log_maps, POOLED_CELLS)
    for axis in (0, 1):
        cells = torch.arange(pooled.shape[axis + 1], device=pooled.device)
        step = (stride * POOLED_CELLS / spread_yx[axis]).float().to(pooled.device)
        penalty = 0.5 * ((cells[:, None] - cells[None]) * step) ** 2
        # The other axis is last in memory: whole runs of it are compared.
        rows = pooled.movedim(axis + 1, 1).contiguous()
        best = (rows[:, None] - penalty[:, :, None]).amax(2)
        pooled = best.movedim(1, axis + 1)
    return pooled


def _votes(poses: Tensor, blurred: Tensor, stride: int) -> Tensor:
    """(P,) sum of all landmarks' votes for each pose, float64."""
    rows, columns = nearest_cells(poses, stride, blurred)
    maps = blurred.cpu()
    votes = maps[torch.arange(len(maps))[None], rows, columns]
    least = maps.amax((1, 2)) - PATIENCE
    return torch.maximum(votes, least).double().sum(1)
