"""The blocks of a small U-Net, as MONAI's `BasicUNet` has them in two dimensions.

Made here, because importing any part of MONAI imports all of it, which takes longer than
PyTorch itself and would be waited for by everyone who detects with a fine stage. Names of
parameters are MONAI's, so are their first values; a test compares all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.crop_config import NORM_GROUPS

NEGATIVE_SLOPE = 0.1


class Convolution(nn.Module):
    """A 3 x 3 convolution without bias, group norm, and a leaky rectifier."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        # Normalised alike in training and evaluation, and whatever else is in the batch.
        self.adn = nn.ModuleDict({"N": nn.GroupNorm(NORM_GROUPS, out_channels)})

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h, w)."""
        return F.leaky_relu(self.adn["N"](self.conv(maps)), NEGATIVE_SLOPE, inplace=True)


class TwoConv(nn.Module):
    """Two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_0 = Convolution(in_channels, out_channels)
        self.conv_1 = Convolution(out_channels, out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C', h, w)."""
        found: Tensor = self.conv_1(self.conv_0(maps))
        return found


class Down(nn.Module):
    """Halves the resolution; two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = TwoConv(in_channels, out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, 2h, 2w) to (B, C', h, w)."""
        found: Tensor = self.convs(F.max_pool2d(maps, 2))
        return found


class UpCat(nn.Module):
    """Doubles the resolution, joins the finer level's maps; two convolutions."""

    def __init__(self, in_channels: int, finer_channels: int, out_channels: int) -> None:
        super().__init__()
        half = in_channels // 2
        self.upsample = nn.ModuleDict({"deconv": nn.ConvTranspose2d(in_channels, half, 2, 2)})
        self.convs = TwoConv(finer_channels + half, out_channels)

    def forward(self, maps: Tensor, finer: Tensor) -> Tensor:
        """Map (B, C, h, w) and (B, C', 2h, 2w) to (B, C'', 2h, 2w)."""
        found: Tensor = self.convs(torch.cat((finer, self.upsample["deconv"](maps)), 1))
        return found
