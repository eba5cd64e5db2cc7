"""Generalised Procrustes alignment: shapes without place, turn and, if wanted, size.

Shapes are turned, never mirrored: an image that is mirrored stands out.

References
----------
Gower, "Generalized Procrustes analysis", Psychometrika 40 (1975) 33–51; Rohlf and Slice,
"Extensions of the Procrustes method for the optimal superimposition of landmarks", Systematic
Zoology 39 (1990) 40–59.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.measure.morphometrics.shapes import Floats, Shapes

LEAST_LANDMARKS = 3
"""Two points have the same shape everywhere."""
ROUNDS = 100
CONVERGED = 1e-12
"""Squared change of the mean, relative to its squared size."""


@dataclass(frozen=True)
class Alignment:
    """Shapes superimposed on their mean, in the order of `shapes`."""

    shapes: Shapes
    scaling: bool
    """Whether every shape has centroid size 1; else they keep their own unit."""
    mean_yx: Floats
    """(landmarks, 2), centred, (row, column)."""
    aligned_yx: Floats
    """(images, landmarks, 2), NaN where not placed."""
    centroid_sizes: Floats
    """(images,) root of the sum of squared distances of the landmarks from their centroid, in
    the image's unit; of incomplete images over what is placed, so not to be compared."""

    @property
    def distances(self) -> Floats:
        """(images,) Procrustes distance of each shape from the mean.

        Root of the sum of squared distances over all landmarks; for incomplete images scaled
        up from those that are placed.
        """
        squares = (self.aligned_yx - self.mean_yx) ** 2
        return np.asarray(np.sqrt(squares.shape[1] * np.nanmean(squares.sum(axis=2), axis=1)))

    @property
    def residuals(self) -> Floats:
        """(images, landmarks) distance of each landmark from the mean, in the image's unit."""
        apart = np.linalg.norm(self.aligned_yx - self.mean_yx, axis=2)
        if not self.scaling:
            return np.asarray(apart)
        return np.asarray(apart * self._scales()[:, None])

    def _scales(self) -> Floats:
        """Return (images,) size of a shape in its own unit relative to its aligned size."""
        known = np.isfinite(self.aligned_yx)
        own = np.where(known, self.shapes.points_yx, np.nan)
        own_size, aligned_size = (
            np.sqrt(np.nansum((each - np.nanmean(each, axis=1, keepdims=True)) ** 2, axis=(1, 2)))
            for each in (own, self.aligned_yx)
        )
        return np.asarray(own_size / aligned_size)


def align_shapes(shapes: Shapes, *, scaling: bool = True) -> Alignment:
    """Superimpose shapes on their mean by least squares.

    Only images with all landmarks determine the mean; others are superimposed on it with the
    landmarks that they have.

    Parameters
    ----------
    shapes : Shapes
        Of two or more images.
    scaling : bool
        Bring every shape to centroid size 1. Without, sizes are kept, so all images must have
        one unit.

    Raises
    ------
    UsageError
        If there are too few images or landmarks, units are mixed, or landmarks coincide.
    """
    if len(shapes.landmarks) < LEAST_LANDMARKS:
        what = f"{len(shapes.landmarks)} landmarks have no shape"
        raise UsageError(what, remedy=f"use {LEAST_LANDMARKS} or more")
    if not scaling and len(set(shapes.units)) > 1:
        unknown = shapes.images[shapes.units.index("px")]
        raise UsageError(
            f"the pixel spacing of {unknown} is unknown, so its size cannot be compared",
            remedy="give it with --spacing, or align with scaling",
        )
    _check_enough(shapes)
    centred, sizes = _centred(shapes)
    if scaling:
        centred = centred / sizes[:, None, None]
    of_mean = centred[shapes.complete]
    mean = of_mean[0]
    for _ in range(ROUNDS):
        new = _turned(of_mean, mean).mean(axis=0)
        if scaling:
            new = new / np.linalg.norm(new)
        change = ((new - mean) ** 2).sum()
        mean = new
        if change <= CONVERGED * (mean**2).sum():
            break
    mean = _upright(mean, of_mean[0])
    aligned = np.stack([_superimposed(each, mean, scaling) for each in centred])
    return Alignment(shapes, scaling, mean, aligned, sizes)


def _check_enough(shapes: Shapes) -> None:
    if shapes.complete.sum() < 2:
        placed = np.isfinite(shapes.points_yx[..., 0]).sum(axis=0)
        lacking = [n for n, k in zip(shapes.landmarks, placed, strict=True) if k < len(placed)]
        rarest = sorted(lacking, key=lambda n: placed[shapes.landmarks.index(n)])[:3]
        what = f"{int(shapes.complete.sum())} of {len(shapes.images)} images have all landmarks"
        missing = f" ({', '.join(rarest)} are missing most often)" if rarest else ""
        raise UsageError(f"{what}{missing}", remedy="choose landmarks that two or more have")
    for image, points in zip(shapes.images, shapes.points_yx, strict=True):
        placed = points[np.isfinite(points[:, 0])]
        if len(placed) < LEAST_LANDMARKS:
            what = f"{image} has {len(placed)} of these landmarks, too few for a shape"
            raise UsageError(what, remedy="leave the image out, or choose other landmarks")
        if not np.ptp(placed, axis=0).any():
            raise UsageError(f"all landmarks of {image} coincide", remedy="correct them")


def _centred(shapes: Shapes) -> tuple[Floats, Floats]:
    """Return shapes about their centroid, and their centroid sizes."""
    points = shapes.points_yx
    centred = points - np.nanmean(points, axis=1, keepdims=True)
    return centred, np.sqrt(np.nansum(centred**2, axis=(1, 2)))


def _turned(shapes: Floats, onto: Floats) -> Floats:
    """Turn (N, K, 2) centred shapes about the origin for the least squares from (K, 2)."""
    # As complex numbers: the best rotation is the argument of the inner product.
    z, w = shapes[..., 1] + 1j * shapes[..., 0], onto[:, 1] + 1j * onto[:, 0]
    inner = (z.conj() * w).sum(axis=-1)
    size = np.abs(inner)
    turn = np.where(size > 0, inner / np.where(size > 0, size, 1.0), 1.0)
    turned = z * turn[..., None]
    return np.stack([turned.imag, turned.real], axis=-1)


def _superimposed(shape: Floats, mean: Floats, scaling: bool) -> Floats:
    """Superimpose a shape on the mean by the landmarks that it has."""
    known = np.isfinite(shape[:, 0])
    part, of_mean = shape[known], mean[known]
    centre = of_mean.mean(axis=0)
    part = part - part.mean(axis=0)
    if scaling and not known.all():
        # The size that the mean's same landmarks have, where a whole shape has 1.
        part = part / np.linalg.norm(part) * np.linalg.norm(of_mean - centre)
    aligned = np.full_like(shape, np.nan)
    aligned[known] = _turned(part[None], of_mean - centre)[0] + centre
    return aligned


def _upright(mean: Floats, like: Floats) -> Floats:
    """Turn the mean as the first image lies: its own turn is arbitrary."""
    return np.asarray(_turned(mean[None], like)[0])
