"""CC2D's decoder: upsample, join with the encoder's map, convolve twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.landmark_axis import Parts, convolved, convolved_each
from napari_oneshot_lmk.network.layout import Normalisation
from napari_oneshot_lmk.network.normalisation import Normed, norm_each

Layer = Callable[[str, Any], Tensor]
"""Applies the layer of this name to maps."""


class ConvNorm(nn.Module):
    """A convolution that keeps the map's size, and its normalisation.

    Parameters
    ----------
    channels : tuple of int
        Given and made.
    kernel : tuple of int
        Rows and columns, odd.
    dilation : int
        Distance of the kernel's cells.
    bias : bool
        Whether it has one beside batch norm; without batch norm it always has.
    gain : float
        Of the variance, for the first parameters: 2 before a ReLU, else 1.
    normalisation, landmarks
        As in `Normed`.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: tuple[int, int],
        *,
        dilation: int = 1,
        bias: bool,
        gain: float,
        normalisation: Normalisation,
        landmarks: int,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            *channels,
            kernel,
            padding=(dilation * (kernel[0] // 2), dilation * (kernel[1] // 2)),
            dilation=dilation,
            bias=bias or normalisation == "none",
        )
        # The signal keeps its size through any number of layers, which is what a
        # network without batch norm lives on; to one with batch norm it is the same.
        nn.init.normal_(
            self.conv.weight, std=(gain / self.conv.weight[0].numel()) ** 0.5
        )
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm = Normed(channels[1], normalisation, landmarks)

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Convolve and normalise (B, C, h, w) maps of one landmark."""
        normed: Tensor = self.norm(self.conv(maps), landmark)
        return normed

    def together(
        self, parts: Parts, landmarks: Sequence[int], *, padded: bool = True
    ) -> Tensor:
        """Convolve and normalise maps of several landmarks with shared weights."""
        return self.norm.together(convolved(self.conv, parts, padded=padded), landmarks)


def conv_norm_each(
    layers: Sequence[ConvNorm], parts: Parts, *, padded: bool = True
) -> Tensor:
    """Convolve and normalise each landmark's maps with its own layer."""
    maps = convolved_each([layer.conv for layer in layers], parts, padded=padded)
    norms = [layer.norm.of(0) for layer in layers if len(layer.norm.norms)]
    return norm_each(norms, maps) if norms else maps


class DoubleConv(nn.Module):
    """Twice a 3 x 3 convolution, batch norm, ReLU: the Conv of equation 1.

    Parameters
    ----------
    given, made : int
        Channels.
    normalisation, landmarks
        As in `Normed`.
    """

    def __init__(
        self,
        given: int,
        made: int,
        normalisation: Normalisation = "batch",
        landmarks: int = 1,
    ) -> None:
        super().__init__()
        for name, channels in (("first", (given, made)), ("second", (made, made))):
            layer = ConvNorm(
                channels,
                (3, 3),
                bias=True,
                gain=2.0,
                normalisation=normalisation,
                landmarks=landmarks,
            )
            self.add_module(name, layer)

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Convolve (B, C, h, w) maps of one landmark."""
        return self.flow(lambda name, m: self.get_submodule(name)(m, landmark), maps)

    @staticmethod
    def flow(layer: Layer, maps: Any, inside: Tensor | None = None) -> Tensor:
        """Pass maps through the layers, whoever applies them.

        Parameters
        ----------
        layer : callable
            Applies the layer of a name.
        maps : Tensor or parts
            What the first layer reads.
        inside : Tensor, optional
            0 at cells beyond the map's border: to the second convolution they are
            padding.
        """
        between = F.relu(layer("first", maps))
        if inside is not None:
            between = between * inside
        return F.relu(layer("second", between))


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
        self,
        given: int,
        made: int,
        normalisation: Normalisation = "batch",
        landmarks: int = 1,
    ) -> None:
        super().__init__()
        self.convs = DoubleConv(given, made, normalisation, landmarks)

    def forward(
        self,
        skip: Tensor,
        coarser: Tensor,
        adapter: nn.Module | None = None,
        landmark: int = 0,
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


def upsampled(maps: Tensor, size_yx: Sequence[int]) -> Tensor:
    """Double a (..., C, h, w) map bilinearly, corners aligned, as CC2D does.

    Where twice the map is not the size that is asked for (the finer map has an odd
    length) it is padded with zeros, evenly, the odd cell at the end.
    """
    flat = maps.flatten(0, -4)
    doubled = F.interpolate(flat, scale_factor=2, mode="bilinear", align_corners=True)
    (top, bottom), (left, right) = (
        padding(length, size)
        for length, size in zip(doubled.shape[-2:], size_yx, strict=True)
    )
    if any((top, bottom, left, right)):
        doubled = F.pad(doubled, (left, right, top, bottom))
    return doubled.unflatten(0, maps.shape[:-3])


def padding(length: int, size: int) -> tuple[int, int]:
    """Cells to add before and after a length to reach a size; negative: to cut."""
    before = (size - length) // 2
    return before, size - length - before
