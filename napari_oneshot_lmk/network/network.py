"""The landmark network: CC2D's decoder with one adapter a landmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.blocks import RFB, Block, ConvNorm, Layers, activated, each_block
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig, Normalisation
from napari_oneshot_lmk.network.multi_landmark import Kernel, Parts, convolved
from napari_oneshot_lmk.network.windows import Decoded, Region, Window, interpolated, upsampled


class DoubleConv(Block):
    """Twice a 3 x 3 convolution, batch norm, ReLU: the Conv of equation 1.

    Parameters
    ----------
    given, made : int
        Channels.
    normalisation, landmarks
        As in `Normed`.
    """

    REACH = 2
    """Cells beyond a cell, on each side, that it is computed from."""

    def __init__(
        self, given: int, made: int, normalisation: Normalisation = "batch", landmarks: int = 1
    ) -> None:
        super().__init__()
        for name, channels in (("first", given), ("second", made)):
            layer = ConvNorm(
                channels,
                made,
                (3, 3),
                bias=True,
                gain=2.0,
                normalisation=normalisation,
                landmarks=landmarks,
            )
            self.add_module(name, layer)

    @staticmethod
    def flow(layers: Layers, maps: Tensor | Parts, region: Region | None = None) -> Tensor:
        """Pass maps through the layers, whoever applies them.

        Where a region is wanted, the maps hold that region and ``REACH`` cells
        around it, zero beyond the map's border.
        """
        if region is None:
            return activated(layers("second", activated(layers("first", maps))))
        between = activated(layers("first", maps, padded=False))
        # To the second convolution, cells beyond the map's border are padding.
        between = between * region.grown(1).inside(between)
        return activated(layers("second", between, padded=False))


class UpBlock(nn.Module):
    """Equations 2 and 3: joins a coarser map with the encoder's and convolves.

    Parameters
    ----------
    given, made : int
        Channels of the concatenation and of the shared convolutions.
    normalisation, landmarks
        As in `Normed`.
    """

    def __init__(
        self, given: int, made: int, normalisation: Normalisation = "batch", landmarks: int = 1
    ) -> None:
        super().__init__()
        self.convs = DoubleConv(given, made, normalisation, landmarks)

    def forward(
        self, skip: Tensor, coarser: Tensor, adapter: Block | None = None, landmark: int = 0
    ) -> Tensor:
        """Return F_c of this level.

        Parameters
        ----------
        skip : Tensor, (B, C, h, w)
            The encoder's map of this level.
        coarser : Tensor, (B, C', h', w')
            F_c of the next coarser level.
        adapter : AdapterConv, optional
            The landmark's own convolutions, beside the shared ones.
        landmark : int
            For a normalisation of its own.
        """
        joined = torch.cat([skip, upsampled(coarser, skip.shape[-2:])], dim=1)
        shared: Tensor = self.convs(joined, landmark)
        return shared if adapter is None else torch.cat([shared, adapter(joined)], 1)


class AdapterConv(DoubleConv):
    """Conv-A_k: a landmark's own narrow `DoubleConv` beside the shared one.

    It reads what the shared one reads, and its C_A channels are concatenated to the
    shared ones (paper, equations 1 and 3).

    Parameters
    ----------
    given, made : int
        Channels; ``made`` is C_A.
    normalisation : {"batch", "none"}
        It is its own landmark's anyway.
    """

    def __init__(self, given: int, made: int, normalisation: Normalisation = "batch") -> None:
        super().__init__(given, made, normalisation)


class AdapterRFB(RFB):
    """RFB-A_k: a landmark's own narrow `RFB` beside the shared one (equation 4).

    Parameters
    ----------
    given, made : int
        Channels; ``made`` is C_A.
    normalisation : {"batch", "none"}
        It is its own landmark's anyway.
    """

    def __init__(self, given: int, made: int, normalisation: Normalisation = "batch") -> None:
        super().__init__(given, made, normalisation)


class Adapter(nn.Module):
    """All adapters of one landmark.

    Parameters
    ----------
    layout : NetworkConfig
        Of the network that it belongs to; C_A is above 0.
    """

    def __init__(self, layout: NetworkConfig) -> None:
        super().__init__()
        own: Normalisation = "none" if layout.normalisation == "none" else "batch"
        made = layout.adapter_channels
        self.convs = nn.ModuleDict(
            {
                f"level{level}": AdapterConv(layout.concat_channels(level), made, own)
                for level in LEVELS[:-1]
            }
        )
        self.rfbs = nn.ModuleDict(
            {
                f"level{level}": AdapterRFB(layout.decoded_channels(level), made, own)
                for level in layout.rfb_levels
            }
        )

    def conv(self, level: int) -> Block:
        """Return Conv-A_k of a level from 1 to 4."""
        conv = self.convs[f"level{level}"]
        assert isinstance(conv, AdapterConv)
        return conv

    def rfb(self, level: int) -> Block:
        """Return RFB-A_k of a level from 3 to 5."""
        rfb = self.rfbs[f"level{level}"]
        assert isinstance(rfb, AdapterRFB)
        return rfb


COARSEST = LEVELS[-1]
DECODER_LEVELS = LEVELS[:-1]
WINDOWED_LEVELS = (1, 2)
"""Levels that `LandmarkNetwork.near` decodes only around the points."""
SMALLEST_REGION = 16
"""Cells along a side that it decodes there at least. Batch statistics of fewer cells
are poor ones; and from 12 on, the region of level 2 holds all that the region of
level 1 is interpolated from."""


class LandmarkNetwork(nn.Module):
    """Embeddings of every cell on five levels, for one landmark or for several.

    The encoder is no part of it: it reads the five maps of a frozen one, of any
    floating type.

    Parameters
    ----------
    layout : NetworkConfig
        Its sizes.
    """

    def __init__(self, layout: NetworkConfig) -> None:
        super().__init__()
        self.layout = layout
        norm = (layout.normalisation, layout.landmarks)
        self.decoder = nn.ModuleDict()
        for level in DECODER_LEVELS:
            self.decoder[f"level{level}"] = UpBlock(
                layout.concat_channels(level), layout.shared_channels(level), *norm
            )
        self.laterals = nn.ModuleDict()
        for level in LEVELS if layout.lateral_channels else ():
            self.laterals[f"level{level}"] = nn.Conv2d(
                layout.encoder_channels[level - 1], layout.lateral_channels, 1
            )
        self.rfbs = nn.ModuleDict()
        for level in layout.rfb_levels:
            self.rfbs[f"level{level}"] = RFB(
                layout.decoded_channels(level), layout.rfb_channels(level), *norm
            )
        self.heads = nn.ModuleDict()
        for level in LEVELS:
            self.heads[f"level{level}"] = nn.Conv2d(
                layout.head_channels(level), layout.embedding_channels, 1
            )
        count = layout.landmarks if layout.adapter_channels else 0
        self.adapters = nn.ModuleList(Adapter(layout) for _ in range(count))

    @property
    def depends_on_landmark(self) -> bool:
        """Whether any part belongs to one landmark."""
        return len(self.adapters) > 0 or self.layout.normalisation == "landmark"

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
        self._check([landmark])
        maps = self._converted(maps)
        adapter = self.adapter(landmark) if len(self.adapters) else None
        decoded = {COARSEST: maps[COARSEST - 1]}
        for level in reversed(DECODER_LEVELS):
            decoded[level] = self.decoder[f"level{level}"](
                maps[level - 1],
                decoded[level + 1],
                adapter.conv(level) if adapter else None,
                landmark,
            )
        embeddings = []
        for level in LEVELS:
            features = decoded[level]
            if level in self.layout.rfb_levels:
                wide = [self.rfb(level)(features, landmark)]
                own = [adapter.rfb(level)(features)] if adapter else []
                features = torch.cat(wide + own, dim=1)
            embeddings.append(self.head(level)(features))
        return tuple(embeddings)

    def everywhere(self, maps: Sequence[Tensor], landmarks: Sequence[int]) -> tuple[Tensor, ...]:
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
        decoded = self._decoded(self._converted(maps), landmarks, {})
        embeddings = []
        for level in LEVELS:
            features = self._features(level, decoded[level], landmarks)
            embeddings.append(self._embedded(level, features.parts, landmarks))
        return tuple(embeddings)

    def near(
        self, maps: Sequence[Tensor], landmarks: Sequence[int], points_yx: Tensor, window: int
    ) -> tuple[Window, ...]:
        """Embed what lies around one point a landmark and image.

        Each window begins ``window // 2`` cells before the point's cell and is moved
        inwards at borders; an axis of the map that is not longer than the window,
        and level 5 always, is whole. In evaluation the windows are those of
        `everywhere`.

        In training, batch statistics come from what is computed: at levels 1 and 2
        from the windows of all landmarks, at least ``SMALLEST_REGION`` cells a side,
        and the cells around them that the convolutions need; so too in the last
        convolutions of the receptive field blocks where the window is less than
        half of the map; elsewhere from whole maps. Several landmarks on which nothing
        depends share whole maps, computed once.

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
        maps = self._converted(maps)
        points_yx = points_yx.to(maps[0].device)

        def around(level: int, side: int) -> Region:
            full_yx = (int(maps[level - 1].shape[-2]), int(maps[level - 1].shape[-1]))
            return Region.around(points_yx, 2**level, side, full_yx)

        regions = {}
        if self.depends_on_landmark or len(landmarks) == 1:
            side = max(window, SMALLEST_REGION)
            regions = {level: around(level, side) for level in DECODER_LEVELS}
        decoded = self._decoded(maps, landmarks, regions)
        found = []
        for level in LEVELS:
            read = self._features(level, decoded[level], landmarks, regions.get(level))
            side = max(maps[-1].shape) if level == COARSEST else window
            wanted = around(level, side)
            embeddings = self._embedded(level, read.within(wanted), landmarks)
            found.append(Window(embeddings, wanted.origin_yx, wanted.full_yx))
        return tuple(found)

    def adapter(self, landmark: int) -> Adapter:
        """Return the adapter of a landmark."""
        adapter = self.adapters[landmark]
        assert isinstance(adapter, Adapter)
        return adapter

    def rfb(self, level: int) -> RFB:
        """Return the shared receptive field block of a level from 3 to 5."""
        rfb = self.rfbs[f"level{level}"]
        assert isinstance(rfb, RFB)
        return rfb

    def head(self, level: int) -> nn.Conv2d:
        """Return the shared 1 x 1 convolution to the embedding of a level."""
        head = self.heads[f"level{level}"]
        assert isinstance(head, nn.Conv2d)
        return head

    def _check(self, landmarks: Sequence[int]) -> None:
        count = self.layout.landmarks
        wrong = [k for k in landmarks if not 0 <= k < count]
        twice = self.depends_on_landmark and len(set(landmarks)) != len(landmarks)
        if wrong or not landmarks or twice:
            raise UsageError(
                f"landmarks {list(landmarks)} were asked of a network of {count}",
                remedy=f"name each once, from 0 to {count - 1}",
            )

    def _converted(self, maps: Sequence[Tensor]) -> list[Tensor]:
        if len(maps) != len(LEVELS):
            raise UsageError(f"a network reads {len(LEVELS)} maps, not {len(maps)}")
        dtype = self.head(COARSEST).weight.dtype
        read = [one_map.to(dtype) for one_map in maps]
        if not self.laterals:
            return read
        laterals = self.laterals.values()
        return [conv(one_map) for conv, one_map in zip(laterals, read, strict=True)]

    def _decoded(
        self, maps: Sequence[Tensor], landmarks: Sequence[int], regions: Mapping[int, Region]
    ) -> dict[int, Decoded]:
        """Return F_c of every level, in regions where they are given."""
        coarsest = maps[COARSEST - 1]
        decoded = {COARSEST: Decoded((coarsest[:, None],), Region.all_of(coarsest, len(landmarks)))}
        for level in reversed(DECODER_LEVELS):
            skip, coarser = maps[level - 1], decoded[level + 1]
            region = regions.get(level) if level in WINDOWED_LEVELS else None
            if region is None or region.whole:
                held, region = Region.all_of(skip, len(landmarks)), None
                ups = [upsampled(part, held.full_yx) for part in coarser.parts]
                joined = [skip[:, None], *ups]
            else:
                held, given = region, region.grown(DoubleConv.REACH)
                ups = [interpolated(part, coarser.region, given) for part in coarser.parts]
                joined = [given.cut(skip[:, None]), *ups]
            up_block = self.decoder[f"level{level}"]
            assert isinstance(up_block, UpBlock)
            made = [up_block.convs.together(joined, landmarks, region)]
            if len(self.adapters):
                own = [self.adapter(k).conv(level) for k in landmarks]
                made.append(each_block(own, joined, region))
            decoded[level] = Decoded(tuple(made), held)
        return decoded

    def _features(
        self, level: int, decoded: Decoded, landmarks: Sequence[int], region: Region | None = None
    ) -> Decoded:
        """Return what the head of a level reads.

        A receptive field block passes no more than the region where that pays.
        """
        if level not in self.layout.rfb_levels:
            return decoded
        region = region if region is not None and region.few else None
        made = [self.rfb(level).together(decoded.parts, landmarks, region)]
        if len(self.adapters):
            own = [self.adapter(k).rfb(level) for k in landmarks]
            made.append(each_block(own, decoded.parts, region))
        return Decoded(tuple(made), region or decoded.region)

    def _embedded(self, level: int, features: Parts, landmarks: Sequence[int]) -> Tensor:
        """Return F_e of a level, (B, K, E, rows, columns)."""
        embedded = convolved(Kernel.of([self.head(level)]), features)
        return embedded.expand(-1, len(landmarks), -1, -1, -1)
