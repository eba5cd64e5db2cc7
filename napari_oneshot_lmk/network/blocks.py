"""Convolutions with their normalisation, and blocks of them, of one or many landmarks.

A block says once in which order maps pass its layers (`Block.flow`). Who applies the
layers differs: the block itself to the maps of one landmark, a shared block to the
maps of several landmarks, or each landmark's own block to its maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.multi_landmark import (
    Kernel,
    Normed,
    Parts,
    convolved,
    convolved_each,
    norm_each,
)
from napari_oneshot_lmk.network.windows import Region


class Layers(Protocol):
    """Applies layers by their names."""

    def __call__(self, name: str, maps: Tensor | Parts, *, padded: bool = True) -> Tensor:
        """Pass maps through a layer; without padding they shrink."""


class ConvNorm(nn.Module):
    """A convolution that keeps the map's size, and its normalisation.

    Parameters
    ----------
    given, made : int
        Channels.
    kernel_yx : tuple of int
        Rows and columns, odd.
    dilation : int
        Distance of the kernel's cells.
    bias : bool
        Whether it has one beside batch norm; without batch norm it always has.
    gain : float
        2 where a ReLU follows, else 1: the signal keeps its size at the start.
    normalisation, landmarks
        As in `Normed`.
    """

    def __init__(
        self,
        given: int,
        made: int,
        kernel_yx: tuple[int, int],
        *,
        dilation: int = 1,
        bias: bool,
        gain: float,
        normalisation: Normalisation,
        landmarks: int,
    ) -> None:
        super().__init__()
        rows, columns = kernel_yx
        self.conv = nn.Conv2d(
            given,
            made,
            kernel_yx,
            padding=(dilation * (rows // 2), dilation * (columns // 2)),
            dilation=dilation,
            bias=bias or normalisation == "none",
        )
        # What a deep network without batch norm lives on; one with it does not mind.
        nn.init.normal_(self.conv.weight, std=(gain / (given * rows * columns)) ** 0.5)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm = Normed(made, normalisation, landmarks)

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Convolve and normalise (B, C, h, w) maps of one landmark."""
        normed: Tensor = self.norm(self.conv(maps), landmark)
        return normed

    def together(self, parts: Parts, landmarks: Sequence[int], *, padded: bool = True) -> Tensor:
        """Convolve and normalise maps of several landmarks with shared weights."""
        kernel = Kernel.of([self.conv])
        if not padded:
            kernel = kernel.unpadded()
        if self.norm.present and not self.norm.own_to_each and not self.training:
            return convolved(kernel.followed_by([self.norm.of(0)]), parts)
        return self.norm.together(convolved(kernel, parts), landmarks)


