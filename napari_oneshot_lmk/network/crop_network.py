"""The network of the fine stage: a U-Net that looks for one landmark in a crop.

Built of the blocks of MONAI's `BasicUNet`. All landmarks share it; which one is looked for
enters at the lowest resolution, as a scale and a shift of each channel (feature-wise linear
modulation, Perez et al. 2018).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.network.crop_config import WIDTHS, CropNetworkConfig
from napari_oneshot_lmk.network.unet_blocks import Down, TwoConv, UpCat


class CropNetwork(nn.Module):
    """Maps crops around landmarks to a map per crop whose softmax is where the landmark is.

    Examples
    --------
    >>> network = CropNetwork(CropNetworkConfig(landmarks=19, width=4))
    >>> network(torch.zeros(3, 2, 32, 32), torch.tensor([0, 5, 18])).shape
    torch.Size([3, 32, 32])
    """

    def __init__(self, config: CropNetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * times for times in WIDTHS]
        self.first = TwoConv(config.scales * config.cell**2, widths[0])
        self.down = nn.ModuleList(Down(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(UpCat(b, a, a) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[0], 1, 1)
        self.landmark = nn.Embedding(config.landmarks, 2 * widths[-1])
        nn.init.normal_(self.landmark.weight, std=0.1)

    def forward(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """Return maps (B, S, S) of crops (B, scales, S, S), each of one of (B,) landmarks.

        S is a multiple of `STRIDE` cells.
        """
        cell = self.config.cell
        if cell > 1:
            # A cell's pixels as so many channels: nothing of the crop is lost.
            crops = F.pixel_unshuffle(crops, cell)
        if not self.training:
            # Faster on a processor, to the last digits the same; training in bf16 is not.
            crops = crops.contiguous(memory_format=torch.channels_last)
        maps = [self.first(crops)]
        for down in self.down:
            maps.append(down(maps[-1]))
        scale, shift = self.landmark(landmarks)[:, :, None, None].chunk(2, dim=1)
        decoded = maps.pop() * (1 + scale) + shift
        for up in reversed(self.up):
            decoded = up(decoded, maps.pop())
        found: Tensor = self.last(decoded)
        if cell > 1:
            found = F.interpolate(found, scale_factor=cell, mode="bilinear", align_corners=False)
        return found[:, 0]
