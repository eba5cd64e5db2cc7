"""The receptive field block of CC2D: one cell sees 23 x 23 of its neighbours."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.decoder import ConvNorm, Layer
from napari_oneshot_lmk.network.layout import Normalisation

REACHES = (3, 5, 7)
"""Of the three branches: length of the row and column kernels, and dilation."""


class RFB(nn.Module):
    """Receptive field block: four branches, joined, beside a shortcut.

    Branch 0 is a 1 x 1 convolution. Branch r is 1 x 1, then 1 x r, r x 1, and 3 x 3
    with dilation r. Their concatenation goes through a 3 x 3 convolution, a 1 x 1
    convolution of the input is added, and only then comes the one ReLU. Each
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
        self,
        given: int,
        made: int,
        normalisation: Normalisation = "batch",
        landmarks: int = 1,
    ) -> None:
        super().__init__()

        def layer(
            name: str, channels: int, kernel: tuple[int, int], dilation: int = 1
        ) -> None:
            conv = ConvNorm(
                (channels, made),
                kernel,
                dilation=dilation,
                bias=False,
                gain=1.0,
                normalisation=normalisation,
                landmarks=landmarks,
            )
            self.add_module(name, conv)

        layer("point", given, (1, 1))
        for reach in REACHES:
            layer(f"reduce{reach}", given, (1, 1))
            layer(f"row{reach}", made, (1, reach))
            layer(f"column{reach}", made, (reach, 1))
            layer(f"dilated{reach}", made, (3, 3), reach)
        layer("join", made * (1 + len(REACHES)), (3, 3))
        layer("shortcut", given, (1, 1))

    def forward(self, maps: Tensor, landmark: int = 0) -> Tensor:
        """Convolve (B, C, h, w) maps of one landmark."""
        return self.flow(lambda name, m: self.get_submodule(name)(m, landmark), maps)

    @staticmethod
    def flow(layer: Layer, maps: Any) -> Tensor:
        """Pass maps through the layers, whoever applies them.

        Parameters
        ----------
        layer : callable
            Applies the layer of a name.
        maps : Tensor or parts
            What the first layers read.
        """
        branches = [layer("point", maps)]
        for reach in REACHES:
            branch = layer(f"reduce{reach}", maps)
            for step in ("row", "column", "dilated"):
                branch = layer(f"{step}{reach}", branch)
            branches.append(branch)
        joined = layer("join", torch.cat(branches, dim=-3))
        return F.relu(joined + layer("shortcut", maps))
