"""The shape step: each landmark is predicted from the others.

One template does not show how subjects vary, so variation is a Gaussian process over the
template's plane: a landmark's displacement from template to query is a shift, plus an
affine part, plus a smooth deformation, plus the landmark's own noise. The prediction
leaves the landmark itself out; robust weights keep a wrong point from moving its
neighbours. With one or two landmarks it is only "about the same place in the frame".

All lengths are relative, so nothing here needs millimetres. All of it is tensor code
without a branch on a tensor's value, but for shortcuts that `tracing` leaves out: a
detector can be exported as one TorchScript network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from napari_oneshot_lmk.matching.peaks import MapsUnderPriors, cell_centres, nearest_cells
from napari_oneshot_lmk.matching.poses import TOLERANCE, PoseTrials
from napari_oneshot_lmk.matching.variation import ShapeVariation

POSES = 3
"""Whole-body poses to start from beside the single best peaks."""
ITERATIONS = 20
"""Updates of the robust weights at most."""
ROUNDS = 3
"""Predictions and new peaks in turn."""
CONVERGED = 1e-3
"""Change of a weight that counts as none."""
LEAST_WEIGHT = 1e-3
PULL_FROM = 0.1
"""Distance, in template sizes, of a landmark that a person has placed from where the others expect
it, from which on they are moved with it."""
PULLS = 3
PULLED = 5.0
"""By how much more consistent (log) the moved points have to be to be taken."""


@dataclass(frozen=True)
class Expectation:
    """What the other landmarks predict for each landmark."""

    points_yx: Tensor
    """(..., N, 2) float64, pixels of the network's grid."""
    sd: Tensor
    """(..., N) float64, standard deviation in the units of the query's isotropic plane."""
    weights: Tensor
    """(..., N) float64 in 0..1, the robust weights of the found points."""

    def chosen(self, index: Tensor) -> Expectation:
        """Return one of several, by its index along the first axis, (1,) long."""
        each = (self.points_yx, self.sd, self.weights)
        return Expectation(*(values.index_select(0, index)[0] for values in each))


@dataclass(frozen=True)
class Decided:
    """What a person has decided on an image: the other landmarks are found given this."""

    points_yx: Tensor
    """(N, 2) float64, pixels of the network's grid; read only where ``held``."""
    held: Tensor
    """(N,) bool, landmarks that stay at these points and are trusted fully."""
    left_out: Tensor
    """(N,) bool, landmarks that are not on the image and predict nothing."""

    def hold(self, points_yx: Tensor) -> Tensor:
        """Put the held landmarks among (..., N, 2) points back in their place."""
        return torch.where(self.held[:, None], self.points_yx, points_yx)

    def trust(self, weights: Tensor) -> Tensor:
        """Replace the (..., N) robust weights of the landmarks that were decided."""
        weights = torch.where(self.held, torch.ones_like(weights), weights)
        return torch.where(self.left_out, torch.full_like(weights, LEAST_WEIGHT), weights)

    def show(self, log_maps: Tensor, stride: int) -> Tensor:
        """Return (N, h, w) maps with one peak where a landmark is held, none where left out."""
        ones = torch.ones(2, dtype=torch.float64)
        offsets = squared_offsets(self.points_yx, ones, ones[0] * stride, log_maps.shape, stride)
        rows, columns = (offset.float().to(log_maps.device) for offset in offsets)
        peaks = -0.5 * (rows[:, :, None] + columns[:, None, :])
        held, left_out = (m[:, None, None].to(log_maps.device) for m in (self.held, self.left_out))
        shown = torch.where(held, peaks, log_maps)
        return torch.where(left_out, torch.zeros_like(shown), shown)


