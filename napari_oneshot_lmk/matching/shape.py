"""Where the other landmarks expect each landmark: the shape step.

One template says nothing about how bodies vary, so variation is a Gaussian
process over the template's plane: a landmark's displacement from template to
query is a shift, plus an affine part, plus a smooth deformation, plus the
landmark's own noise. Leaving one landmark out, the others predict it with a mean
and a variance; robust weights keep a wrong point from dragging its neighbours.

All lengths are relative, so that a wing of 5 mm and a head of 200 mm behave
alike, and nothing here needs millimetres. With one or two
landmarks the prediction widens by itself until it is only "about the same place
in the frame".

All of it is tensor code without a branch on a tensor's value, but for short cuts
that `tracing` leaves out: a detector can leave as one TorchScript network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from napari_oneshot_lmk.matching.peaks import find_peaks
from napari_oneshot_lmk.matching.poses import PoseTrials


@dataclass(frozen=True)
class ShapeVariation:
    """How far bodies differ from the template.

    All but the shift are fractions of the template's size, which is the
    root mean square distance of its landmarks from their centre.

    Parameters
    ----------
    shift_sd : float
        Standard deviation of the common shift, as a fraction of the frame's
        diagonal: how differently bodies are placed in the image.
    affine_sd : float
        Of each entry of the affine map's deviation from identity.
    bend_sd : float
        Of the smooth deformation.
    bend_length : float
        Distance over which the smooth deformation stays alike.
    own_sd : float
        Of each landmark's own displacement.
    tail : float
        Squared standardised distance at which a point loses half its weight.
    slack : float
        Factor on the predicted standard deviation before a landmark's map is
        weighed with it: the similarity knows more about the place than the shape.
    """

    shift_sd: float = 0.1
    affine_sd: float = 0.2
    bend_sd: float = 0.06
    bend_length: float = 0.5
    own_sd: float = 0.05
    tail: float = 2.0
    slack: float = 2.0


POSES = 3
"""Whole-body poses to start from beside the single best peaks."""
ITERATIONS = 20
"""Updates of the robust weights at most."""
CONVERGED = 1e-3
"""Change of a weight that counts as none."""


@dataclass(frozen=True)
class Expectation:
    """What the other landmarks say about each landmark.

    Parameters
    ----------
    points_yx : Tensor, (N, 2), float64
        Expected places, pixels of the network's grid.
    sd : Tensor, (N,), float64
        Predicted standard deviation, in the units of the query's isotropic plane.
    weights : Tensor, (N,), float64
        How much each found point was believed, 0..1.
    """

    points_yx: Tensor
    sd: Tensor
    weights: Tensor


class ShapeModel(nn.Module):
    """Predicts landmarks from one another and fits points to maps and shape.

    Its numbers are buffers in float64 on the processor, wherever the maps lie.

    Parameters
    ----------
    points_yx : array_like, (N, 2)
        The template's landmarks, pixels of the network's grid.
    pixel_size_yx : array_like, (2,)
        Size of a network pixel of the template along (row, column), in any unit:
        only the ratio matters.
    network_shape_yx : tuple of int
        Size of the network's grid, the scale of a template of one point.
    variation : ShapeVariation
        How far bodies differ.
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
        # Two points close together, or one, say little about the body's size.
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

    def expect(self, points_yx: Tensor) -> Expectation:
        """Predict each landmark from all the others at (N, 2) points of the network's grid.

        Leave-one-out means and variances of a Gaussian process come from one
        inverse (Rasmussen & Williams 2006, equations 5.12); weights follow
        Student's t, updated until they converge.
        """
        v = self.variation
        displacement = (points_yx * self.pixel_size_yx - self.plane_yx) / self.size
        weights = torch.ones_like(displacement[:, 0])
        predicted, variance = displacement, weights
        running = torch.ones((), dtype=torch.bool)
        for _ in range(ITERATIONS):
            noise = v.own_sd**2 / weights
            inverse = torch.linalg.inv(self.covariance + torch.diag(noise))
            own = torch.diagonal(inverse)
            predicts = displacement - inverse @ displacement / own[:, None]
            # Variance of the place itself plus an ordinary landmark's own noise,
            # whatever this one's observation was believed.
            varies = 1 / own - noise + v.own_sd**2
            distance2 = ((displacement - predicts) ** 2).sum(1) / varies
            updated = (1 / (1 + distance2 / v.tail)).clamp_min(1e-3)
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

    def log_prior(self, expectation: Expectation, shape: torch.Size, stride: int) -> Tensor:
        """Log of the Gaussian around each expected place, up to a constant.

        A float32 tensor of ``shape`` (N, h, w), that of the maps it is added to, whose
        cells have ``stride`` network pixels.
        """
        spread = expectation.sd * self.variation.slack
        halved = []
        for axis, cells in enumerate(shape[-2:]):
            centres = stride * (torch.arange(cells, dtype=torch.float64) + 0.5) - 0.5
            offset = centres[None] - expectation.points_yx[:, axis, None]
            offset = offset * self.pixel_size_yx[axis] / spread[:, None]
            halved.append((-0.5 * offset**2).float())
        return halved[0][:, :, None] + halved[1][:, None, :]

    def fit(
        self, log_maps: Tensor, stride: int, rounds: int = 3, start_yx: Tensor | None = None
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
            Start from these points alone: they are nearly right already.

        Returns
        -------
        points_yx : Tensor, (N, 2), float64
            Pixels of the network's grid.
        expectation : Expectation
            The one that the points were found with.
        posterior : Tensor, (N, h, w)
            Log-similarity plus shape, up to a constant per landmark.
        """
        starts = self._starts(log_maps, stride) if start_yx is None else [start_yx]
        ends: list[tuple[Tensor, Expectation]] = []
        consistencies = []
        for points in starts if tracing() else _distinct(starts):
            for _ in range(rounds):
                expectation = self.expect(points)
                points = peak_points(self._add_prior(log_maps, expectation, stride), stride)
            ends.append((points, expectation))
            consistencies.append(self._consistency(log_maps, stride, points, expectation))
        best = torch.stack(consistencies).argmax()[None]

        def chosen(each: list[Tensor]) -> Tensor:
            return torch.stack(each).index_select(0, best)[0]

        expectation = Expectation(
            chosen([end.points_yx for _, end in ends]),
            chosen([end.sd for _, end in ends]),
            chosen([end.weights for _, end in ends]),
        )
        posterior = self._add_prior(log_maps, expectation, stride)
        return chosen([points for points, _ in ends]), expectation, posterior

    def _starts(self, log_maps: Tensor, stride: int) -> list[Tensor]:
        """Points to start from: the best peaks, and a few whole-body poses."""
        highest = peak_points(log_maps, stride)
        starts = [highest]
        poses, plausible = self.trials.best(log_maps, stride, self.pixel_size_yx, POSES)
        sd = self.trials.pose_sd(self.size) / self.variation.slack
        for pose, is_plausible in zip(poses, plausible, strict=True):
            if not tracing() and not is_plausible:
                continue
            around = Expectation(pose, sd, torch.ones_like(sd))
            start = peak_points(self._add_prior(log_maps, around, stride), stride)
            starts.append(torch.where(is_plausible, start, highest))
        return starts

    def _add_prior(self, log_maps: Tensor, expectation: Expectation, stride: int) -> Tensor:
        """Add to the maps the penalty of lying away from the expected places."""
        prior = self.log_prior(expectation, log_maps.shape, stride)
        return log_maps + prior.to(log_maps.device)

    def _consistency(
        self, log_maps: Tensor, stride: int, points_yx: Tensor, expectation: Expectation
    ) -> Tensor:
        """Sum of the maps at the points and of the log of Student's t of the shape."""
        cells = ((points_yx + 0.5) / stride - 0.5).round().long()
        rows, columns = (
            cells[:, axis].clamp(0, log_maps.shape[axis + 1] - 1).to(log_maps.device)
            for axis in (0, 1)
        )
        each = torch.arange(len(cells), device=log_maps.device)
        similar = log_maps[each, rows, columns].sum()
        offset = (points_yx - expectation.points_yx) * self.pixel_size_yx
        surprise = (offset**2).sum(1) / expectation.sd**2
        tail = self.variation.tail
        fits = -tail * (surprise / tail).log1p() - 2 * (expectation.sd / self.size).log()
        return similar.cpu().double() + fits.sum()


def tracing() -> bool:
    """Say whether TorchScript is recording: then no step may be left out."""
    return torch._C._get_tracing_state() is not None


def peak_points(maps: Tensor, stride: int) -> Tensor:
    """Sub-pixel peaks on the processor, (N, 2), float64, in network pixels."""
    return find_peaks(maps, stride)[0].cpu()


def _distinct(starts: list[Tensor]) -> list[Tensor]:
    """Leave out starts that lie within half a pixel of an earlier one."""
    kept: list[Tensor] = []
    for start in starts:
        if all(bool((start - other).abs().max() > 0.5) for other in kept):
            kept.append(start)
    return kept
