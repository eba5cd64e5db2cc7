"""The blocks of the network, for the maps of one landmark or of several.

Each block defines once in which order maps pass its layers (`Block.apply_layers`). The
layers are its own, for one landmark (`forward`) or shared by several
(`forward_landmarks`), or those of one block per landmark (`forward_each`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.config import Normalisation
from napari_oneshot_lmk.network.kept_weights import weights_for
from napari_oneshot_lmk.network.multi_landmark import (
    ChannelParts,
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
            whole = as_tensors(parts)[0] if len(parts) == 1 else torch.cat(as_tensors(parts), dim=1)
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
        between = relu(layers("first", parts, padded=region is None))
        if region is not None:
            # To the second convolution, cells beyond the map's border are padding.
            between = region.grow(1).cleared(between)
        return relu(layers("second", [between], padded=region is None))


def as_tensors(parts: ChannelParts) -> list[Tensor]:
    """Return parts none of which is `WholeMaps`: only a `DoubleConv` in a region reads these."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    assert len(tensors) == len(parts), "whole maps were given to a block that reads regions"
    return tensors


def relu(maps: Tensor) -> Tensor:
    """In place where no gradient is computed."""
    return F.relu(maps, inplace=not torch.is_grad_enabled())
