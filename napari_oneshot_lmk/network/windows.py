"""Windows around points: parts of maps that the loss reads, and what they need."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Embeddings of one level around a point of each landmark.

    Parameters
    ----------
    embeddings : Tensor, (B, K, E, rows, columns)
        Of K landmarks in B images.
    origin_yx : Tensor, (B, K, 2), long
        Cell of the level's whole map that is the window's first.
    full_shape_yx : tuple of int
        Rows and columns of the whole map.
    """

    embeddings: Tensor
    origin_yx: Tensor
    full_shape_yx: tuple[int, int]


@dataclass(frozen=True)
class Region:
    """Rectangles of one size in maps of one size, one an image and landmark.

    Parameters
    ----------
    origin_yx : Tensor, (B, K, 2), long
        First cells. A region that was grown may begin before the map.
    size_yx : tuple of int
        Rows and columns of the rectangles.
    full_yx : tuple of int
        Rows and columns of the map.
    """

    origin_yx: Tensor
    size_yx: tuple[int, int]
    full_yx: tuple[int, int]

    @classmethod
    def around(cls, points_yx: Tensor, stride: int, side: int, full_yx: tuple[int, int]) -> Region:
        """Return the windows around points, moved inwards at the map's borders.

        Parameters
        ----------
        points_yx : Tensor, (B, K, 2)
            Pixels of the network's grid. One beyond the image counts as on its edge.
        stride : int
            Pixels per cell.
        side : int
            Cells; the window begins ``side // 2`` cells before the point's. An axis
            of the map that is not longer is taken whole.
        full_yx : tuple of int
            Rows and columns of the map.
        """
        size_yx = (min(side, full_yx[0]), min(side, full_yx[1]))
        cells = torch.div(points_yx, stride, rounding_mode="floor").long()
        origins = [
            (cells[..., axis].clamp(0, full_yx[axis] - 1) - side // 2).clamp(
                0, full_yx[axis] - size_yx[axis]
            )
            for axis in (0, 1)
        ]
        return cls(torch.stack(origins, dim=-1), size_yx, full_yx)

    @classmethod
    def all_of(cls, maps: Tensor, landmarks: int) -> Region:
        """Return whole (B, ..., h, w) maps as a region."""
        full_yx = (int(maps.shape[-2]), int(maps.shape[-1]))
        origin_yx = torch.zeros(len(maps), landmarks, 2, dtype=torch.long, device=maps.device)
        return cls(origin_yx, full_yx, full_yx)

    @property
    def whole(self) -> bool:
        """Whether the rectangles are the map."""
        return self.size_yx == self.full_yx

    @property
    def few(self) -> bool:
        """Whether a rectangle holds at most half of the map's cells."""
        rows, columns = self.size_yx
        return 2 * rows * columns <= self.full_yx[0] * self.full_yx[1]

    def grown(self, cells: int) -> Region:
        """Return the region with a border of ``cells`` more on each side."""
        rows, columns = self.size_yx
        size_yx = (rows + 2 * cells, columns + 2 * cells)
        return Region(self.origin_yx - cells, size_yx, self.full_yx)

    def cells(self, axis: int) -> Tensor:
        """Rows (axis 0) or columns (axis 1) of the map, (B, K, n)."""
        steps = torch.arange(self.size_yx[axis], device=self.origin_yx.device)
        return self.origin_yx[..., axis, None] + steps

    def inside(self, like: Tensor) -> Tensor:
        """Return 1 at cells of the map, 0 beyond, (B, K, 1, rows, columns)."""
        rows, columns = (
            (self.cells(axis) >= 0) & (self.cells(axis) < self.full_yx[axis]) for axis in (0, 1)
        )
        mask = rows[..., :, None] & columns[..., None, :]
        return mask[:, :, None].to(like.device, like.dtype)

    def cut(self, maps: Tensor, held: Region | None = None) -> Tensor:
        """Return the maps' cells in the region, 0 beyond the map.

        Parameters
        ----------
        maps : Tensor, (B, K or 1, C, h, w)
            Whole maps, or their cells in ``held``.
        held : Region, optional
            The maps', where they are not whole; this region lies inside it.

        Returns
        -------
        Tensor, (B, K, C, rows, columns)
        """
        batch, landmarks, channels, height, width = maps.shape
        moved = self.origin_yx if held is None else self.origin_yx - held.origin_yx
        local = Region(moved.to(maps.device), self.size_yx, (height, width))
        rows = local.cells(0).clamp(0, height - 1)
        columns = local.cells(1).clamp(0, width - 1)
        images = torch.arange(batch, device=maps.device)[:, None] * landmarks
        layers = torch.arange(landmarks, device=maps.device)
        first = (images + layers)[..., None, None] * height
        index = (first + rows[..., :, None]) * width + columns[..., None, :]
        # Whole feature vectors are copied, which channels last keeps in one place.
        vectors = maps.permute(0, 1, 3, 4, 2).reshape(-1, channels)
        found = vectors.index_select(0, index.flatten())
        found = found.reshape(*index.shape, channels).permute(0, 1, 4, 2, 3)
        return found * local.inside(found) if held is None else found


@dataclass(frozen=True)
class Decoded:
    """Maps of one level for several landmarks: F_c, or what follows it.

    Parameters
    ----------
    parts : tuple of Tensor, (B, K or 1, C, rows, columns)
        The shared part and the landmarks' own, to be concatenated along C.
    region : Region
        What they hold.
    """

    parts: tuple[Tensor, ...]
    region: Region

    def within(self, wanted: Region) -> tuple[Tensor, ...]:
        """Return the parts' cells in a region, which they hold."""
        if wanted.whole:
            return self.parts
        held = None if self.region.whole else self.region
        return tuple(wanted.cut(part, held) for part in self.parts)
