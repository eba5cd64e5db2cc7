"""The blocks that the network is built of, for the maps of one landmark or of many.

A block says once in which order maps pass its layers (`Block.apply_layers`). Who
applies a layer differs: the block itself to the maps of one landmark (`forward`), a
shared block to the maps of several landmarks (`forward_landmarks`), or each landmark's
own block to its maps (`forward_each`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
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
    """Applies a layer by its name; without padding the maps shrink."""

    def __call__(self, name: str, maps: Tensor | ChannelParts, *, padded: bool = True) -> Tensor:
        """Pass maps through the layer."""


class ConvNorm(nn.Module):
    """A convolution that keeps the map's size, and its normalisation.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_yx : tuple of int
        Rows and columns, odd.
    dilation : int
        Distance of the kernel's cells.
    bias : bool
        Whether it has one beside batch norm; without batch norm it always has.
    gain : float
        2 where a ReLU follows, else 1: the signal keeps its size at the start.
    normalisation, num_landmarks
        As in `LandmarkNorm`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_yx: tuple[int, int],
        *,
        dilation: int = 1,
        bias: bool,
        gain: float,
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
            bias=bias or normalisation == "none",
        )
        # What a deep network without batch norm lives on; one with it does not mind.
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
        conv = ConvWeights.of([self.conv])
        if not padded:
            conv = conv.without_padding()
        if self.norm.present and not self.norm.per_landmark and not self.training:
            return shared_conv(conv.fuse([self.norm.for_landmark(0)]), parts)
        return self.norm.forward_landmarks(shared_conv(conv, parts), landmarks)


class Block(nn.Module):
    """Named `ConvNorm` layers, and the order in which maps pass them."""

    def layer(self, name: str) -> ConvNorm:
        """Return the layer of a name."""
        layer = self.get_submodule(name)
        assert isinstance(layer, ConvNorm)
        return layer

    @staticmethod
    def apply_layers(
        layers: Layers, maps: Tensor | ChannelParts, region: Region | None = None
    ) -> Tensor:
        """Pass maps, or the parts of a concatenation, through the layers.

        ``layers`` applies the layer of a name; ``region`` holds the only cells that
        are wanted.
        """
        raise NotImplementedError

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Pass (B, C, h, w) maps of one landmark."""

        def layers(name: str, maps: Tensor | ChannelParts, *, padded: bool = True) -> Tensor:
            whole = maps if isinstance(maps, Tensor) else torch.cat(list(maps), dim=1)
            passed: Tensor = self.layer(name)(whole, landmark)
            return passed

        return self.apply_layers(layers, maps)

    def forward_landmarks(
        self, parts: ChannelParts, landmarks: Sequence[int], region: Region | None = None
    ) -> Tensor:
        """Pass maps of K landmarks, this block shared by them.

        Parameters
        ----------
        parts : sequence of Tensor, (B, K or 1, C, h, w)
            Of the concatenation that the block reads.
        landmarks : sequence of int
        region : Region, optional
            The only cells that are wanted.

        Returns
        -------
        Tensor, (B, K or 1, C', h, w)
        """

        def layers(name: str, maps: Tensor | ChannelParts, *, padded: bool = True) -> Tensor:
            return self.layer(name).forward_landmarks(_as_parts(maps), landmarks, padded=padded)

        return self.apply_layers(layers, parts, region)


def forward_each(
    blocks: Sequence[Block], parts: ChannelParts, region: Region | None = None
) -> Tensor:
    """Pass each landmark's maps through its own block, all in one call.

    The K blocks are alike but for their parameters. Arguments and result are those of
    `Block.forward_landmarks`.
    """

    def layers(name: str, maps: Tensor | ChannelParts, *, padded: bool = True) -> Tensor:
        own = [block.layer(name) for block in blocks]
        norms = [layer.norm.for_landmark(0) for layer in own if layer.norm.present]
        conv = ConvWeights.of([layer.conv for layer in own])
        if not padded:
            conv = conv.without_padding()
        if norms and not own[0].training:
            conv, norms = conv.fuse(norms), []
        passed = grouped_conv(conv, _as_parts(maps), len(own))
        return grouped_norm(norms, passed) if norms else passed

    return blocks[0].apply_layers(layers, parts, region)


class DoubleConv(Block):
    """Twice a 3 x 3 convolution, batch norm, ReLU: Conv and Conv-A of equation 1.

    Its normalisation is a `LandmarkNorm`.
    """

    REACH = 2
    """Cells beyond a cell, on each side, that it is computed from."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        normalisation: Normalisation = "batch",
        num_landmarks: int = 1,
    ) -> None:
        super().__init__()
        for name, channels in (("first", in_channels), ("second", out_channels)):
            layer = ConvNorm(
                channels,
                out_channels,
                (3, 3),
                bias=True,
                gain=2.0,
                normalisation=normalisation,
                num_landmarks=num_landmarks,
            )
            self.add_module(name, layer)

    @staticmethod
    def apply_layers(
        layers: Layers, maps: Tensor | ChannelParts, region: Region | None = None
    ) -> Tensor:
        """Pass maps through the layers.

        Where a region is wanted, the maps hold that region and ``REACH`` cells
        around it, zero beyond the map's border.
        """
        if region is None:
            return _relu(layers("second", _relu(layers("first", maps))))
        between = _relu(layers("first", maps, padded=False))
        # To the second convolution, cells beyond the map's border are padding.
        between = between * region.grow(1).mask(between)
        return _relu(layers("second", between, padded=False))


