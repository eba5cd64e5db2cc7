"""Similarity of images with the embeddings of a template, by a trained network.

Over whole images (`network_log_similarity`), or in windows around approximate places
(`local_log_similarity`): the finest level of a network with adapters is most of its work,
once for each landmark, so where detection without training has found about the right
place, only a window there is computed; the coarser levels still see the whole image.

In all of them ``maps`` are the encoder's five, (B, C, h, w), fine to coarse; ``adapters``
has one entry per landmark, K; points are in pixels of the network's grid; embeddings are
one tensor per level, fine to coarse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.matching.similarity import (
    SMALLEST_COSINE,
    combine_templates,
    per_landmark_cosine,
    sum_log_similarities,
)
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.windows import Window

AT_ONCE = 4
"""Landmarks whose full-size maps exist at the same time."""


def sample_windows(
    windows: Sequence[Window], points_yx: Tensor, *, sub_pixel: bool = True
) -> tuple[Tensor, ...]:
    """Read the embeddings (B, K, E) at points (B, K, 2) out of the windows around them.

    Bilinear between cell centres (``sub_pixel``), else of the cell that holds the point,
    as published.
    """
    read = []
    for window, stride in zip(windows, STRIDES, strict=True):
        embeddings = window.embeddings.flatten(0, 1)
        cells_yx = (points_yx.float() + 0.5) / stride - 0.5 - window.origin_yx
        if not sub_pixel:
            cells_yx = (cells_yx + 0.5).floor()
        unit_yx = (2 * cells_yx + 1) / cells_yx.new_tensor(embeddings.shape[-2:]) - 1
        grid_xy = unit_yx.flip(-1).reshape(-1, 1, 1, 2)
        found = F.grid_sample(
            embeddings.float(), grid_xy, padding_mode="border", align_corners=False
        )
        read.append(found.reshape(window.embeddings.shape[:3]))
    return tuple(read)


def embed_points(
    network: LandmarkNetwork,
    maps: Sequence[Tensor],
    adapters: Sequence[int],
    points_yx: Tensor,
    *,
    sub_pixel: bool = True,
) -> tuple[Tensor, ...]:
    """Embed points (B, K, 2) of images, (B, K, E); see `sample_windows`."""
    # Four cells: the two on either side of a sub-pixel point, wherever it lies.
    windows = network.embed_windows(maps, adapters, points_yx, 4)
    return sample_windows(windows, points_yx, sub_pixel=sub_pixel)


def embed_points_in_patches(
    network: LandmarkNetwork,
    encoder: Encoder,
    image: Tensor,
    adapters: Sequence[int],
    points_yx: Tensor,
    size: int,
) -> tuple[Tensor, ...]:
    """Embed points (K, 2) of an image in a patch around each, as CC2D-SLA infers.

    The image is (1, 1, H, W), grey values in 0..1; a patch has ``size`` network pixels a
    side and is moved inwards at the image's border (ambiguity 14 of docs/method.md). The
    result is (1, K, E).
    """
    each: list[tuple[Tensor, ...]] = []
    limit = (torch.tensor(image.shape[-2:]) - size).clamp(min=0)
    for adapter, point_yx in zip(adapters, points_yx, strict=True):
        corner = torch.minimum((point_yx.round().long() - size // 2).clamp(min=0), limit)
        top, left = corner.tolist()
        patch = image[..., top : top + size, left : left + size]
        maps = [level.float() for level in encoder(patch).after_pooling.maps]
        inside = (point_yx - corner)[None, None].to(patch.device)
        each.append(embed_points(network, maps, [adapter], inside, sub_pixel=False))
    return tuple(torch.cat(level, dim=1) for level in zip(*each, strict=True))


def network_log_similarity(
    network: LandmarkNetwork,
    maps: Sequence[Tensor],
    adapters: Sequence[int],
    anchors: Sequence[Tensor],
    known: Tensor | None = None,
) -> Tensor:
    """Log-similarity of each landmark with each place of one image.

    The network is in evaluation mode, ``anchors`` are the embeddings of M templates, (M, K, E),
    and ``known``, (M, K), says which of the landmarks each of them knows; by default all. See
    `combine_templates`. The result is (K, H / 2, W / 2) float32.
    """
    maps = [level.float() for level in maps]
    unit = [F.normalize(level.float(), dim=-1) for level in anchors]

    def similarity(levels: Sequence[Tensor], chosen: slice) -> Tensor:
        each = []
        for template in range(len(unit[0])):
            vectors = [level[template, chosen] for level in unit]
            cosines = [per_landmark_cosine(*level) for level in zip(levels, vectors, strict=True)]
            each.append(sum_log_similarities(cosines, STRIDES))
        return combine_templates(each, known[:, chosen] if known is not None else None)

    if not network.depends_on_landmark:
        shared = network(maps, adapters[0])
        every = slice(None)
        return similarity([level.expand(len(adapters), -1, -1, -1) for level in shared], every)
    found: list[Tensor] = []
    for first in range(0, len(adapters), AT_ONCE):
        chosen = slice(first, first + AT_ONCE)
        levels = network.embed_images(maps, adapters[chosen])
        found.append(similarity([level[0] for level in levels], chosen))
    return torch.cat(found)


def cells_around(cells: int, stride: int) -> int:
    """Return the side of a level's window that the finest level's, of ``cells``, is sampled from.

    Both lie as in `Region.around`.
    """
    before: int = math.ceil((cells // 2 - 0.5) * STRIDES[0] / stride + 0.5)
    return 2 * before + 1


def local_log_similarity(
    network: LandmarkNetwork,
    maps: Sequence[Tensor],
    adapters: Sequence[int],
    anchors: Sequence[Tensor],
    points_yx: Tensor,
    cells: int,
    dtype: torch.dtype = torch.float32,
    known: Tensor | None = None,
) -> Tensor:
    """`network_log_similarity` in windows of ``cells`` a side around points (K, 2).

    The network computes in ``dtype``. Outside a landmark's window the result is its
    smallest value within.
    """
    with autocast(points_yx.device, dtype):
        sides = [cells, *(cells_around(cells, stride) for stride in STRIDES[1:])]
        windows = network.embed_windows(maps, adapters, points_yx[None].float(), sides)
    fine = windows[0]
    count, _, height, width = fine.embeddings.shape[1:]
    rows, columns = (
        fine.origin_yx[0, :, axis, None] + torch.arange(length, device=points_yx.device)
        for axis, length in enumerate((height, width))
    )
    totals = [torch.zeros(count, height, width, device=points_yx.device) for _ in anchors[0]]
    for window, stride, anchor in zip(windows, STRIDES, anchors, strict=True):
        grid_xy: Tensor | None = None
        if stride > STRIDES[0]:
            # Where the finest window's cells lie in this level's window, -1..1.
            y, x = (
                2 * ((fine_cells.float() + 0.5) * STRIDES[0] / stride - first[:, None]) / length - 1
                for fine_cells, first, length in zip(
                    (rows, columns),
                    window.origin_yx[0].unbind(1),
                    window.embeddings.shape[-2:],
                    strict=True,
                )
            )
            grid_y = y[:, :, None].expand(-1, -1, width)
            grid_xy = torch.stack([x[:, None, :].expand_as(grid_y), grid_y], -1)
        for template, vectors in enumerate(F.normalize(anchor.float(), dim=-1)):
            cosine = per_landmark_cosine(window.embeddings[0], vectors)
            term = cosine.clamp_min(SMALLEST_COSINE).log()
            if grid_xy is not None:
                term = F.grid_sample(
                    term[:, None], grid_xy, padding_mode="border", align_corners=False
                )[:, 0]
            totals[template] = totals[template] + term
    total = combine_templates(totals, known)
    full = total.flatten(1).amin(1)[:, None, None].repeat(1, *fine.full_shape_yx)
    landmarks = torch.arange(count, device=total.device)[:, None, None]
    return full.index_put((landmarks, rows[:, :, None], columns[:, None, :]), total)
