"""The receptive field block, for the maps of one landmark or of several."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from napari_oneshot_lmk.network.blocks import Block, ConvNorm, Layers, as_tensors, relu
from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.multi_landmark import ChannelParts, ConvWeights, shared_conv
from napari_oneshot_lmk.network.windows import Region


class RFB(Block):
    """Receptive field block: four branches, concatenated, beside a shortcut.

    The first branch is a 1 x 1 convolution. The others are 1 x 1, then 1 x r, r x 1, and
    3 x 3 with dilation r. Their concatenation goes through a 3 x 3 convolution, a 1 x 1
    convolution of the input is added, and only then comes the one ReLU. Each convolution
    is followed by batch norm (RFB-Net, Liu et al., ECCV 2018, as CC2D uses it); every
    branch has ``out_channels``. The receptive field is 23 x 23 cells.
    """

    BRANCHES = (3, 5, 7)
    """r: length of the row and column kernels, and dilation."""
    REACH = 1 + BRANCHES[-1] + BRANCHES[-1] // 2
    """Cells on each side of a cell that it is computed from."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        normalisation: Normalisation = "batch",
        num_landmarks: int = 1,
    ) -> None:
        super().__init__()
        layer = partial(
            ConvNorm, relu=False, normalisation=normalisation, num_landmarks=num_landmarks
        )
        self.point = layer(in_channels, out_channels, (1, 1))
        for r in self.BRANCHES:
            self.add_module(f"reduce{r}", layer(in_channels, out_channels, (1, 1)))
            self.add_module(f"row{r}", layer(out_channels, out_channels, (1, r)))
            self.add_module(f"column{r}", layer(out_channels, out_channels, (r, 1)))
            self.add_module(f"dilated{r}", layer(out_channels, out_channels, (3, 3), r))
        self.join = layer(out_channels * (1 + len(self.BRANCHES)), out_channels, (3, 3))
        self.shortcut = layer(in_channels, out_channels, (1, 1))

    def apply_layers(
        self,
        layers: Layers,
        parts: ChannelParts,
        region: Region | None = None,
        held: Region | None = None,
        *,
        shared: bool = False,
    ) -> Tensor:
        """Pass whole maps.

        For a region, the two 3 x 3 convolutions of each branch, three quarters of the cost, are
        restricted to it. In evaluation so are those before them, to the cells that are needed; the
        parts may then hold no more than the region with `REACH` cells on each side.
        """
        apart = shared and region is not None and self._is_less_work_apart(parts)
        lengthen = self._lengthened_apart if apart else self._lengthened

        def crop(border: int) -> ChannelParts:
            if region is None:
                return parts
            return [region.grow(border).take(part, held) for part in as_tensors(parts)]

        branches = [layers("point", crop(1))]
        for r in RFB.BRANCHES:
            if region is None:
                reduced = layers(f"reduce{r}", parts)
                lengthened = layers(f"column{r}", [layers(f"row{r}", [reduced])])
            else:
                lengthened = lengthen(layers, parts, region.grow(1 + r), r, held)
            branches.append(layers(f"dilated{r}", [lengthened], padded=region is None))
        if region is not None:
            # To the last convolution, cells beyond the map's border are padding.
            branches = [region.grow(1).cleared(branch) for branch in branches]
        joined = layers("join", branches, padded=region is None)
        return relu(joined + layers("shortcut", crop(0)))

    def _lengthened(
        self, layers: Layers, parts: ChannelParts, wanted: Region, r: int, held: Region | None
    ) -> Tensor:
        """Pass a branch's first three convolutions, for a region; 0 beyond the map's border."""
        reach = r // 2
        read = wanted.grow(reach)
        # Once for all landmarks where they read the same: not in each one's region.
        reduced = layers(f"reduce{r}", parts)
        if held is None and (self.training or not read.is_small):
            return wanted.crop(layers(f"column{r}", [layers(f"row{r}", [reduced])]))
        # To each convolution, cells beyond the map's border are padding.
        rows = layers(f"row{r}", [read.take(reduced, held)], padded=False)
        columns = layers(f"column{r}", [read.shrink_columns(reach).cleared(rows)], padded=False)
        return wanted.cleared(columns)

    def _is_less_work_apart(self, parts: ChannelParts) -> bool:
        """Whether `_lengthened_apart` is the same, and less work."""
        alone, own = _apart(parts)
        if self.training or self.point.norm.per_landmark or not alone or not own:
            return False
        longest, width = RFB.BRANCHES[-1], self.point.conv.out_channels
        channels = sum(part.shape[2] for part in own)
        return longest**2 * channels < channels + 2 * longest * width

    def _lengthened_apart(
        self, layers: Layers, parts: ChannelParts, wanted: Region, r: int, held: Region | None
    ) -> Tensor:
        """`_lengthened` of what all landmarks read alike, once, and of what each reads, as a sum.

        Without a ReLU between them the three convolutions are affine. Of the few channels that
        belong to a landmark they are one r x r convolution.
        """
        reduce, row, column = (self._included(f"{name}{r}") for name in ("reduce", "row", "column"))
        split = reduce.split(parts).weights
        alone, own = _apart(parts)
        of_alone, of_own = (
            [w for w, part in zip(split, parts, strict=True) if (part.shape[1] == 1) is shared]
            for shared in (True, False)
        )
        reduced = shared_conv(replace(reduce, weights=tuple(of_alone)), alone)
        whole = layers(f"column{r}", [layers(f"row{r}", [reduced])])
        [rows], [columns] = row.weights, column.weights
        square = [
            torch.einsum(
                "ony,ncx->ocyx",
                columns[..., 0],
                torch.einsum("nmx,mc->ncx", rows[:, :, 0], w[..., 0, 0]),
            )
            for w in of_own
        ]
        read = wanted.grow(r // 2)
        lengthened = shared_conv(
            ConvWeights(tuple(square), None, (0, 0), (1, 1)), [read.take(p, held) for p in own]
        )
        return wanted.cleared(wanted.take(whole, held) + lengthened)

    def _included(self, name: str) -> ConvWeights:
        """Return a layer's weights with its batch norm in evaluation mode."""
        layer = self.layer(name)
        weights = ConvWeights.of([layer.conv])
        return weights.fuse([layer.norm.for_landmark(0)]) if layer.norm.present else weights


def _apart(parts: ChannelParts) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parts that are the same for all landmarks, and those of each."""
    maps = as_tensors(parts)
    return [p for p in maps if p.shape[1] == 1], [p for p in maps if p.shape[1] > 1]
