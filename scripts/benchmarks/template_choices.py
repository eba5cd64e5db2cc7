"""Detection of one image with many choices among many templates.

Each template is compared with the image once; a choice is then a sum of maps. The points are
those of `Detector.with_further`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import FeaturePyramid
from napari_oneshot_lmk.matching.similarity import SMALLEST_COSINE, Descriptors, log_similarity
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.windows import Region

Floats = NDArray[np.float64]
AT_ONCE = 16
"""Templates that are compared at the same time."""


class TemplateChoices:
    """Compares an image with the template and with further ones.

    Parameters
    ----------
    detector : Detector
        With all templates that may be chosen as its ``further`` ones.
    pyramid : FeaturePyramid
        Of the image.
    wanted : sequence of int
        Places of the templates that will be chosen among ``detector.further``.
    """

    def __init__(self, detector: Detector, pyramid: FeaturePyramid, wanted: Sequence[int]) -> None:
        self._detector = detector
        # Place among the detector's templates, of which the first is its own -> row.
        self._rows = {index: row for row, index in enumerate([0, *(1 + w for w in wanted)])}
        known = detector._known[list(self._rows)]
        self._known = known.to(detector.device)
        self._stride = min(level.stride for level in pyramid.levels)
        self._instant = _Similarities(self._instant_maps(pyramid))
        self._network: _Similarities | None = None
        if isinstance(detector, TrainedDetector):
            self._network = _Similarities(self._network_maps(detector, pyramid))

    def with_model(self, detector: TrainedDetector, pyramid: FeaturePyramid) -> TemplateChoices:
        """Return the same image and templates with another model; the rest is not done again."""
        other = copy(self)
        other._detector = detector
        other._network = _Similarities(other._network_maps(detector, pyramid))
        return other

    def instant(self, chosen: Sequence[int]) -> Floats:
        """Return the points that detection without training finds, (N, 2), network pixels."""
        maps = self._instant.combined(self._chosen(chosen), self._known)
        return np.asarray(self._detector.shape.fit(maps, self._stride)[0].numpy())

    def trained(self, chosen: Sequence[int], instant_yx: Floats) -> Floats:
        """Return the points that the model finds around those of `instant`, (N, 2)."""
        assert isinstance(self._detector, TrainedDetector)
        assert self._network is not None
        rows, card = self._chosen(chosen), self._detector.model.card
        trained = self._network.combined(rows, self._known)
        centres = torch.from_numpy(instant_yx)
        maps = _within(trained, centres, card.search_cells)
        maps = maps + card.instant_share * self._instant.combined(rows, self._known)
        return np.asarray(self._detector.shape.fit(maps, STRIDES[0])[0].numpy())

    def _chosen(self, chosen: Sequence[int]) -> list[int]:
        return [0, *(self._rows[1 + index] for index in chosen)]

    def _instant_maps(self, pyramid: FeaturePyramid) -> list[Tensor]:
        """Return the (N, h, w) log-similarity with each template."""
        maps: list[Tensor] = []
        every = [self._detector._descriptors[index] for index in self._rows]
        for first in range(0, len(every), AT_ONCE):
            group = every[first : first + AT_ONCE]
            levels = zip(*(each.vectors for each in group), strict=True)
            stacked = Descriptors(tuple(torch.cat(level) for level in levels), group[0].strides)
            maps += log_similarity(pyramid, stacked).chunk(len(group))
        return maps

    def _network_maps(self, detector: TrainedDetector, pyramid: FeaturePyramid) -> list[Tensor]:
        """Return the (N, h, w) log-similarity of the network with each template."""
        [part] = detector._parts
        if part.rows != list(range(len(detector._names))):
            raise ValueError("the model has to know every landmark, in one network")
        maps = [level.float() for level in pyramid.after_pooling.maps]
        assert isinstance(part.network, LandmarkNetwork)
        levels = part.network.embed_images(maps, part.adapters)
        found: list[Tensor] = []
        indices = list(self._rows)
        for first in range(0, len(indices), AT_ONCE):
            group = indices[first : first + AT_ONCE]
            total: Tensor | None = None
            for level, anchors in zip(levels, part.anchors, strict=True):
                embeddings = F.normalize(level[0].float(), dim=1, eps=1e-6)
                vectors = F.normalize(anchors[group].float(), dim=-1)
                shape = embeddings.shape[-2:]
                cosine = vectors.transpose(0, 1) @ embeddings.flatten(2)
                term = cosine.clamp_min(SMALLEST_COSINE).log().reshape(*cosine.shape[:2], *shape)
                if total is not None and shape != total.shape[-2:]:
                    size = total.shape[-2:]
                    term = F.interpolate(term, size, mode="bilinear", align_corners=False)
                total = term if total is None else total + term
            assert total is not None
            found += total.transpose(0, 1).contiguous()
        return found


class _Similarities:
    """Similarities, not their logarithms, relative to the best place on the first map."""

    def __init__(self, log_maps: Sequence[Tensor]) -> None:
        self._best = log_maps[0].amax((1, 2), keepdim=True)
        # Float32 ends at exp(-87): beyond that a place counts for nothing anyway.
        self._maps = [(each - self._best).clamp(-85, 85).exp() for each in log_maps]

    def combined(self, rows: Sequence[int], known: Tensor) -> Tensor:
        """Return the log of the mean over templates; see `combine_templates`."""
        chosen = known[list(rows)]
        total = self._maps[rows[0]].clone()
        for row in rows[1:]:
            total += self._maps[row] * known[row, :, None, None]
        return (total / chosen.sum(0)[:, None, None]).log() + self._best


def _within(maps: Tensor, centres_yx: Tensor, cells: int) -> Tensor:
    """Set (N, h, w) maps to their smallest value within a window outside that window."""
    height, width = maps.shape[-2:]
    region = Region.around(centres_yx[None], STRIDES[0], cells, (height, width))
    out = torch.empty_like(maps)
    for number, (top, left) in enumerate(region.origin_yx[0].tolist()):
        inside = maps[number, top : top + cells, left : left + cells]
        out[number] = inside.min()
        out[number, top : top + cells, left : left + cells] = inside
    return out
