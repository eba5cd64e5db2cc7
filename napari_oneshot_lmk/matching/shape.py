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

from napari_oneshot_lmk.matching.peaks import cell_centres, find_peaks, nearest_cells
from napari_oneshot_lmk.matching.poses import TOLERANCE, PoseTrials


@dataclass(frozen=True)
class ShapeVariation:
    """How far subjects differ from the template.

    All but the shift are in units of the template's size, the root mean square distance
    of its landmarks from their centre.
    """

    shift_sd: float = 0.1
    """Standard deviation of the common shift, as a fraction of the frame's diagonal."""
    affine_sd: float = 0.2
    """Of each entry of the affine map's deviation from identity."""
    bend_sd: float = 0.06
    """Of the smooth deformation."""
    bend_length: float = 0.5
    """Distance over which the smooth deformation stays alike."""
    own_sd: float = 0.05
    """Of each landmark's own displacement."""
    tail: float = 2.0
    """Squared standardised distance at which a point loses half its weight."""
    slack: float = 2.0
    """Factor on the predicted standard deviation before it is combined with a landmark's
    map: similarity is more precise about the place than shape."""


POSES = 3
"""Whole-body poses to start from beside the single best peaks."""
ITERATIONS = 20
"""Updates of the robust weights at most."""
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
    """(N, 2) float64, pixels of the network's grid."""
    sd: Tensor
    """(N,) float64, standard deviation in the units of the query's isotropic plane."""
    weights: Tensor
    """(N,) float64 in 0..1, the robust weights of the found points."""


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
        """Put the held landmarks among (N, 2) points back in their place."""
        return torch.where(self.held[:, None], self.points_yx, points_yx)

    def trust(self, weights: Tensor) -> Tensor:
        """Replace the (N,) robust weights of the landmarks that were decided."""
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
        """Predict each landmark from all the others at (N, 2) points of the network's grid.

        Leave-one-out means and variances of a Gaussian process come from one
        inverse (Rasmussen & Williams 2006, equations 5.12); weights follow
        Student's t, updated until they converge, but for landmarks that were ``decided``.
        """
        v = self.variation
        displacement = (points_yx * self.pixel_size_yx - self.plane_yx) / self.size
        weights = torch.ones_like(displacement[:, 0])
        if decided is not None:
            weights = decided.trust(weights)
        predicted, variance = displacement, weights
        running = torch.ones((), dtype=torch.bool)
        for _ in range(ITERATIONS):
            noise = v.own_sd**2 / weights
            inverse = torch.linalg.inv(self.covariance + torch.diag(noise))
            own = torch.diagonal(inverse)
            predicts = displacement - inverse @ displacement / own[:, None]
            # Variance of the place itself plus an ordinary landmark's own noise,
            # whatever the weight of this one's observation.
            varies = 1 / own - noise + v.own_sd**2
            distance2 = ((displacement - predicts) ** 2).sum(1) / varies
            updated = (1 / (1 + distance2 / v.tail)).clamp_min(LEAST_WEIGHT)
            if decided is not None:
                updated = decided.trust(updated)
            moving = (updated - weights).abs().amax() >= CONVERGED
            # Once converged, nothing changes any more.
            predicted = torch.where(running, predicts, predicted)
            variance = torch.where(running, varies, variance)
            weights = torch.where(running, updated, weights)
            running = running & moving
            if not tracing() and not running:
                break
        plane = self.plane_yx + predicted * self.size
        return Expectation(plane / self.pixel_size_yx, variance.sqrt() * self.size, weights)

    def fit(
        self,
        log_maps: Tensor,
        stride: int,
        rounds: int = 3,
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
        if decided is not None:
            log_maps = decided.show(log_maps, stride)
        starts = self._starts(log_maps, stride) if start_yx is None else [start_yx]
        ends, consistencies = [], []
        for start in starts if tracing() else _distinct(starts):
            points, expectation, consistency = self._end(log_maps, stride, rounds, start, decided)
            ends.append((points, expectation.points_yx, expectation.sd, expectation.weights))
            consistencies.append(consistency)
        best = torch.stack(consistencies).argmax()[None]
        points, *expected = (
            torch.stack(each).index_select(0, best)[0] for each in zip(*ends, strict=True)
        )
        expectation = Expectation(*expected)
        if decided is not None and start_yx is None:
            least = max(consistencies) + PULLED
            points, expectation = self._pulled(
                log_maps, stride, rounds, points, expectation, decided, least
            )
        return points, expectation, self._add_prior(log_maps, expectation, stride)

    def is_confirmed(self, expectation: Expectation, decided: Decided) -> bool:
        """Whether a landmark that a person has placed lies about where the others expect it."""
        gaps_yx = decided.points_yx - expectation.points_yx
        near = (gaps_yx * self.pixel_size_yx).norm(dim=1) <= PULL_FROM * self.size
        return bool((decided.held & near).any())

    def _end(
        self,
        log_maps: Tensor,
        stride: int,
        rounds: int,
        points: Tensor,
        decided: Decided | None,
    ) -> tuple[Tensor, Expectation, Tensor]:
        """Predict and look for peaks in turn; return the points and how consistent they are."""
        for _ in range(rounds):
            points = points if decided is None else decided.hold(points)
            expectation = self.expect(points, decided)
            points = _peak_points(self._add_prior(log_maps, expectation, stride), stride)
        points = points if decided is None else decided.hold(points)
        return points, expectation, self.consistency(log_maps, stride, points, expectation)

    def _pulled(
        self,
        log_maps: Tensor,
        stride: int,
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
            points, pulled, consistency = self._end(log_maps, stride, rounds, start, decided)
            if consistency > least:
                best, least = (points, pulled), consistency
        return best

    def _starts(self, log_maps: Tensor, stride: int) -> list[Tensor]:
        """Points to start from: the best peaks, and a few whole-body poses."""
        highest = _peak_points(log_maps, stride)
        starts = [highest]
        poses, plausible = self.trials.best(log_maps, stride, self.pixel_size_yx, POSES)
        sd = (TOLERANCE * self.size).expand(len(self.plane_yx)) / self.variation.slack
        for pose, is_plausible in zip(poses, plausible, strict=True):
            if not tracing() and not is_plausible:
                continue
            around = Expectation(pose, sd, torch.ones_like(sd))
            start = _peak_points(self._add_prior(log_maps, around, stride), stride)
            starts.append(torch.where(is_plausible, start, highest))
        return starts

    def _add_prior(self, log_maps: Tensor, expectation: Expectation, stride: int) -> Tensor:
        """Add to the maps the log of the Gaussian around each expected place."""
        spread = (expectation.sd * self.variation.slack)[:, None]
        offsets = squared_offsets(
            expectation.points_yx, self.pixel_size_yx, spread, log_maps.shape, stride
        )
        rows, columns = ((-0.5 * offset).float() for offset in offsets)
        return log_maps + (rows[:, :, None] + columns[:, None, :]).to(log_maps.device)

    def consistency(
        self, log_maps: Tensor, stride: int, points_yx: Tensor, expectation: Expectation
    ) -> Tensor:
        """Return how well maps and shape agree on points, as `fit` finds them.

        (), float64: the sum of the maps at the points and of the log of Student's t of the
        shape.
        """
        cells = nearest_cells(points_yx, stride, log_maps)
        rows, columns = (axis.to(log_maps.device) for axis in cells)
        each = torch.arange(len(rows), device=log_maps.device)
        similar = log_maps[each, rows, columns].sum()
        offset = (points_yx - expectation.points_yx) * self.pixel_size_yx
        surprise = (offset**2).sum(1) / expectation.sd**2
        tail = self.variation.tail
        fits = -tail * (surprise / tail).log1p() - 2 * (expectation.sd / self.size).log()
        return similar.cpu().double() + fits.sum()


def squared_offsets(
    points_yx: Tensor, pixel_size_yx: Tensor, sd: Tensor, shape: torch.Size, stride: int
) -> list[Tensor]:
    """Squared distances of the rows (N, h) and columns (N, w) of maps from (N, 2) points.

    In units of ``sd``, () or (N, 1); float64.
    """
    squared = []
    for axis, cells in enumerate(shape[-2:]):
        centres = cell_centres(torch.arange(cells, dtype=torch.float64), stride)
        offset = (centres[None] - points_yx[:, axis, None]) * pixel_size_yx[axis] / sd
        squared.append(offset**2)
    return squared


def tracing() -> bool:
    """Whether TorchScript is recording: then no step may be left out."""
    return torch._C._get_tracing_state() is not None


def _peak_points(maps: Tensor, stride: int) -> Tensor:
    """Sub-pixel peaks on the CPU, (N, 2), float64, in network pixels."""
    return find_peaks(maps, stride)[0].cpu()


def _distinct(starts: list[Tensor]) -> list[Tensor]:
    """Leave out starts that lie within half a pixel of an earlier one."""
    kept: list[Tensor] = []
    for start in starts:
        if all(bool((start - other).abs().max() > 0.5) for other in kept):
            kept.append(start)
    return kept
