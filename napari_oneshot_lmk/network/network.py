"""The landmark network: CC2D's decoder with one adapter a landmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.adapters import Adapter
from napari_oneshot_lmk.network.decoder import (
    DoubleConv,
    Layer,
    UpBlock,
    conv_norm_each,
    upsampled,
)
from napari_oneshot_lmk.network.landmark_axis import Parts, convolved
from napari_oneshot_lmk.network.layout import LEVELS, RFB_LEVELS, NetworkLayout
from napari_oneshot_lmk.network.rfb import RFB
from napari_oneshot_lmk.network.windows import (
    SMALLEST_REGION,
    Region,
    Window,
    interpolated,
)

COARSEST = LEVELS[-1]
WINDOWED_LEVELS = (1, 2)
"""Levels that `LandmarkNetwork.near` computes only around the points."""


class LandmarkNetwork(nn.Module):
    """Embeddings of every cell on five levels, for one landmark or for several.

    The encoder is no part of it: it reads the five maps of a frozen one.

    Parameters
    ----------
    layout : NetworkLayout
        Its sizes.
    """

    def __init__(self, layout: NetworkLayout) -> None:
        super().__init__()
        self.layout = layout
        shared = (layout.normalisation, layout.landmarks)
        self.decoder = nn.ModuleDict(
            {
                f"level{level}": UpBlock(
                    layout.joined_channels(level),
                    layout.shared_channels(level),
                    *shared,
                )
                for level in LEVELS[:-1]
            }
        )
        self.rfbs = nn.ModuleDict(
            {
                f"level{level}": RFB(
                    layout.decoded_channels(level), layout.rfb_channels(level), *shared
                )
                for level in RFB_LEVELS
            }
        )
        self.heads = nn.ModuleDict(
            {
                f"level{level}": nn.Conv2d(
                    layout.head_channels(level), layout.embedding_channels, 1
                )
                for level in LEVELS
            }
        )
        count = layout.landmarks if layout.adapter_channels else 0
        self.adapters = nn.ModuleList(Adapter(layout) for _ in range(count))

    @property
    def depends_on_landmark(self) -> bool:
        """Whether any part belongs to one landmark."""
        return bool(len(self.adapters)) or self.layout.normalisation == "landmark"

    def forward(self, maps: Sequence[Tensor], landmark: int = 0) -> tuple[Tensor, ...]:
        """Embed images for one landmark: the paper's network, step by step.

        Parameters
        ----------
        maps : sequence of Tensor, (B, C, h, w)
            The encoder's five, fine to coarse: F_v of the paper.
        landmark : int
            Whose adapter is active.

        Returns
        -------
        tuple of Tensor, (B, E, h, w)
            F_e of the paper, fine to coarse.
        """
        adapter = self._adapter(landmark)
        decoded = {COARSEST: maps[COARSEST - 1]}
        for level in reversed(LEVELS[:-1]):
            name = f"level{level}"
            own = adapter.convs[name] if adapter else None
            decoded[level] = self.decoder[name](
                maps[level - 1], decoded[level + 1], own, landmark
            )
        embeddings = []
        for level in LEVELS:
            name, features = f"level{level}", decoded[level]
            if level in RFB_LEVELS:
                wide = [self.rfbs[name](features, landmark)]
                own = [adapter.rfbs[name](features)] if adapter else []
                features = torch.cat([*wide, *own], dim=1)
            embeddings.append(self.heads[name](features))
        return tuple(embeddings)

    def everywhere(
        self, maps: Sequence[Tensor], landmarks: Sequence[int]
    ) -> tuple[Tensor, ...]:
        """Embed images for several landmarks; what they share is computed once.

        In evaluation the same as one `forward` a landmark. In training a shared
        batch norm sees the maps of all landmarks as one batch.

        Parameters
        ----------
        maps : sequence of Tensor, (B, C, h, w)
            The encoder's five, fine to coarse.
        landmarks : sequence of int
            K of them, each once.

        Returns
        -------
        tuple of Tensor, (B, K, E, h, w)
            Fine to coarse.
        """
        self._check(landmarks)
        decoded = self._decoded(maps, landmarks, {})
        return tuple(
            self._embedded(
                level, self._features(level, decoded[level], landmarks)
            ).expand(-1, len(landmarks), -1, -1, -1)
            for level in LEVELS
        )

    def near(
        self,
        maps: Sequence[Tensor],
        landmarks: Sequence[int],
        points_yx: Tensor,
        window: int,
    ) -> tuple[Window, ...]:
        """Embed what lies around one point a landmark and image.

        Each window begins ``window // 2`` cells before the point's cell and is moved
        inwards at borders; an axis of the map that is not longer than the window,
        and level 5 always, is whole. In evaluation the windows are those of
        `everywhere`. In training, batch statistics of levels 1 and 2 come from what
        is computed there: the windows of all landmarks, at least
        ``SMALLEST_REGION`` cells a side, and the cells around them that the
        convolutions need.

        Parameters
        ----------
        maps : sequence of Tensor, (B, C, h, w)
            The encoder's five, fine to coarse.
        landmarks : sequence of int
            K of them, each once.
        points_yx : Tensor, (B, K, 2)
            Pixels of the network's grid.
        window : int
            Cells along a side.

        Returns
        -------
        tuple of Window
            Fine to coarse.
        """
        self._check(landmarks)
        shapes = {level: _shape(maps[level - 1]) for level in LEVELS}
        windows = {
            level: Region.around(
                points_yx,
                2**level,
                max(shapes[level]) if level == COARSEST else window,
                shapes[level],
            )
            for level in LEVELS
        }
        regions = {}
        if self.depends_on_landmark:
            side = max(window, SMALLEST_REGION)
            regions = {
                level: Region.around(points_yx, 2**level, side, shapes[level])
                for level in WINDOWED_LEVELS
            }
        decoded = self._decoded(maps, landmarks, regions)
        found = []
        for level in LEVELS:
            wanted = windows[level]
            features = self._features(level, decoded[level], landmarks)
            held = regions.get(level)
            if held is None or held.whole:
                held = None
            if not wanted.whole:
                features = [wanted.cut(part, held) for part in features]
            embeddings = self._embedded(level, features)
            embeddings = embeddings.expand(-1, len(landmarks), -1, -1, -1)
            found.append(Window(embeddings, wanted.origin_yx, wanted.full_yx))
        return tuple(found)

    def _adapter(self, landmark: int) -> Adapter | None:
        if not len(self.adapters):
            return None
        adapter = self.adapters[landmark]
        assert isinstance(adapter, Adapter)
        return adapter

    def _check(self, landmarks: Sequence[int]) -> None:
        count = self.layout.landmarks
        wrong = [k for k in landmarks if not 0 <= k < count]
        if wrong or not landmarks or len(set(landmarks)) != len(landmarks):
            raise UsageError(
                f"landmarks {list(landmarks)} of a network of {count}",
                remedy=f"name each once, from 0 to {count - 1}",
            )

    def _decoded(
        self,
        maps: Sequence[Tensor],
        landmarks: Sequence[int],
        regions: Mapping[int, Region],
    ) -> dict[int, list[Tensor]]:
        """Return F_c of every level, shared and own part: (B, K or 1, C, h, w)."""
        decoded = {COARSEST: [maps[COARSEST - 1][:, None]]}
        held = _whole(maps[COARSEST - 1], len(landmarks))
        for level in reversed(LEVELS[:-1]):
            name, skip = f"level{level}", maps[level - 1]
            region = regions.get(level)
            inside, padded = None, True
            if region is None or region.whole:
                region = _whole(skip, len(landmarks))
                parts = [upsampled(p, region.full_yx) for p in decoded[level + 1]]
                joined = [skip[:, None], *parts]
            else:
                # Two 3 x 3 convolutions without padding take two cells a side; the
                # zeros beyond the map's border are the padding that they had.
                given = region.grown(2)
                parts = [interpolated(p, held, given) for p in decoded[level + 1]]
                joined = [given.cut(skip[:, None]), *parts]
                inside, padded = region.grown(1).inside(skip), False
            block = self.decoder[name].convs
            shared = _together(block, landmarks, padded)
            made = [DoubleConv.flow(shared, joined, inside)]
            if len(self.adapters):
                own = _each([self.adapters[k].convs[name] for k in landmarks], padded)
                made.append(DoubleConv.flow(own, joined, inside))
            decoded[level], held = made, region
        return decoded

    def _features(
        self, level: int, decoded: Parts, landmarks: Sequence[int]
    ) -> list[Tensor]:
        """Return what the head of a level reads."""
        if level not in RFB_LEVELS:
            return list(decoded)
        name = f"level{level}"
        made = [RFB.flow(_together(self.rfbs[name], landmarks), decoded)]
        if len(self.adapters):
            own = _each([self.adapters[k].rfbs[name] for k in landmarks])
            made.append(RFB.flow(own, decoded))
        return made

    def _embedded(self, level: int, features: Parts) -> Tensor:
        head = self.heads[f"level{level}"]
        assert isinstance(head, nn.Conv2d)
        return convolved(head, features)


def _shape(maps: Tensor) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])


def _whole(maps: Tensor, landmarks: int) -> Region:
    origin_yx = torch.zeros(
        len(maps), landmarks, 2, dtype=torch.long, device=maps.device
    )
    return Region(origin_yx, _shape(maps), _shape(maps))


def _parts(maps: Tensor | Parts) -> Parts:
    return [maps] if isinstance(maps, Tensor) else maps


def _together(block: nn.Module, landmarks: Sequence[int], padded: bool = True) -> Layer:
    """Apply a shared block's layers to the maps of several landmarks."""
    return lambda name, maps: block.get_submodule(name).together(
        _parts(maps), landmarks, padded=padded
    )


def _each(blocks: Sequence[nn.Module], padded: bool = True) -> Layer:
    """Apply each landmark's own block's layers to its maps."""
    return lambda name, maps: conv_norm_each(
        [block.get_submodule(name) for block in blocks], _parts(maps), padded=padded
    )
