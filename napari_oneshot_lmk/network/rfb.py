"""The receptive field block of CC2D: a cell sees 23 x 23 of its neighbours."""

from __future__ import annotations

from torch import Tensor

from napari_oneshot_lmk.network.conv_norm import Block, ConvNorm, Layers, activated
from napari_oneshot_lmk.network.landmark_axis import Parts
from napari_oneshot_lmk.network.layout import Normalisation
from napari_oneshot_lmk.network.windows import Region

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
