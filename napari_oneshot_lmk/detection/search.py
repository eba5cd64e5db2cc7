"""A trained network's similarity around places that are known already.

The finest level of a network with adapters is most of its work, once for each
landmark. Where detection without training has found about the right place, it is
computed in a window there; everything coarser still sees the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.detection.anchors import STRIDES
from napari_oneshot_lmk.matching.similarity import SMALLEST_COSINE, own_cosine_maps
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.precision import computing_in


def searched_log_maps(
    network: LandmarkNetwork,
    maps: Sequence[Tensor],
    adapters: Sequence[int],
    anchors: Sequence[Tensor],
    points_yx: Tensor,
    cells: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Log-similarity of each landmark around a point, on the finest level's grid.

    Parameters
    ----------
    network : LandmarkNetwork
        In evaluation mode.
    maps : sequence of Tensor, (1, C, h, w)
        The encoder's five of one image, fine to coarse.
    adapters : sequence of int
        K adapters, one a landmark.
    anchors : sequence of Tensor, (1, K, E)
        From the template.
    points_yx : Tensor, (K, 2)
        Where to look, pixels of the network's grid.
    cells : int
        Side of the window on each level.
    dtype : torch.dtype
        That the network computes in.

    Returns
    -------
    Tensor, (K, H / 2, W / 2), float32
        Beyond a landmark's window its smallest value within: nothing was seen there
        that would speak for it.
    """
    with computing_in(points_yx.device, dtype):
        windows = network.near(maps, adapters, points_yx[None].float(), cells)
    fine = windows[0]
    count, _, height, width = fine.embeddings.shape[1:]
    rows = torch.arange(height, device=points_yx.device)
    columns = torch.arange(width, device=points_yx.device)
    origin_yx = fine.origin_yx[0]
    total = torch.zeros(count, height, width, device=points_yx.device)
    for window, stride, anchor in zip(windows, STRIDES, anchors, strict=True):
        vectors = F.normalize(anchor[0].float(), dim=-1)
        cosine = own_cosine_maps(window.embeddings[0], vectors)
        term = cosine.clamp_min(SMALLEST_COSINE).log()
        if stride > STRIDES[0]:
            unit = []
            for axis, cells_of_axis in ((1, columns), (0, rows)):
                pixels = (origin_yx[:, axis, None] + cells_of_axis + 0.5) * STRIDES[0]
                inside = pixels / stride - window.origin_yx[0, :, axis, None]
                unit.append(2 * inside / term.shape[1 + axis] - 1)
            grid_xy = torch.stack(
                [
                    unit[0][:, None, :].expand(-1, height, -1),
                    unit[1][:, :, None].expand(-1, -1, width),
                ],
                -1,
            )
            term = F.grid_sample(
                term[:, None], grid_xy, padding_mode="border", align_corners=False
            )[:, 0]
        total = total + term
    lowest = total.flatten(1).amin(1)[:, None, None]
    full = lowest.repeat(1, *fine.full_shape_yx)
    landmarks = torch.arange(count, device=total.device)[:, None, None]
    in_rows = (origin_yx[:, 0, None] + rows)[:, :, None]
    in_columns = (origin_yx[:, 1, None] + columns)[:, None, :]
    return full.index_put((landmarks, in_rows, in_columns), total)
