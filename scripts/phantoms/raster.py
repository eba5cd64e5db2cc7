"""From curves to pixels: exact coverage, signed distance, blurred strokes.

Curves are dense (steps under half a pixel), in (row, column) pixels with pixel
centres at integers. All work happens in the window that a curve needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

Points = NDArray[np.float64]
Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Region:
    """A filled contour on its own window of the pixel grid.

    Parameters
    ----------
    corner_yx : tuple of int
        Pixel of the image at which the window begins; may lie outside.
    coverage : ndarray, (h, w)
        Share of each pixel inside the contour, 0..1.
    depth_px : ndarray, (h, w)
        Distance to the contour, positive inside.
    nearest : ndarray of int, (h, w)
        Index of the nearest point of the curve.
    """

    corner_yx: tuple[int, int]
    coverage: Field
    depth_px: Field
    nearest: NDArray[np.intp]

    def overlap(self, shape_yx: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the slices of the image and of the window that coincide."""
        on_image, on_window = [], []
        for start, size, limit in zip(self.corner_yx, self.coverage.shape, shape_yx, strict=True):
            low, high = max(start, 0), min(start + size, limit)
            high = max(low, high)
            on_image.append(slice(low, high))
            on_window.append(slice(low - start, high - start))
        return (on_image[0], on_image[1]), (on_window[0], on_window[1])


def fill(curve_yx: Points, margin: int = 3) -> Region:
    """Fill a closed dense curve.

    Coverage follows the signed-area accumulation of font rasterisers, which is
    exact for straight pieces; distances are measured to the curve's own points
    and not to pixel centres, so that a contour keeps its sub-pixel position.
    """
    low = np.floor(curve_yx.min(axis=0)).astype(int) - margin
    high = np.ceil(curve_yx.max(axis=0)).astype(int) + margin + 1
    shape_yx = (int(high[0] - low[0]), int(high[1] - low[1]))
    local = curve_yx - low
    coverage = _coverage(local + 0.5, shape_yx)

    rows, columns = np.rint(local).astype(int).T
    index = np.full(shape_yx, -1, dtype=np.intp)
    index[rows, columns] = np.arange(len(local))
    nearest_yx = distance_transform_edt(index < 0, return_distances=False, return_indices=True)
    nearest = index[nearest_yx[0], nearest_yx[1]]
    grid = np.ogrid[: shape_yx[0], : shape_yx[1]]
    distance = np.hypot(grid[0] - local[nearest, 0], grid[1] - local[nearest, 1])
    _refine(local, nearest, distance)
    edge = (coverage > 0.02) & (coverage < 0.98) & (distance < 1.0)
    depth = np.where(edge, coverage - 0.5, np.where(coverage > 0.5, 1, -1) * distance)
    return Region((int(low[0]), int(low[1])), coverage, depth.astype(np.float32), nearest)


def _refine(curve_yx: Points, nearest: NDArray[np.intp], distance: Points) -> None:
    """Look along the curve for a nearer point, in place, close to the contour.

    The first answer is the nearest *pixel* of the contour. Where that is almost
    flat, its nearest point lies some pixels further along: step down to it.
    """
    close = np.nonzero(distance < 6.0)
    best, pixels_yx = nearest[close], np.stack(close, axis=1)
    shortest = distance[close]
    for step in (-8, 8, -4, 4, -2, 2, -1, 1, -2, 2, -1, 1):
        other = (best + step) % len(curve_yx)
        apart = np.hypot(*(pixels_yx - curve_yx[other]).T)
        nearer = apart < shortest
        best[nearer], shortest[nearer] = other[nearer], apart[nearer]
    nearest[close], distance[close] = best, shortest


def _coverage(curve_yx: Points, shape_yx: tuple[int, int]) -> Field:
    """Coverage of pixels [i, i + 1) by a closed curve of short pieces."""
    start, end = curve_yx[:-1], curve_yx[1:]
    row_start, row_end = np.floor(start[:, 0]), np.floor(end[:, 0])
    rise = end[:, 0] - start[:, 0]
    # A piece that changes row is cut at the border: rows then sum to zero
    # exactly, or a streak would run from the contour to the window's edge.
    crossing = np.maximum(row_start, row_end) - start[:, 0]
    share = np.where(row_start == row_end, 1.0, crossing / np.where(rise == 0, 1, rise))[:, None]
    middle = start + share * (end - start)
    a, b = np.vstack([start, middle]), np.vstack([middle, end])
    centre = (a + b) / 2
    row, column = np.floor(centre).astype(int).T
    fraction = centre[:, 1] - column
    height = b[:, 0] - a[:, 0]
    width = shape_yx[1] + 1
    area = np.bincount(
        np.concatenate([row * width + column, row * width + column + 1]),
        np.concatenate([height * (1 - fraction), height * fraction]),
        minlength=shape_yx[0] * width,
    )
    covered = np.abs(np.cumsum(area.reshape(shape_yx[0], width), axis=1))
    return np.clip(covered[:, :-1], 0, 1).astype(np.float32)


class Strokes:
    """Lines of one width, drawn together.

    Every stroke leaves weight along its curve, split bilinearly between pixels;
    one Gaussian filter then gives all of them their cross section.

    Parameters
    ----------
    shape_yx : tuple of int
        The image's grid.
    sigma_px : float
        Standard deviation of the cross section.
    """

    def __init__(self, shape_yx: tuple[int, int], sigma_px: float) -> None:
        self.shape_yx = shape_yx
        self.sigma_px = max(float(sigma_px), 0.5)
        self._weights = np.zeros(shape_yx)

    def add(self, curve_yx: Points, height: float | Points) -> None:
        """Draw an open dense curve whose ridge reaches ``height``."""
        steps = np.linalg.norm(np.diff(curve_yx, axis=0), axis=1)
        middles = (curve_yx[1:] + curve_yx[:-1]) / 2
        heights = np.broadcast_to(np.asarray(height, dtype=float), (len(curve_yx),))
        weight = steps * (heights[1:] + heights[:-1]) / 2
        weight = weight * np.sqrt(2 * np.pi) * self.sigma_px
        base = np.floor(middles).astype(int)
        part = middles - base
        for dy in (0, 1):
            for dx in (0, 1):
                row, column = base[:, 0] + dy, base[:, 1] + dx
                share = (part[:, 0] if dy else 1 - part[:, 0]) * (
                    part[:, 1] if dx else 1 - part[:, 1]
                )
                on = (row >= 0) & (row < self.shape_yx[0])
                on &= (column >= 0) & (column < self.shape_yx[1])
                np.add.at(self._weights, (row[on], column[on]), (weight * share)[on])

    def picture(self) -> Field:
        """Return all strokes, (H, W)."""
        # Splitting between pixels has blurred already, by 1/6 on average.
        sigma_px = np.sqrt(self.sigma_px**2 - 1 / 6)
        return np.asarray(gaussian_filter(self._weights, sigma_px, truncate=3.0), dtype=np.float32)