class Block(nn.Module):
    """Named `ConvNorm` layers, and the order in which maps pass them."""

    def layer(self, name: str) -> ConvNorm:
        """Return the layer of a name."""
        layer = self.get_submodule(name)
        assert isinstance(layer, ConvNorm)
        return layer

    @staticmethod
    def flow(layers: Layers, maps: Tensor | Parts, region: Region | None = None) -> Tensor:
        """Pass maps through the layers, whoever applies them.

        Parameters
        ----------
        layers : callable
            Applies the layer of a name.
        maps : Tensor, or parts of a concatenation
            What the first layer reads.
        region : Region, optional
            The only cells that are wanted.
        """
        raise NotImplementedError

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Pass (B, C, h, w) maps of one landmark."""

        def layers(name: str, maps: Tensor | Parts, *, padded: bool = True) -> Tensor:
            joined = maps if isinstance(maps, Tensor) else torch.cat(list(maps), dim=1)
            made: Tensor = self.layer(name)(joined, landmark)
            return made

        return self.flow(layers, maps)

    def together(
        self, parts: Parts, landmarks: Sequence[int], region: Region | None = None
    ) -> Tensor:
        """Pass maps of several landmarks, this block shared by them.

        Parameters
        ----------
        parts : sequence of Tensor, (B, K or 1, C, h, w)
            Of the concatenation that the block reads.
        landmarks : sequence of int
            K of them.
        region : Region, optional
            The only cells that are wanted.

        Returns
        -------
        Tensor, (B, K or 1, C', h, w)
        """

        def layers(name: str, maps: Tensor | Parts, *, padded: bool = True) -> Tensor:
            return self.layer(name).together(_parts(maps), landmarks, padded=padded)

        return self.flow(layers, parts, region)


def each_block(blocks: Sequence[Block], parts: Parts, region: Region | None = None) -> Tensor:
    """Pass each landmark's maps through its own block, all in one call.

    Parameters
    ----------
    blocks : sequence of Block
        One a landmark, alike but for their parameters.
    parts : sequence of Tensor, (B, K or 1, C, h, w)
        Of the concatenation that the blocks read.
    region : Region, optional
        The only cells that are wanted.

    Returns
    -------
    Tensor, (B, K, C', h, w)
    """

    def layers(name: str, maps: Tensor | Parts, *, padded: bool = True) -> Tensor:
        own = [block.layer(name) for block in blocks]
        norms = [layer.norm.of(0) for layer in own if layer.norm.present]
        kernel = Kernel.of([layer.conv for layer in own])
        if not padded:
            kernel = kernel.unpadded()
        if norms and not own[0].training:
            kernel, norms = kernel.followed_by(norms), []
        made = convolved_each(kernel, _parts(maps), len(own))
        return norm_each(norms, made) if norms else made

    return blocks[0].flow(layers, parts, region)


def activated(maps: Tensor) -> Tensor:
    """ReLU, in place where nothing will be differentiated."""
    return F.relu(maps, inplace=not torch.is_grad_enabled())


def _parts(maps: Tensor | Parts) -> Parts:
    return [maps] if isinstance(maps, Tensor) else maps


REACHES = (3, 5, 7)
"""Of the three branches: length of the row and column kernels, and dilation."""


class RFB(Block):
    """Receptive field block: four branches, joined, beside a shortcut.

    The first branch is a 1 x 1 convolution. The others are 1 x 1, then 1 x r, r x 1,
    and 3 x 3 with dilation r. Their concatenation goes through a 3 x 3 convolution, a
    1 x 1 convolution of the input is added, and only then comes the one ReLU. Each
    convolution is followed by batch norm (RFB-Net, Liu et al., ECCV 2018, as CC2D
    uses it).

    Parameters
    ----------
    given, made : int
        Channels; every branch has ``made``.
    normalisation, landmarks
        As in `Normed`.
    """

    def __init__(
        self, given: int, made: int, normalisation: Normalisation = "batch", landmarks: int = 1
    ) -> None:
        super().__init__()

        def add(name: str, channels: int, kernel_yx: tuple[int, int], dilation: int = 1) -> None:
            layer = ConvNorm(
                channels,
                made,
                kernel_yx,
                dilation=dilation,
                bias=False,
                gain=1.0,
                normalisation=normalisation,
                landmarks=landmarks,
            )
            self.add_module(name, layer)

        add("point", given, (1, 1))
        for reach in REACHES:
            add(f"reduce{reach}", given, (1, 1))
            add(f"row{reach}", made, (1, reach))
            add(f"column{reach}", made, (reach, 1))
            add(f"dilated{reach}", made, (3, 3), reach)
        add("join", made * (1 + len(REACHES)), (3, 3))
        add("shortcut", given, (1, 1))

    @staticmethod
    def flow(layers: Layers, maps: Tensor | Parts, region: Region | None = None) -> Tensor:
        """Pass maps through the layers, whoever applies them.

        The maps are whole. Where only a region is wanted, the two 3 x 3 convolutions
        of each branch, three quarters of the cost, are computed just there.
        """
        if region is not None:
            return _flow_in_region(layers, maps, region)
        branches = [layers("point", maps)]
        for reach in REACHES:
            branch = layers(f"reduce{reach}", maps)
            for step in ("row", "column", "dilated"):
                branch = layers(f"{step}{reach}", branch)
            branches.append(branch)
        joined = layers("join", branches)
        return activated(joined + layers("shortcut", maps))


def _flow_in_region(layers: Layers, maps: Tensor | Parts, region: Region) -> Tensor:
    given = [maps] if isinstance(maps, Tensor) else maps
    around = region.grown(1)
    branches = [layers("point", [around.cut(part) for part in given])]
    for reach in REACHES:
        branch = layers(f"reduce{reach}", maps)
        for step in ("row", "column"):
            branch = layers(f"{step}{reach}", branch)
        branch = around.grown(reach).cut(branch)
        branches.append(layers(f"dilated{reach}", branch, padded=False))
    # To the last convolution, cells beyond the map's border are padding.
    inside = around.inside(branches[0])
    joined = layers("join", [inside * branch for branch in branches], padded=False)
    return activated(joined + layers("shortcut", [region.cut(part) for part in given]))