class ShapeModel(nn.Module):
    """Predicts landmarks from one another and fits points to maps and shape.

    Its numbers are buffers in float64 on the CPU, wherever the maps lie.

    Parameters
    ----------
    points_yx : array_like, (N, 2)
        The template's landmarks, pixels of the network's grid.
    pixel_size_yx : array_like, (2,)
        Size of a network pixel of the template along (row, column), in any unit:
        only the ratio matters.
    network_shape_yx : tuple of int
        Size of the network's grid, the scale of a template of one point.
    variation : ShapeVariation, optional
    """

    pixel_size_yx: Tensor
    plane_yx: Tensor
    size: Tensor
    covariance: Tensor

    def __init__(
        self,
        points_yx: ArrayLike,
        pixel_size_yx: ArrayLike,
        network_shape_yx: tuple[int, int],
        variation: ShapeVariation | None = None,
    ) -> None:
        super().__init__()
        v = self.variation = variation or ShapeVariation()
        pixel_yx = np.asarray(pixel_size_yx, dtype=float)
        plane_yx = np.asarray(points_yx, dtype=float) * pixel_yx
        centred = plane_yx - plane_yx.mean(0)
        frame = float(np.hypot(*(np.array(network_shape_yx) * pixel_yx)))
        # Two points close together, or one, do not give the body's size.
        size = max(float(np.sqrt((centred**2).sum(1).mean())), frame / 8)
        places = centred / size
        distance2 = ((places[:, None] - places[None]) ** 2).sum(-1)
        bend = v.bend_sd**2 * np.exp(-distance2 / (2 * v.bend_length**2))
        shift = (v.shift_sd * frame / size) ** 2
        covariance = shift + v.affine_sd**2 * (places @ places.T) + bend
        self.register_buffer("pixel_size_yx", torch.from_numpy(pixel_yx))
        self.register_buffer("plane_yx", torch.from_numpy(plane_yx))
        self.register_buffer("size", torch.tensor(size, dtype=torch.float64))
        self.register_buffer("covariance", torch.from_numpy(covariance))
        self.trials = PoseTrials(plane_yx, size)

    def expect(self, points_yx: Tensor, decided: Decided | None = None) -> Expectation:
        """Predict each landmark from all the others at (..., N, 2) points of the network's grid.

        Leave-one-out means and variances of a Gaussian process come from one
        inverse (Rasmussen & Williams 2006, equations 5.12); weights follow
        Student's t, updated until they converge, but for landmarks that were ``decided``.
        Several sets of points are independent of one another.
        """
        v = self.variation
        displacement = (points_yx * self.pixel_size_yx - self.plane_yx) / self.size
        weights = torch.ones_like(displacement[..., 0])
        if decided is not None:
            weights = decided.trust(weights)
        predicted, variance = displacement, weights
        running = torch.ones_like(weights[..., :1], dtype=torch.bool)
        for _ in range(ITERATIONS):
            noise = v.own_sd**2 / weights
            inverse = torch.linalg.inv(self.covariance + torch.diag_embed(noise))
            own = torch.diagonal(inverse, dim1=-2, dim2=-1)
            predicts = displacement - inverse @ displacement / own[..., None]
            # Variance of the place itself plus an ordinary landmark's own noise,
            # whatever the weight of this one's observation.
            varies = 1 / own - noise + v.own_sd**2
            distance2 = ((displacement - predicts) ** 2).sum(-1) / varies
            updated = (1 / (1 + distance2 / v.tail)).clamp_min(LEAST_WEIGHT)
            if decided is not None:
                updated = decided.trust(updated)
            moving = (updated - weights).abs().amax(-1, keepdim=True) >= CONVERGED
            # Once a set of points has converged, nothing changes there any more.
            predicted = torch.where(running[..., None], predicts, predicted)
            variance = torch.where(running, varies, variance)
            weights = torch.where(running, updated, weights)
            running = running & moving
            if not tracing() and not running.any():
                break
        plane = self.plane_yx + predicted * self.size
        return Expectation(plane / self.pixel_size_yx, variance.sqrt() * self.size, weights)

    def fit(
        self,
        log_maps: Tensor,
        stride: int,
        rounds: int = ROUNDS,
        start_yx: Tensor | None = None,
        decided: Decided | None = None,
    ) -> tuple[Tensor, Expectation, Tensor]:
        """Find the points that maps and shape agree on.

        Starts from the best peaks and from a few whole-body poses, and keeps the
        result with the best consistency.

        Parameters
        ----------
        log_maps : Tensor, (N, h, w)
            Log-similarity of each landmark.
        stride : int
            Network pixels per cell.
        rounds : int
            Predictions and new peaks in turn.
        start_yx : Tensor, (N, 2), float64, optional
            Start from these points alone, which are nearly right already.
        decided : Decided, optional
            Landmarks that a person has placed, or said to be absent.

        Returns
        -------
        points_yx : Tensor, (N, 2), float64
            Pixels of the network's grid.
        expectation : Expectation
            The one that the points were found with.
        posterior : Tensor, (N, h, w)
            Log-similarity plus shape, up to a constant per landmark.
        """
        points, expectation = self.fit_points(log_maps, stride, rounds, start_yx, decided)
        if decided is not None:
            log_maps = decided.show(log_maps, stride)
        rows, columns = self._prior(expectation, log_maps.shape, stride)
        prior = rows[:, :, None] + columns[:, None, :]
        return points, expectation, log_maps + prior.to(log_maps.device)

    def fit_points(
        self,
        log_maps: Tensor,
        stride: int,
        rounds: int = ROUNDS,
        start_yx: Tensor | None = None,
        decided: Decided | None = None,
    ) -> tuple[Tensor, Expectation]:
        """Find the points of `fit` and what they were expected to be, without the posterior."""
        if decided is not None:
            log_maps = decided.show(log_maps, stride)
        maps = MapsUnderPriors(log_maps, stride, whole=tracing())
        starts = self._starts(maps) if start_yx is None else start_yx[None]
        ends, expectations, consistencies = self._ends(maps, rounds, starts, decided)
        best = consistencies.argmax()[None]
        points, expectation = ends.index_select(0, best)[0], expectations.chosen(best)
        if decided is not None and start_yx is None:
            least = consistencies.max() + PULLED
            return self._pulled(maps, rounds, points, expectation, decided, least)
        return points, expectation

    def fit_each(
        self,
        log_maps: Tensor,
        stride: int,
        starts_yx: Tensor,
        rounds: int = ROUNDS,
        decided: Decided | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Find what `fit` finds from each of S starts alone, and how consistent each end is.

        The starts are (S, N, 2) float64, and so are the points that are found; the
        consistencies are (S,) float64, see `consistency`.
        """
        if decided is not None:
            log_maps = decided.show(log_maps, stride)
        maps = MapsUnderPriors(log_maps, stride, whole=tracing())
        points, _, consistencies = self._ends(maps, rounds, starts_yx, decided)
        return points, consistencies

    def is_confirmed(self, expectation: Expectation, decided: Decided) -> bool:
        """Whether a landmark that a person has placed lies about where the others expect it."""
        gaps_yx = decided.points_yx - expectation.points_yx
        near = (gaps_yx * self.pixel_size_yx).norm(dim=1) <= PULL_FROM * self.size
        return bool((decided.held & near).any())

    def _ends(
        self, maps: MapsUnderPriors, rounds: int, points: Tensor, decided: Decided | None
    ) -> tuple[Tensor, Expectation, Tensor]:
        """Predict and look for peaks in turn from (S, N, 2) points, all starts at once.

        Returns the points, the expectations, and how consistent they are, (S,).
        """
        for _ in range(rounds):
            points = points if decided is None else decided.hold(points)
            expectation = self.expect(points, decided)
            points = maps.peaks(*self._prior(expectation, maps.log_maps.shape, maps.stride))
        points = points if decided is None else decided.hold(points)
        return (
            points,
            expectation,
            self.consistency(maps.log_maps, maps.stride, points, expectation),
        )

    def _pulled(
        self,
        maps: MapsUnderPriors,
        rounds: int,
        points: Tensor,
        expectation: Expectation,
        decided: Decided,
        least: Tensor,
    ) -> tuple[Tensor, Expectation]:
        """Move all with the held landmark that lies furthest from where the others expect it.

        Where parts repeat, all landmarks may lie one part off, and the one that a person has put
        right is an outlier among them. What is found from there replaces ``points`` only if its
        consistency is at least so high.
        """
        best, pulled = (points, expectation), expectation
        for _ in range(PULLS):
            gaps_yx = torch.where(
                decided.held[:, None], decided.points_yx - pulled.points_yx, torch.zeros(2)
            )
            lengths = (gaps_yx * self.pixel_size_yx).norm(dim=1)
            if lengths.max() <= PULL_FROM * self.size:
                break
            start = points + gaps_yx[lengths.argmax()]
            ends, expectations, consistencies = self._ends(maps, rounds, start[None], decided)
            only = torch.zeros(1, dtype=torch.long)
            points, pulled = ends[0], expectations.chosen(only)
            if consistencies[0] > least:
                best, least = (points, pulled), consistencies[0]
        return best

    def _starts(self, maps: MapsUnderPriors) -> Tensor:
        """Points to start from, (S, N, 2): the best peaks, and a few whole-body poses."""
        highest = maps.highest()
        poses, plausible = self.trials.best(maps.log_maps, maps.stride, self.pixel_size_yx, POSES)
        if not tracing():
            poses, plausible = poses[plausible], plausible[plausible]
        if not len(poses):
            return highest[None]
        sd = (TOLERANCE * self.size).expand(poses.shape[:-1]) / self.variation.slack
        around = Expectation(poses, sd, torch.ones_like(sd))
        near = maps.peaks(*self._prior(around, maps.log_maps.shape, maps.stride))
        near = torch.where(plausible[:, None, None], near, highest)
        starts = torch.cat((highest[None], near))
        return starts if tracing() else _distinct(starts)

    def _prior(
        self, expectation: Expectation, shape: torch.Size, stride: int
    ) -> tuple[Tensor, Tensor]:
        """Log of the Gaussian around each expected place: (..., N, h) for rows, (..., N, w)."""
        spread = (expectation.sd * self.variation.slack)[..., None]
        rows, columns = squared_offsets(
            expectation.points_yx, self.pixel_size_yx, spread, shape, stride
        )
        return (-0.5 * rows).float(), (-0.5 * columns).float()

    def consistency(
        self, log_maps: Tensor, stride: int, points_yx: Tensor, expectation: Expectation
    ) -> Tensor:
        """Return how well maps and shape agree on (..., N, 2) points, as `fit` finds them.

        (...), float64: the sum of the maps at the points and of the log of Student's t of the
        shape.
        """
        cells = nearest_cells(points_yx, stride, log_maps)
        rows, columns = (axis.to(log_maps.device) for axis in cells)
        each = torch.arange(len(log_maps), device=log_maps.device)
        similar = log_maps[each, rows, columns].sum(-1)
        offset = (points_yx - expectation.points_yx) * self.pixel_size_yx
        surprise = (offset**2).sum(-1) / expectation.sd**2
        tail = self.variation.tail
        fits = -tail * (surprise / tail).log1p() - 2 * (expectation.sd / self.size).log()
        return similar.cpu().double() + fits.sum(-1)


def squared_offsets(
    points_yx: Tensor, pixel_size_yx: Tensor, sd: Tensor, shape: torch.Size, stride: int
) -> list[Tensor]:
    """Squared distances of rows (..., N, h) and columns (..., N, w) of maps from points.

    The points are (..., N, 2), the unit ``sd`` is () or (..., N, 1); float64.
    """
    squared = []
    for axis, cells in enumerate(shape[-2:]):
        centres = cell_centres(torch.arange(cells, dtype=torch.float64), stride)
        offset = (centres - points_yx[..., axis, None]) * pixel_size_yx[axis] / sd
        squared.append(offset**2)
    return squared


def tracing() -> bool:
    """Whether TorchScript is recording: then no step may be left out."""
    return torch._C._get_tracing_state() is not None


def _distinct(starts: Tensor) -> Tensor:
    """Leave out those of (S, N, 2) starts that lie within half a pixel of an earlier one."""
    kept: list[int] = []
    for index, start in enumerate(starts):
        if all(bool((start - starts[other]).abs().max() > 0.5) for other in kept):
            kept.append(index)
    return starts[kept]
