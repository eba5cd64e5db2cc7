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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.matching.peak import peaks
from napari_oneshot_lmk.matching.poses import TOLERANCE, likely_poses

Array = NDArray[np.float64]

POSES = 3
"""Whole-body poses to start from beside the single best peaks."""


@dataclass(frozen=True)
class ShapeVariation:
    """How far bodies differ from the template.

    All but the shift are fractions of the template's size, which is the
    root mean square distance of its landmarks from their centre.

    Parameters
    ----------
    shift_sd : float
        Standard deviation of the common shift, as a fraction of the frame's
        diagonal: how differently bodies are placed in the picture.
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


@dataclass(frozen=True)
class Expectation:
    """What the other landmarks say about each landmark.

    Parameters
    ----------
    points_yx : ndarray, (N, 2)
        Expected places, pixels of the network's grid.
    sd : ndarray, (N,)
        Predicted standard deviation, in the units of the query's isotropic plane.
    weights : ndarray, (N,)
        How much each found point was believed, 0..1.
    """

    points_yx: Array
    sd: Array
    weights: Array


class ShapeStep:
    """Predicts landmarks from one another and settles maps and shape together.

    Parameters
    ----------
    points_yx : ndarray, (N, 2)
        The template's landmarks, pixels of the network's grid.
    pixel_size_yx : ndarray, (2,)
        Size of a network pixel of the template along (row, column), in any unit:
        only the ratio matters.
    network_shape_yx : tuple of int
        Size of the network's grid, the scale of a template of one point.
    variation : ShapeVariation
        How far bodies differ.
    """

    def __init__(
        self,
        points_yx: Array,
        pixel_size_yx: Array,
        network_shape_yx: tuple[int, int],
        variation: ShapeVariation | None = None,
    ) -> None:
        self.variation = variation or ShapeVariation()
        self.pixel_size_yx = np.asarray(pixel_size_yx, dtype=float)
        self.plane_yx = np.asarray(points_yx, dtype=float) * self.pixel_size_yx
        centred = self.plane_yx - self.plane_yx.mean(0)
        frame = float(np.hypot(*(np.array(network_shape_yx) * self.pixel_size_yx)))
        # Two points close together, or one, say little about the body's size.
        spread = float(np.sqrt((centred**2).sum(1).mean()))
        self.size = max(spread, frame / 8)
        shift_sd = self.variation.shift_sd * frame / self.size
        self._covariance = self._prior_covariance(centred / self.size, shift_sd)

    def _prior_covariance(self, places: Array, shift_sd: float) -> Array:
        v = self.variation
        apart = ((places[:, None] - places[None]) ** 2).sum(-1)
        bend = v.bend_sd**2 * np.exp(-apart / (2 * v.bend_length**2))
        covariance: Array = shift_sd**2 + v.affine_sd**2 * (places @ places.T) + bend
        return covariance

    def expected(self, points_yx: Array) -> Expectation:
        """Predict each landmark from all the others.

        Leave-one-out means and variances of a Gaussian process come from one
        inverse (Rasmussen & Williams 2006, equations 5.12); weights follow
        Student's t, renewed until they settle.

        Parameters
        ----------
        points_yx : ndarray, (N, 2)
            Found points, pixels of the network's grid.
        """
        v = self.variation
        moved = (points_yx * self.pixel_size_yx - self.plane_yx) / self.size
        weights = np.ones(len(moved))
        for _ in range(20):
            noise = v.own_sd**2 / weights
            inverse = np.linalg.inv(self._covariance + np.diag(noise))
            own = np.diag(inverse)
            predicted = moved - inverse @ moved / own[:, None]
            # Variance of the place itself plus an ordinary landmark's own noise,
            # whatever this one's observation was believed.
            variance = 1 / own - noise + v.own_sd**2
            distance2 = ((moved - predicted) ** 2).sum(1) / variance
            renewed = np.maximum(1 / (1 + distance2 / v.tail), 1e-3)
            settled = np.abs(renewed - weights).max() < 1e-3
            weights = renewed
            if settled:
                break
        plane = self.plane_yx + predicted * self.size
        return Expectation(
            plane / self.pixel_size_yx, np.sqrt(variance) * self.size, weights
        )

    def penalty(
        self, expectation: Expectation, shape: torch.Size, stride: int
    ) -> Tensor:
        """Log of the Gaussian around each expected place, up to a constant.

        Parameters
        ----------
        expectation : Expectation
            From `expected`.
        shape : torch.Size
            (N, h, w) of the maps it is added to.
        stride : int
            Network pixels per cell of those maps.

        Returns
        -------
        Tensor, (N, h, w), float32
        """
        spread = expectation.sd * self.variation.slack
        halved = []
        for axis, cells in enumerate(shape[-2:]):
            centres = stride * (np.arange(cells) + 0.5) - 0.5
            away = centres[None] - expectation.points_yx[:, axis, None]
            away = away * self.pixel_size_yx[axis] / spread[:, None]
            halved.append(torch.from_numpy(-0.5 * away**2).float())
        return halved[0][:, :, None] + halved[1][:, None, :]

    def settle(
        self,
        log_maps: Tensor,
        stride: int,
        rounds: int = 3,
        start_yx: Array | None = None,
    ) -> tuple[Array, Expectation, Tensor]:
        """Find the points that maps and shape agree on.

        Starts from the best peaks and from a few whole-body poses, and keeps the
        end with the best agreement.

        Parameters
        ----------
        log_maps : Tensor, (N, h, w)
            Log-similarity of each landmark.
        stride : int
            Network pixels per cell.
        rounds : int
            Predictions and new peaks in turn.
        start_yx : ndarray, (N, 2), optional
            Start from these points alone: they are nearly right already.

        Returns
        -------
        points_yx : ndarray, (N, 2)
            Pixels of the network's grid.
        expectation : Expectation
            The one that the points were found with.
        posterior : Tensor, (N, h, w)
            Log-similarity plus shape, up to a constant per landmark.
        """
        starts = self._starts(log_maps, stride) if start_yx is None else [start_yx]
        ends: list[tuple[float, Array, Expectation]] = []
        for points in _distinct(starts):
            for _ in range(rounds):
                expectation = self.expected(points)
                points = _tops(self._weighed(log_maps, expectation, stride), stride)
            agreement = self._agreement(log_maps, stride, points, expectation)
            ends.append((agreement, points, expectation))
        _, points, expectation = max(ends, key=lambda end: end[0])
        return points, expectation, self._weighed(log_maps, expectation, stride)

    def _starts(self, log_maps: Tensor, stride: int) -> list[Array]:
        """Points to settle from: the best peaks, and a few whole-body poses."""
        starts = [_tops(log_maps, stride)]
        poses = likely_poses(
            log_maps, stride, self.plane_yx, self.pixel_size_yx, self.size, POSES
        )
        room = np.full(len(self.plane_yx), TOLERANCE * self.size / self.variation.slack)
        for pose in poses:
            around = Expectation(pose, room, np.ones(len(pose)))
            starts.append(_tops(self._weighed(log_maps, around, stride), stride))
        return starts

    def _weighed(
        self, log_maps: Tensor, expectation: Expectation, stride: int
    ) -> Tensor:
        """Add to the maps the penalty of lying away from the expected places."""
        prior = self.penalty(expectation, log_maps.shape, stride)
        return log_maps + prior.to(log_maps.device)

    def _agreement(
        self, log_maps: Tensor, stride: int, points_yx: Array, expectation: Expectation
    ) -> float:
        """Sum of the maps at the points and of the log of Student's t of the shape."""
        cells = np.rint((points_yx + 0.5) / stride - 0.5).astype(np.int64)
        rows, columns = np.clip(cells, 0, np.array(log_maps.shape[-2:]) - 1).T
        similar = log_maps[np.arange(len(cells)), rows, columns].sum()
        away = (points_yx - expectation.points_yx) * self.pixel_size_yx
        surprise = (away**2).sum(1) / expectation.sd**2
        tail = self.variation.tail
        fits = -tail * np.log1p(surprise / tail) - 2 * np.log(
            expectation.sd / self.size
        )
        return float(similar) + float(fits.sum())


def _tops(maps: Tensor, stride: int) -> Array:
    """Sub-pixel peaks as an array, (N, 2), in network pixels."""
    return np.asarray(peaks(maps, stride)[0].cpu().numpy(), dtype=np.float64)


def _distinct(starts: list[Array]) -> list[Array]:
    """Leave out starts that lie within half a pixel of an earlier one."""
    kept: list[Array] = []
    for start in starts:
        if all(np.abs(start - other).max() > 0.5 for other in kept):
            kept.append(start)
    return kept
