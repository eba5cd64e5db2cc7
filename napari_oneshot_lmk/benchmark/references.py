"""Baselines that any learned features have to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Points
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance
from napari_oneshot_lmk.landmarks.template import Template

if TYPE_CHECKING:
    import torch

PATCH_SIDE = 33
"""Cells of the network's grid that a grey patch spans: about 17 x 21 mm of a
cephalogram."""


class TemplateCopy:
    """The template's points at the same place of the image: a lower bound."""

    def __init__(self, template: Template) -> None:
        self.template = template

    def __call__(self, image: GrayImage) -> Landmarks:
        """Return the template's landmarks scaled to an image."""
        on_network = _placed_on_network(self.template)
        return _landmarks(self.template, image, on_network, None, "template-copy")


class GreyPatches:
    """Normalised cross-correlation of the template's grey patches, without a shape step.

    Each landmark goes to the best of all positions on the network's grid.
    """

    def __init__(self, template: Template) -> None:
        import torch.nn.functional as F

        self.template = template
        half = PATCH_SIDE // 2
        centres = np.rint(_placed_on_network(template)).astype(int)
        centres = centres.clip(0, np.array(NETWORK_SHAPE_YX) - 1)
        # A patch centre is a whole cell; what is cut off comes back at the end.
        self.offsets_yx = _placed_on_network(template) - centres
        padded = F.pad(prepare_image(template.image), (half,) * 4, mode="reflect")[0, 0]
        self.patches = _standardised(
            [padded[y : y + PATCH_SIDE, x : x + PATCH_SIDE] for y, x in centres]
        )

    def __call__(self, image: GrayImage) -> Landmarks:
        """Return the best match of each patch on an image."""
        import torch
        import torch.nn.functional as F

        half = PATCH_SIDE // 2
        padded = F.pad(prepare_image(image), (half,) * 4, mode="reflect")
        cells = PATCH_SIDE**2
        mean = F.avg_pool2d(padded, PATCH_SIDE, stride=1)
        square = F.avg_pool2d(padded**2, PATCH_SIDE, stride=1)
        norm = (cells * (square - mean**2)).clamp_min(1e-6).sqrt()
        correlation = (F.conv2d(padded, self.patches) / norm)[0]
        best, place = correlation.flatten(1).max(dim=1)
        rows_columns = torch.stack(
            [place // NETWORK_SHAPE_YX[1], place % NETWORK_SHAPE_YX[1]], dim=1
        )
        found = rows_columns.double().numpy() + self.offsets_yx
        scores = best.clamp(0, 1).tolist()
        return _landmarks(self.template, image, found, scores, "grey-patches")


def _standardised(patches: list[torch.Tensor]) -> torch.Tensor:
    """Stack patches as (K, 1, S, S) kernels of mean zero and length one."""
    import torch

    kernels = torch.stack(patches)[:, None]
    kernels = kernels - kernels.mean(dim=(2, 3), keepdim=True)
    length = kernels.square().sum(dim=(2, 3), keepdim=True).sqrt()
    return kernels / length.clamp_min(1e-6)


def _placed_on_network(template: Template) -> Points:
    placed = np.array([p.position_yx for p in template.landmarks.placed])
    return template.image.geometry.points_to_network(placed)


def _landmarks(
    template: Template,
    image: GrayImage,
    on_network: Points,
    scores: list[float] | None,
    method: str,
) -> Landmarks:
    """Return (N, 2) points of the network's grid as landmarks like the template's."""
    positions = iter(image.geometry.points_from_network(on_network).tolist())
    confidences = iter(scores or ())
    points = []
    for point in template.landmarks:
        if point.position_yx is None:
            points.append(Landmark(point.name, None, point.state))
        else:
            y, x = next(positions)
            points.append(Landmark(point.name, (y, x), score=next(confidences, None)))
    provenance = Provenance(method=method, template=template.name)
    return Landmarks(tuple(points), image.name, image.geometry, provenance)
