"""The landmark network, Figure 2 of the paper: CC2D's decoder with one adapter per landmark.

A frozen encoder gives the maps F_v of five levels, fine to coarse. For landmark k, with
``C-A_k`` the adapter-based convolution of equation 1 and ``R-A_k`` that of equation 4:

    F_concat^i = Concat(Up(F_c^{i+1}), F_v^i)           i = 1 … 4   (equation 2)
    F_c^i      = C-A_k(F_concat^i),  F_c^5 = F_v^5      i = 1 … 4   (equation 3)
    F_RFB^i    = R-A_k(F_c^i)                           i = 3 … 5   (equation 4)
    F_e^i      = Conv1x1(F_c^i)                         i = 1, 2    (equation 5)
               = Conv1x1(F_RFB^i)                       i = 3 … 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.blocks import Block, DoubleConv, forward_each
from napari_oneshot_lmk.network.config import (
    LEVELS,
    WINDOWED_LEVELS,
    NetworkConfig,
    Normalisation,
)
from napari_oneshot_lmk.network.kept_weights import weights_for
from napari_oneshot_lmk.network.multi_landmark import ChannelParts, WholeMaps, shared_conv
from napari_oneshot_lmk.network.rfb import RFB
from napari_oneshot_lmk.network.windows import LevelMaps, Region, Window, upsample, upsample_region

COARSEST = LEVELS[-1]
DECODER_LEVELS = LEVELS[:-1]
SMALLEST_REGION = 16
"""Cells along a side that it decodes there at least. Batch statistics of fewer cells are
poor; and from 12 on, the region of level 2 holds all that level 1 is interpolated from."""

M = TypeVar("M", bound=nn.Module)


class PerLevel(nn.ModuleDict, Generic[M]):
    """One module per level, registered as ``level1`` to ``level5``."""

    def __init__(self, modules: Mapping[int, M]) -> None:
        super().__init__({f"level{level}": module for level, module in modules.items()})

    def at(self, level: int) -> M:
        """Return the module of a level."""
        return cast(M, self[f"level{level}"])


def concat_adapter(shared: Block, own: Block | None, features: Tensor, landmark: int = 0) -> Tensor:
    """Concatenate what all landmarks share with what belongs to landmark k (equations 1 and 4).

    ``F'_{i+1} = Concat(Conv(F_i), Conv-A_k(F_i))``, and so with RFB and RFB-A_k.

    ``shared`` is Conv or RFB, ``own`` Conv-A_k or RFB-A_k, None for a network without
    adapters. Both read F_i, (B, C, h, w); the result is (B, C' + C_A, h, w).
    """
    common: Tensor = shared(features, landmark)
    return common if own is None else torch.cat([common, own(features)], dim=1)


class UpBlock(nn.Module):
    """Equations 2 and 3 of one level: concatenates two maps and convolves.

    ``in_channels`` are those of the concatenation, ``out_channels`` those of the shared
    convolutions.
    """

    def __init__(
        self, in_channels: int, out_channels: int, normalisation: Normalisation, num_landmarks: int
    ) -> None:
        super().__init__()
        self.convs = DoubleConv(in_channels, out_channels, normalisation, num_landmarks)

    def forward(
        self, skip: Tensor, coarser: Tensor, adapter: Block | None = None, landmark: int = 0
    ) -> Tensor:
        """Return F_c from F_v (``skip``) and F_c of the next coarser level.

        ``adapter`` is Conv-A_k of landmark k.
        """
        concat = torch.cat([skip, upsample(coarser, skip.shape[-2:])], dim=1)
        return concat_adapter(self.convs, adapter, concat, landmark)


class Adapter(nn.Module):
    """The parameters of landmark k alone: Conv-A_k and RFB-A_k of every level.

    They read what the shared blocks read; `concat_adapter` appends their C_A channels.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        # Its batch norms see one landmark anyway.
        norm: Normalisation = "none" if config.normalisation == "none" else "batch"
        channels = config.adapter_channels
        self.convs = PerLevel(
            {i: DoubleConv(config.concat_channels(i), channels, norm) for i in DECODER_LEVELS}
        )
        self.rfbs = PerLevel(
            {i: RFB(config.decoded_channels(i), channels, norm) for i in config.rfb_levels}
        )


def lateral_convs(config: NetworkConfig) -> PerLevel[nn.Conv2d]:
    """Return the convolutions that the encoder's maps go through first; none at 0 channels."""
    levels = LEVELS if config.lateral_channels else ()
    return PerLevel(
        {i: nn.Conv2d(config.encoder_channels[i - 1], config.lateral_channels, 1) for i in levels}
    )


def read_map(
    maps: Sequence[Tensor], level: int, laterals: PerLevel[nn.Conv2d], dtype: torch.dtype
) -> Tensor:
    """Convert a map of the encoder to ``dtype``, and bring it to the lateral channels."""
    if len(maps) != len(LEVELS):
        raise UsageError(f"a network reads {len(LEVELS)} maps, not {len(maps)}")
    read = maps[level - 1].to(dtype)
    lateral: Tensor = laterals.at(level)(read) if laterals else read
    return lateral


class LandmarkNetwork(nn.Module):
    """Embeddings of every cell on five levels, for one landmark or for several.

    The encoder is no part of it: it reads the five maps of a frozen one, of any
    floating type.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = c = config
        norm = (c.normalisation, c.num_landmarks)
        self.decoder = PerLevel(
            {i: UpBlock(c.concat_channels(i), c.shared_channels(i), *norm) for i in DECODER_LEVELS}
        )
        self.laterals = lateral_convs(c)
        self.rfbs = PerLevel(
            {i: RFB(c.decoded_channels(i), c.rfb_channels(i), *norm) for i in c.rfb_levels}
        )
        self.heads = PerLevel(
            {i: nn.Conv2d(c.head_channels(i), c.embedding_channels, 1) for i in LEVELS}
        )
        count = c.num_landmarks if c.adapter_channels else 0
        self.adapters = nn.ModuleList(Adapter(c) for _ in range(count))

    @property
    def depends_on_landmark(self) -> bool:
        """Whether any part belongs to one landmark."""
        return len(self.adapters) > 0 or self.config.normalisation == "landmark"

    def forward(self, maps: Sequence[Tensor], landmark: int = 0) -> tuple[Tensor, ...]:
        """Embed images for landmark k: the paper's network, step by step.

        From F_v, the encoder's five maps (B, C, h, w), to F_e, (B, E, h, w), both fine to
        coarse.
        """
        self._check([landmark])
        adapter = self.adapter(landmark) if len(self.adapters) else None
        decoded = {COARSEST: self._read(maps, COARSEST)}
        for level in reversed(DECODER_LEVELS):
            own = adapter.convs.at(level) if adapter else None
            up_block = self.decoder.at(level)
            decoded[level] = up_block(self._read(maps, level), decoded[level + 1], own, landmark)
        embeddings = []
        for level in LEVELS:
            features = decoded[level]
            if level in self.config.rfb_levels:
                block = adapter.rfbs.at(level) if adapter else None
                features = concat_adapter(self.rfbs.at(level), block, features, landmark)
            embeddings.append(self.heads.at(level)(features))
        return tuple(embeddings)

    def embed_images(self, maps: Sequence[Tensor], landmarks: Sequence[int]) -> tuple[Tensor, ...]:
        """Embed images for several landmarks; what they share is computed once.

        In evaluation the same as one `forward` for each of the K landmarks, which are named
        once each: (B, K, E, h, w) per level. In training a shared batch norm sees the maps
        of all landmarks as one batch.
        """
        self._check(landmarks)
        decoded = self._decode(maps, landmarks, {})
        embeddings = []
        for level in LEVELS:
            features = self._features(level, decoded[level], landmarks)
            embeddings.append(self._embed(level, features.parts, landmarks))
        return tuple(embeddings)

    def embed_windows(
        self,
        maps: Sequence[Tensor],
        landmarks: Sequence[int],
        points_yx: Tensor,
        window: int | Sequence[int],
    ) -> tuple[Window, ...]:
        """Embed the surroundings of one point per landmark and image.

        The windows lie as in `Region.around`; level 5 is always whole. In evaluation they
        are those of `embed_images`.

        In training, batch statistics come from what is computed: at levels 1 to 3 (without
        level 3 where it has a receptive field block) from the windows of all landmarks, at
        least ``SMALLEST_REGION`` cells a side, and the cells around them that the convolutions
        need; so too in the last convolutions of the receptive field blocks where the window is
        less than half of the map; otherwise from whole maps. Several landmarks on which nothing
        depends share whole maps, computed once.

        Parameters
        ----------
        maps, landmarks
            As for `embed_images`.
        points_yx : Tensor, (B, K, 2)
            Pixels of the network's grid.
        window : int or sequence of int
            Cells along a side, of all levels, or in evaluation of each, fine to coarse.
        """
        self._check(landmarks)
        points_yx = points_yx.to(maps[0].device)

        def around(level: int, side: int) -> Region:
            full_yx = (int(maps[level - 1].shape[-2]), int(maps[level - 1].shape[-1]))
            return Region.around(points_yx, 2**level, side, full_yx)

        sides = [window] * len(LEVELS) if isinstance(window, int) else list(window)
        held, of_blocks = {}, {}
        if self.depends_on_landmark or len(landmarks) == 1:
            smallest = {i: max(sides[i - 1], SMALLEST_REGION) for i in DECODER_LEVELS}
            sizes = smallest if self.training else self._sides_held(sides)
            held = {level: around(level, side) for level, side in sizes.items()}
            asked = smallest if self.training else {i: sides[i - 1] for i in DECODER_LEVELS}
            of_blocks = {i: around(i, asked[i]) for i in self.config.rfb_levels[:-1]}
        decoded = self._decode(maps, landmarks, held)
        windows = []
        for level in LEVELS:
            features = self._features(level, decoded[level], landmarks, of_blocks.get(level))
            wanted = around(level, max(maps[-1].shape) if level == COARSEST else sides[level - 1])
            embeddings = self._embed(level, features.within(wanted), landmarks)
            windows.append(Window(embeddings, wanted.origin_yx, wanted.full_yx))
        return tuple(windows)

    def _sides_held(self, sides: Sequence[int]) -> dict[int, int]:
        """Return how many cells along a side of levels 1 to 3 evaluation decodes.

        What is asked for, what the next finer level is interpolated from, and what a receptive
        field block reads.
        """
        first = max(sides[0], SMALLEST_REGION)
        second = max(sides[1], SMALLEST_REGION, first // 2 + 6)
        around = 2 * RFB.REACH if 3 in self.config.rfb_levels else 0
        return {1: first, 2: second, 3: max(sides[2] + around, second // 2 + 6)}

    def adapter(self, landmark: int) -> Adapter:
        """Return the adapter of a landmark."""
        return cast(Adapter, self.adapters[landmark])

    def _check(self, landmarks: Sequence[int]) -> None:
        count = self.config.num_landmarks
        wrong = [k for k in landmarks if not 0 <= k < count]
        twice = self.depends_on_landmark and len(set(landmarks)) != len(landmarks)
        if wrong or not landmarks or twice:
            raise UsageError(
                f"landmarks {list(landmarks)} were asked of a network of {count}",
                remedy=f"name each once, from 0 to {count - 1}",
            )

    def _read(self, maps: Sequence[Tensor], level: int) -> Tensor:
        """Return F_v of a level as the decoder reads it, (B, C, h, w)."""
        return read_map(maps, level, self.laterals, self.heads.at(COARSEST).weight.dtype)

    def _concat_region(
        self, maps: Sequence[Tensor], level: int, coarser: LevelMaps, held: Region
    ) -> list[Tensor | WholeMaps]:
        """Return F_concat (equation 2) of what a region of F_c is computed from."""
        needed = held.grow(DoubleConv.REACH)
        first = held.grow(DoubleConv.REACH - 1)
        large = needed.is_large and not self.training
        alone = coarser.region.is_whole and large
        skip: Tensor | WholeMaps
        if large:
            skip = WholeMaps(self._read(maps, level)[:, None], first)
        else:
            skip = self._read_region(maps, level, needed)
        ups = [
            WholeMaps(upsample(part, held.full_yx), first)
            if alone and part.shape[1] == 1
            else upsample_region(part, coarser.region, needed)
            for part in coarser.parts
        ]
        return [skip, *ups]

    def _read_region(self, maps: Sequence[Tensor], level: int, region: Region) -> Tensor:
        """Return `_read` in a region, (B, K, C, rows, columns), 0 beyond the map.

        Read before it is cropped only where that are fewer cells.
        """
        if region.is_fewer_cells and len(self.laterals):
            dtype = self.heads.at(COARSEST).weight.dtype
            cropped = [region.crop(maps[level - 1][:, None]).to(dtype)]
            weights = weights_for([self.laterals.at(level)], [], cropped)
            return region.cleared(shared_conv(weights, cropped))
        return region.crop(self._read(maps, level)[:, None])

    def _decode(
        self, maps: Sequence[Tensor], landmarks: Sequence[int], regions: Mapping[int, Region]
    ) -> dict[int, LevelMaps]:
        """Return F_c of every level (equations 2 and 3), in regions where they are given."""
        coarsest = self._read(maps, COARSEST)
        whole = Region.whole_map(coarsest, len(landmarks))
        decoded = {COARSEST: LevelMaps((coarsest[:, None],), whole)}
        windowed = self.config.windowed_levels if self.training else WINDOWED_LEVELS
        for level in reversed(DECODER_LEVELS):
            coarser = decoded[level + 1]
            held = regions.get(level) if level in windowed else None
            if held is None or held.is_whole:
                skip = self._read(maps, level)[:, None]
                held = Region.whole_map(skip, len(landmarks))
                ups = [upsample(part, held.full_yx) for part in coarser.parts]
                concat: list[Tensor | WholeMaps] = [skip, *ups]
            else:
                concat = self._concat_region(maps, level, coarser, held)
            shared = self.decoder.at(level).convs
            own = [self.adapter(k).convs.at(level) for k in landmarks if len(self.adapters)]
            decoded[level] = _concat_adapters(shared, own, concat, landmarks, held)
        return decoded

    def _features(
        self, level: int, decoded: LevelMaps, landmarks: Sequence[int], region: Region | None = None
    ) -> LevelMaps:
        """Return what the head of a level reads: F_c or F_RFB (equation 4)."""
        if level not in self.config.rfb_levels:
            return decoded
        # To restrict the block to a region saves time only where that is small.
        of = None if decoded.region.is_whole else decoded.region
        small = region is not None and (region.is_small or of is not None)
        held = region if region is not None and small else decoded.region
        own = [self.adapter(k).rfbs.at(level) for k in landmarks if len(self.adapters)]
        return _concat_adapters(self.rfbs.at(level), own, decoded.parts, landmarks, held, of)

    def _embed(self, level: int, features: ChannelParts, landmarks: Sequence[int]) -> Tensor:
        """Return F_e of a level (equation 5), (B, K, E, rows, columns)."""
        embedded = shared_conv(weights_for([self.heads.at(level)], [], features), features)
        return embedded.expand(-1, len(landmarks), -1, -1, -1)


def _concat_adapters(
    shared: Block,
    own: Sequence[Block],
    parts: ChannelParts,
    landmarks: Sequence[int],
    held: Region,
    of: Region | None = None,
) -> LevelMaps:
    """``Concat(Conv(F_i), Conv-A_k(F_i))`` for several landmarks k (equations 1 and 4).

    As `concat_adapter`, for the cells in ``held``; what is concatenated is kept as parts. Those
    that are read hold the cells ``of``, if not whole maps.
    """
    region = None if held.is_whole else held
    made = [shared.forward_landmarks(parts, landmarks, region, of)]
    if own:
        made.append(forward_each(own, parts, region, of))
    return LevelMaps(tuple(made), held)
