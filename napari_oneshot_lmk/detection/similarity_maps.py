"""How similar every place of an image is to each landmark of the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.geometry import Geometry


@dataclass(frozen=True, eq=False)
class SimilarityMaps:
    """The maps that a detector has matched one image with, before the shape step.

    Parameters
    ----------
    names : tuple of str
        Landmarks, in the order of the maps.
    log_similarity : ndarray, (N, h, w), float32
        In the orientation of the image; cells of the network's grid, see
        `matching.similarity.log_similarity`.
    geometry : Geometry
        Of the image.
    """

    names: tuple[str, ...]
    log_similarity: NDArray[np.float32]
    geometry: Geometry

    def around(
        self, name: str, centre_yx: tuple[float, float], size_yx: tuple[float, float], side: int
    ) -> NDArray[np.float64]:
        """Return the similarity of the places in a rectangle around a point.

        0 is the median of the whole image and below, 1 its most similar place.

        Parameters
        ----------
        name : str
            Of the landmark, one of ``names``.
        centre_yx : tuple of float
            (row, column) in pixels of the image.
        size_yx : tuple of float
            Rows and columns of the rectangle, in pixels of the image.
        side : int
            Rows and columns of the result.

        Returns
        -------
        ndarray, (side, side)
            Bilinear between cells; NaN outside the image.
        """
        one_map = self.log_similarity[self.names.index(name)]
        finite = one_map[np.isfinite(one_map)]
        low, high = np.median(finite), finite.max()
        steps = (np.arange(side) + 0.5) / side - 0.5
        places_yx = np.stack([c + n * steps for c, n in zip(centre_yx, size_yx, strict=True)], 1)
        on_grid = self.geometry.points_to_network(places_yx)
        cells_yx = np.array(one_map.shape) / self.geometry.network_shape_yx
        rows, columns = ((on_grid + 0.5) * cells_yx - 0.5).T
        values = _bilinear((one_map - low) / max(high - low, 1e-6), rows, columns)
        last_yx = np.array(self.geometry.image_shape_yx) - 0.5
        outside = (places_yx < -0.5) | (places_yx > last_yx)
        values[outside[:, 0]], values[:, outside[:, 1]] = np.nan, np.nan
        return np.clip(values, 0.0, 1.0)


def _bilinear(
    grid: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate (h, w) values at all pairs of rows and columns."""
    (top, down), (left, right) = (
        _neighbours(at, n) for at, n in zip((rows, columns), grid.shape, strict=True)
    )
    by_row = np.clip(rows - top, 0, 1)[:, None]
    by_column = np.clip(columns - left, 0, 1)[None]
    upper = (1 - by_column) * grid[np.ix_(top, left)] + by_column * grid[np.ix_(top, right)]
    lower = (1 - by_column) * grid[np.ix_(down, left)] + by_column * grid[np.ix_(down, right)]
    return np.asarray((1 - by_row) * upper + by_row * lower, dtype=np.float64)


def _neighbours(at: NDArray[np.float64], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first = np.clip(np.floor(at).astype(int), 0, count - 1)
    return first, np.minimum(first + 1, count - 1)
