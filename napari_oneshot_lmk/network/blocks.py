"""The blocks of the network, for the maps of one landmark or of several.

Each block defines once in which order maps pass its layers (`Block.apply_layers`). The
layers are its own, for one landmark (`forward`) or shared by several
(`forward_landmarks`), or those of one block per landmark (`forward_each`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.kept_weights import weights_for
from napari_oneshot_lmk.network.multi_landmark import (
    ChannelParts,
    ConvWeights,
    LandmarkNorm,
    grouped_conv,
    grouped_norm,
    shared_conv,
)
from napari_oneshot_lmk.network.windows import Region


class Layers(Protocol):
    """Passes the parts of a concatenation through a layer by its name."""

    def __call__(self, name: str, parts: ChannelParts, *, padded: bool = True) -> Tensor:
        """Without padding the maps shrink."""


class ConvNorm(nn.Module):
    """A convolution that keeps the map's size, and its `LandmarkNorm`.

    Where a ReLU follows (``relu``) it has a bias and twice the initial variance, so that
    the signal keeps its size. Without batch norm it always has a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_yx: tuple[int, int],
        dilation: int = 1,
        *,
        relu: bool,
        normalisation: Normalisation,
        num_landmarks: int,
    ) -> None:
        super().__init__()
        rows, columns = kernel_yx
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_yx,
            padding=(dilation * (rows // 2), dilation * (columns // 2)),
            dilation=dilation,
            bias=relu or normalisation == "none",
        )
        # A deep network without batch norm depends on it; one with it is indifferent.
        gain = 2.0 if relu else 1.0
        nn.init.normal_(self.conv.weight, std=(gain / (in_channels * rows * columns)) ** 0.5)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm = LandmarkNorm(out_channels, normalisation, num_landmarks)

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Convolve and normalise (B, C, h, w) maps of one landmark."""
        normed: Tensor = self.norm(self.conv(maps), landmark)
        return normed

    def forward_landmarks(
        self, parts: ChannelParts, landmarks: Sequence[int], *, padded: bool = True
    ) -> Tensor:
        """Convolve and normalise maps of several landmarks with shared weights."""
        included = self.norm.present and not self.norm.per_landmark and not self.training
        norms = [self.norm.for_landmark(0)] if included else []
        conved = shared_conv(weights_for([self.conv], norms, parts, padded=padded), parts)
        return conved if included else self.norm.forward_landmarks(conved, landmarks)


class Block(nn.Module):
    """Named `ConvNorm` layers, and the order in which maps pass them."""

    def layer(self, name: str) -> ConvNorm:
        """Return the layer of a name."""
        layer = self.get_submodule(name)
        assert isinstance(layer, ConvNorm)
        return layer

    def apply_layers(
        self,
        layers: Layers,
        parts: ChannelParts,
        region: Region | None = None,
        held: Region | None = None,
        *,
        shared: bool = False,
    ) -> Tensor:
        """Pass the parts of a concatenation through the layers, for a region if one is given.

        ``held`` are the cells that the parts hold, if not whole maps; ``shared`` says that the
        layers are those of this block for all landmarks.
        """
        raise NotImplementedError

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Pass (B, C, h, w) maps of one landmark."""

        def layers(name: str, parts: ChannelParts, *, padded: bool = True) -> Tensor:
            whole = _tensors(parts)[0] if len(parts) == 1 else torch.cat(_tensors(parts), dim=1)
            passed: Tensor = self.layer(name)(whole, landmark)
            return passed

        return self.apply_layers(layers, [maps])

    def forward_landmarks(
        self,
        parts: ChannelParts,
        landmarks: Sequence[int],
        region: Region | None = None,
        held: Region | None = None,
    ) -> Tensor:
        """Pass maps of K landmarks through this block, which they share.

        Returns (B, K or 1, C', rows, columns), of the region where one is given. ``held`` as of
        `apply_layers`.
        """

        def layers(name: str, parts: ChannelParts, *, padded: bool = True) -> Tensor:
            return self.layer(name).forward_landmarks(parts, landmarks, padded=padded)

        return self.apply_layers(layers, parts, region, held, shared=True)


def forward_each(
    blocks: Sequence[Block],
    parts: ChannelParts,
    region: Region | None = None,
    held: Region | None = None,
) -> Tensor:
    """Pass the maps of K landmarks through one block per landmark, in one call.

    The blocks differ in nothing but their parameters. Otherwise as
    `Block.forward_landmarks`.
    """

    def layers(name: str, parts: ChannelParts, *, padded: bool = True) -> Tensor:
        own = [block.layer(name) for block in blocks]
        norms = [layer.norm.for_landmark(0) for layer in own if layer.norm.present]
        included = [] if own[0].training else norms
        conv = weights_for([layer.conv for layer in own], included, parts, padded=padded)
        passed = grouped_conv(conv, parts, len(own))
        return grouped_norm(norms, passed) if norms and not included else passed

    return blocks[0].apply_layers(layers, parts, region, held)


class DoubleConv(Block):
    """Twice a 3 x 3 convolution, batch norm, ReLU: Conv and Conv-A of equation 1."""

    REACH = 2
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
            ConvNorm, relu=True, normalisation=normalisation, num_landmarks=num_landmarks
        )
        self.first = layer(in_channels, out_channels, (3, 3))
        self.second = layer(out_channels, out_channels, (3, 3))

    def apply_layers(
        self,
        layers: Layers,
        parts: ChannelParts,
        region: Region | None = None,
        held: Region | None = None,
        *,
        shared: bool = False,
    ) -> Tensor:
        """Pass whole maps, or those of a region.

        The latter hold ``REACH`` cells more on each side, zero beyond the map's border.
        """
        between = _relu(layers("first", parts, padded=region is None))
        if region is not None:
            # To the second convolution, cells beyond the map's border are padding.
            between = region.grow(1).cleared(between)
        return _relu(layers("second", [between], padded=region is None))


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
            return [region.grow(border).take(part, held) for part in _tensors(parts)]

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
        return _relu(joined + layers("shortcut", crop(0)))

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
    maps = _tensors(parts)
    return [p for p in maps if p.shape[1] == 1], [p for p in maps if p.shape[1] > 1]


def _tensors(parts: ChannelParts) -> list[Tensor]:
    """Return parts none of which is `WholeMaps`: only a `DoubleConv` in a region reads these."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    assert len(tensors) == len(parts), "whole maps were given to a block that reads regions"
    return tensors


def _relu(maps: Tensor) -> Tensor:
    """In place where no gradient is computed."""
    return F.relu(maps, inplace=not torch.is_grad_enabled())
