"""Detection as one would first write it, and the published network it is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.random_models import encoder_channels
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.network.blocks import DoubleConv
from napari_oneshot_lmk.network.config import DECODER_WIDTHS, NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork

FINEST_CHANNELS = DECODER_WIDTHS[0]


class PublishedCC2D(nn.Module):
    """CC2D's decoder with all levels that its code computes.

    Level 0, at the image's own resolution and without a map of the encoder, is used by neither its
    loss nor its inference; `LandmarkNetwork` leaves it out.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        config = NetworkConfig(encoder_channels(encoder), 1, adapter_channels=0)
        self.network = LandmarkNetwork(config)
        self.level0 = DoubleConv(FINEST_CHANNELS, FINEST_CHANNELS)
        self.head0 = nn.Conv2d(FINEST_CHANNELS, config.embedding_channels, 1)
        self.requires_grad_(False).eval()

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the embeddings of levels 0 to 5."""
        seen: list[Tensor] = []
        finest = self.network.heads.at(1)
        handle = finest.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            embedded = self.network(maps)
        finally:
            handle.remove()
        doubled = F.interpolate(seen[0], scale_factor=2, mode="bilinear", align_corners=True)
        return [self.head0(self.level0(doubled)), *embedded]


def plain_landmark(
    network: LandmarkNetwork,
    encoder: Encoder,
    pixels: Tensor,
    landmark: int,
    anchors: Sequence[Tensor],
) -> Tensor:
    """Find one landmark with nothing kept from the others: (row, column) of the best pixel.

    Encoder, decoder with the landmark's adapter over whole maps, cosine with the anchor of each
    level, (E,), upsampled and multiplied, and the highest place: as published.
    """
    maps = [level.float() for level in encoder(pixels).after_pooling.maps]
    total = torch.ones(())
    for embedding, anchor in zip(network(maps, landmark), anchors, strict=True):
        cosine = F.cosine_similarity(embedding[0], anchor[:, None, None], dim=0)
        full = F.interpolate(cosine[None, None], pixels.shape[-2:], mode="bilinear")
        total = total * full[0, 0].clamp_min(0)
    best = total.argmax()
    return torch.stack((best // total.shape[1], best % total.shape[1]))