class RFB(Block):
    """Receptive field block: four branches, concatenated, beside a shortcut.

    The first branch is a 1 x 1 convolution. The others are 1 x 1, then 1 x r, r x 1,
    and 3 x 3 with dilation r. Their concatenation goes through a 3 x 3 convolution, a
    1 x 1 convolution of the input is added, and only then comes the one ReLU. Each
    convolution is followed by batch norm (RFB-Net, Liu et al., ECCV 2018, as CC2D
    uses it); every branch has ``out_channels``. A cell sees 23 x 23 of its neighbours.
    """

    BRANCHES = (3, 5, 7)
    """r: length of the row and column kernels, and dilation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        normalisation: Normalisation = "batch",
        num_landmarks: int = 1,
    ) -> None:
        super().__init__()

        def add(name: str, channels: int, kernel_yx: tuple[int, int], dilation: int = 1) -> None:
            layer = ConvNorm(
                channels,
                out_channels,
                kernel_yx,
                dilation=dilation,
                bias=False,
                gain=1.0,
                normalisation=normalisation,
                num_landmarks=num_landmarks,
            )
            self.add_module(name, layer)

        add("point", in_channels, (1, 1))
        for r in self.BRANCHES:
            add(f"reduce{r}", in_channels, (1, 1))
            add(f"row{r}", out_channels, (1, r))
            add(f"column{r}", out_channels, (r, 1))
            add(f"dilated{r}", out_channels, (3, 3), r)
        add("join", out_channels * (1 + len(self.BRANCHES)), (3, 3))
        add("shortcut", in_channels, (1, 1))

    @staticmethod
    def apply_layers(
        layers: Layers, maps: Tensor | ChannelParts, region: Region | None = None
    ) -> Tensor:
        """Pass maps through the layers.

        The maps are whole. Where only a region is wanted, the two 3 x 3 convolutions
        of each branch, three quarters of the cost, are computed just there.
        """
        if region is not None:
            return _apply_rfb_in_region(layers, maps, region)
        branches = [layers("point", maps)]
        for r in RFB.BRANCHES:
            branch = layers(f"reduce{r}", maps)
            for step in ("row", "column", "dilated"):
                branch = layers(f"{step}{r}", branch)
            branches.append(branch)
        return _relu(layers("join", branches) + layers("shortcut", maps))


def _apply_rfb_in_region(layers: Layers, maps: Tensor | ChannelParts, region: Region) -> Tensor:
    parts = _as_parts(maps)
    around = region.grow(1)
    branches = [layers("point", [around.crop(part) for part in parts])]
    for r in RFB.BRANCHES:
        branch = layers(f"reduce{r}", maps)
        for step in ("row", "column"):
            branch = layers(f"{step}{r}", branch)
        branch = around.grow(r).crop(branch)
        branches.append(layers(f"dilated{r}", branch, padded=False))
    # To the last convolution, cells beyond the map's border are padding.
    mask = around.mask(branches[0])
    joined = layers("join", [mask * branch for branch in branches], padded=False)
    return _relu(joined + layers("shortcut", [region.crop(part) for part in parts]))


def _relu(maps: Tensor) -> Tensor:
    """In place where nothing will be differentiated."""
    return F.relu(maps, inplace=not torch.is_grad_enabled())


def _as_parts(maps: Tensor | ChannelParts) -> ChannelParts:
    return [maps] if isinstance(maps, Tensor) else maps
