"""The compact network: one set of weights for all five strides.

Its input at each stride are the root histograms of gradient direction that the
hand-made descriptor stacks; it learns how to combine a neighbourhood of 9 x 9
cells of them. Sharing the weights over the strides makes it small and lets crops
of any zoom train all levels.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level
from napari_oneshot_lmk.encoders.orientation import DIRECTIONS, STRIDES, root_histograms

WIDTH = 48
CHANNELS = 64


class CompactNetwork(nn.Module):
    """Histograms of cells (B, DIRECTIONS, h, w) to embeddings (B, CHANNELS, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        replicate = {"padding_mode": "replicate"}
        self.linear = nn.Conv2d(DIRECTIONS, CHANNELS, 7, padding=3, **replicate)
        self.bend = nn.Sequential(
            nn.Conv2d(DIRECTIONS, WIDTH, 3, padding=1, **replicate),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, **replicate),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2, **replicate),
            nn.ReLU(),
            nn.Conv2d(WIDTH, CHANNELS, 1),
        )
        self.log_temperature = nn.Parameter(torch.tensor(-2.5))

    def forward(self, cells: Tensor) -> Tensor:
        """Embed; each vector has length 1."""
        energy = F.avg_pool2d(
            F.pad(cells.square().mean(1, keepdim=True), (3,) * 4, mode="replicate"), 7, 1
        )
        cells = cells / (energy + 1e-10).sqrt()
        return F.normalize(self.linear(cells) + self.bend(cells), dim=1)


def weights_sha256(network: nn.Module) -> str:
    """Hash names and float32 values of the parameters."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


class CompactEncoder:
    """The network as an encoder."""

    def __init__(self, network: CompactNetwork, device: torch.device) -> None:
        self.network = network.eval().to(device)
        self.device = device
        self.card = EncoderCard(
            name="compact",
            title="Compact CNN (trained on generated images)",
            weights_sha256=weights_sha256(network),
            levels=tuple(Level(f"compact{s}", s, CHANNELS) for s in STRIDES),
        )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1."""
        images = images.to(self.device, torch.float32)
        maps = tuple(self.network(root_histograms(images, stride)) for stride in STRIDES)
        return FeaturePyramid(maps, self.card.levels)
