"""A decoder that draws one map per landmark, of where it is, instead of embeddings.

The decoder is that of Figure 2 of the paper without adapters (equations 2 and 3), on the
frozen encoder's five maps; its finest level goes through one convolution to a map per landmark.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.network import (
    COARSEST,
    DECODER_LEVELS,
    LandmarkNetwork,
    PerLevel,
    UpBlock,
    lateral_convs,
    read_map,
)


class HeatmapNetwork(nn.Module):
    """Logits of where each of its landmarks is, over the cells of the finest level.

    Parameters
    ----------
    config : NetworkConfig
        With ``head="heatmaps"`` and without adapters.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if config.head != "heatmaps":
            raise UsageError("a layout of embeddings was given to a network that draws heatmaps")
        self.config = c = config
        self.laterals = lateral_convs(c)
        self.decoder = PerLevel(
            {
                i: UpBlock(c.concat_channels(i), c.shared_channels(i), c.normalisation, 1)
                for i in DECODER_LEVELS
            }
        )
        # Without bias: a softmax over the cells of a map does not see it.
        self.heatmaps = nn.Conv2d(c.decoded_channels(1), c.num_landmarks, 1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, N, h, w) from the encoder's maps (B, C, h, w), fine to coarse."""

        def read(level: int) -> Tensor:
            return read_map(maps, level, self.laterals, self.heatmaps.weight.dtype)

        decoded = read(COARSEST)
        for level in reversed(DECODER_LEVELS):
            decoded = self.decoder.at(level)(read(level), decoded)
        logits: Tensor = self.heatmaps(decoded)
        return logits


Network = LandmarkNetwork | HeatmapNetwork
"""What a part of a model may be."""


def build_network(config: NetworkConfig) -> Network:
    """Return a network of a layout, with random parameters."""
    if config.head == "heatmaps":
        return HeatmapNetwork(config)
    return LandmarkNetwork(config)
