"""CC2D's decoder: upsample, join with the encoder's map, convolve twice."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.network.conv_norm import Block, ConvNorm, Layers, activated
from napari_oneshot_lmk.network.landmark_axis import Parts
from napari_oneshot_lmk.network.layout import Normalisation
from napari_oneshot_lmk.network.upsampling import upsampled
from napari_oneshot_lmk.network.windows import Region


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
