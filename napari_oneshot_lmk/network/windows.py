"""Windows of maps around points, and CC2D's upsampling, whole or in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Embeddings of one level around a point per landmark."""

    embeddings: Tensor
    """(B, K, E, rows, columns), of K landmarks in B images."""
    origin_yx: Tensor
    """(B, K, 2) long: cell of the level's whole map that is the window's first."""
    full_shape_yx: tuple[int, int]
    """Rows and columns of the whole map."""


@dataclass(frozen=True)
class Region:
    """Rectangles of one size in maps of one size, one per image and landmark."""

    origin_yx: Tensor
    """(B, K, 2) long: first cells. A region that was grown may begin before the map."""
    size_yx: tuple[int, int]
    """Rows and columns of the rectangles."""
    full_yx: tuple[int, int]
    """Rows and columns of the map."""

    @classmethod
    def around(cls, points_yx: Tensor, stride: int, side: int, full_yx: tuple[int, int]) -> Region:
        """Return the windows of ``side`` cells around (B, K, 2) points in network pixels.

        They begin ``side // 2`` cells before the point's cell and are moved inwards at
        the map's borders; an axis of the map that is not longer is taken whole. A point
        beyond the image counts as on its edge.
        """
        size_yx = (min(side, full_yx[0]), min(side, full_yx[1]))
        cells = torch.div(points_yx, stride, rounding_mode="floor").long()
        origins = [
            (cells[..., axis].clamp(0, full - 1) - side // 2).clamp(0, full - size)
            for axis, (full, size) in enumerate(zip(full_yx, size_yx, strict=True))
        ]
        return cls(torch.stack(origins, dim=-1), size_yx, full_yx)

    @classmethod
    def whole_map(cls, maps: Tensor, num_landmarks: int) -> Region:
        """Return whole (B, ..., h, w) maps as a region."""
        full_yx = (int(maps.shape[-2]), int(maps.shape[-1]))
        origin_yx = torch.zeros(len(maps), num_landmarks, 2, dtype=torch.long, device=maps.device)
        return cls(origin_yx, full_yx, full_yx)

    @property
    def is_whole(self) -> bool:
        """Whether the rectangles are the map."""
        return self.size_yx == self.full_yx

    @property
    def is_small(self) -> bool:
        """Whether a rectangle holds at most half of the map's cells."""
        rows, columns = self.size_yx
        return 2 * rows * columns <= self.full_yx[0] * self.full_yx[1]

    @property
    def is_fewer_cells(self) -> bool:
        """Whether the rectangles of all landmarks together hold fewer cells than the map."""
        rows, columns = self.size_yx
        landmarks = self.origin_yx.shape[1]
        return landmarks * rows * columns < self.full_yx[0] * self.full_yx[1]

    @property
    def is_large(self) -> bool:
        """Whether it saves work to convolve the map and to crop what comes of it.

        All landmarks' rectangles hold more cells than the map, and each a fourth of it.
        """
        rows, columns = self.size_yx
        fourth = 4 * rows * columns >= self.full_yx[0] * self.full_yx[1]
        return fourth and not self.is_fewer_cells

    def grow(self, cells: int) -> Region:
        """Return the region with a border of ``cells`` more on each side."""
        rows, columns = self.size_yx
        size_yx = (rows + 2 * cells, columns + 2 * cells)
        return Region(self.origin_yx - cells, size_yx, self.full_yx)

    def shrink_columns(self, cells: int) -> Region:
        """Return the region with ``cells`` fewer at either end of each row."""
        rows, columns = self.size_yx
        origin_yx = self.origin_yx + self.origin_yx.new_tensor([0, cells])
        return Region(origin_yx, (rows, columns - 2 * cells), self.full_yx)

    def cells(self, axis: int) -> Tensor:
        """Rows (axis 0) or columns (axis 1) of the map, (B, K, n)."""
        steps = torch.arange(self.size_yx[axis], device=self.origin_yx.device)
        return self.origin_yx[..., axis, None] + steps

    def mask(self, like: Tensor) -> Tensor:
        """Return 1 at cells of the map, 0 beyond, (B, K, 1, rows, columns)."""
        rows, columns = (
            (self.cells(axis) >= 0) & (self.cells(axis) < self.full_yx[axis]) for axis in (0, 1)
        )
        mask = rows[..., :, None] & columns[..., None, :]
        return mask[:, :, None].to(like.device, like.dtype)

    def cleared(self, maps: Tensor) -> Tensor:
        """Return (B, K, C, rows, columns) maps of the region with 0 at cells beyond the map."""
        # Nothing to clear, no copy: known without waiting for a GPU, and not where TorchScript is
        # recorded, which is to clear for all points.
        known = self.origin_yx.device.type == "cpu" and torch._C._get_tracing_state() is None
        if known and self._is_inside:
            return maps
        return maps * self.mask(maps)

    @property
    def _is_inside(self) -> bool:
        last_yx = self.origin_yx.flatten(0, 1).amax(0).tolist()
        ends = (o + n <= f for o, n, f in zip(last_yx, self.size_yx, self.full_yx, strict=True))
        return bool(self.origin_yx.min() >= 0) and all(ends)

    def crop(self, maps: Tensor, held: Region | None = None) -> Tensor:
        """Return the cells of (B, K or 1, C, h, w) maps in the region, 0 beyond the map.

        The maps are whole, or hold the region ``held``, in which this one lies. The
        result is (B, K, C, rows, columns).
        """
        batch, num_landmarks, channels, height, width = maps.shape
        origin_yx = self.origin_yx if held is None else self.origin_yx - held.origin_yx
        local = Region(origin_yx.to(maps.device), self.size_yx, (height, width))
        rows = local.cells(0).clamp(0, height - 1)
        columns = local.cells(1).clamp(0, width - 1)
        images = torch.arange(batch, device=maps.device)[:, None] * num_landmarks
        layers = torch.arange(num_landmarks, device=maps.device)
        first = (images + layers)[..., None, None] * height
        index = (first + rows[..., :, None]) * width + columns[..., None, :]
        # Whole feature vectors are copied, which channels last keeps in one place.
        vectors = maps.permute(0, 1, 3, 4, 2).reshape(-1, channels)
        found = vectors.index_select(0, index.flatten())
        found = found.reshape(*index.shape, channels).permute(0, 1, 4, 2, 3)
        return local.cleared(found) if held is None else found

    def take(self, maps: Tensor, held: Region | None) -> Tensor:
        """Return `crop` of whole maps, or of those that hold a region: 0 beyond the map, too."""
        return self.crop(maps) if held is None else self.cleared(self.crop(maps, held))


@dataclass(frozen=True)
class LevelMaps:
    """Maps of one level for several landmarks: F_c, or F_RFB."""

    parts: tuple[Tensor, ...]
    """(B, K or 1, C, rows, columns) each, to be concatenated along C: shared, landmarks' own."""
    region: Region
    """The cells that they hold."""

    def within(self, wanted: Region) -> tuple[Tensor, ...]:
        """Return the parts' cells in a region, which they hold."""
        if wanted.is_whole:
            return self.parts
        held = None if self.region.is_whole else self.region
        return tuple(wanted.crop(part, held) for part in self.parts)


def upsample(maps: Tensor, size_yx: Sequence[int]) -> Tensor:
    """Double (B, C, h, w) or (B, K, C, h, w) maps.

    Where twice the map is smaller than ``size_yx`` (the finer map has an odd length) it
    is padded with zeros, evenly, the odd cell at the end; where larger, cut the same way.
    """
    flat = maps if maps.ndim == 4 else maps.flatten(0, 1)
    doubled = F.interpolate(flat, scale_factor=2, mode="bilinear", align_corners=True)
    (top, bottom), (left, right) = (
        _padding(length, size) for length, size in zip(doubled.shape[-2:], size_yx, strict=True)
    )
    if any((top, bottom, left, right)):
        doubled = F.pad(doubled, (left, right, top, bottom))
    return doubled.reshape(*maps.shape[:-2], *doubled.shape[-2:])


def upsample_region(maps: Tensor, held: Region, wanted: Region) -> Tensor:
    """Return `upsample` of (B, K, C, h, w) maps in a region of the finer level, 0 beyond it.

    The maps are the coarser level's cells in ``held``.
    """
    exact = torch.promote_types(maps.dtype, torch.float32)
    rows, columns = (
        _upsampling_weights(held, wanted, axis, exact).to(maps.device, maps.dtype)
        for axis in (0, 1)
    )
    # Rows first: each of them is contiguous in memory, and so are then the columns.
    cells = maps.permute(0, 1, 3, 4, 2)
    down = rows @ cells.flatten(3)
    across = columns[:, :, None] @ down.reshape(*down.shape[:3], *cells.shape[3:])
    return across.permute(0, 1, 4, 2, 3)


def _upsampling_weights(held: Region, wanted: Region, axis: int, dtype: torch.dtype) -> Tensor:
    """Weights of the held cells for each wanted cell, (B, K, wanted, held)."""
    coarse, fine = held.full_yx[axis], wanted.full_yx[axis]
    before, _ = _padding(2 * coarse, fine)
    targets = wanted.cells(axis)
    doubled = targets - before
    known = (targets >= 0) & (targets < fine) & (doubled >= 0) & (doubled < 2 * coarse)
    # Corners aligned: cell u of the doubled map lies at u * (coarse - 1) / steps. Integers
    # up to the division, so that no coordinate is rounded.
    steps = 2 * coarse - 1
    places = doubled[..., :, None] * (coarse - 1)
    offset = places - held.cells(axis)[..., None, :] * steps
    weights = (1 - offset.abs().to(dtype) / steps).clamp_min(0)
    return weights * known[..., None]


def _padding(length: int, size: int) -> tuple[int, int]:
    """Cells to add before and after a length to reach a size; negative: to cut."""
    before = (size - length) // 2
    return before, size - length - before
