"""The encoder that needs no download: a compact CNN beside gradient orientations.

The CNN reads, at each stride, the direction histograms that the hand-made descriptor of
`OrientationEncoder` stacks, and has learnt how to combine a neighbourhood of 9 x 9 cells of them.
One set of weights serves all strides. It was trained on generated images alone
(``scripts/train_compact_encoder.py``): no photograph, radiograph or foreign weight took part.
Beside its maps stand the hand-made descriptors of the strides where they help most
(docs/benchmarks/shipped_encoder.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.device import Precision, resolve_precision
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level
from napari_oneshot_lmk.encoders.orientation import (
    DESCRIPTOR_CHANNELS,
    DIRECTIONS,
    STRIDES,
    root_histograms_of,
    stack_neighbours,
)
from napari_oneshot_lmk.encoders.vgg19 import content_sha256
from napari_oneshot_lmk.errors import WeightsError

WIDTH = 48
CHANNELS = 64
REACH = 4
"""Cells around its own that a vector depends on."""
ENERGY_REACH = 3
ORIENTATION_STRIDES = (4,)
"""Strides of the hand-made descriptors beside the CNN's maps."""
WEIGHTS_FILE = Path(__file__).with_name("compact.safetensors")
WEIGHTS_SHA256 = "2088a7b9228ce9a5a6a34476071213d4c496d8369e2ed76ae01615b71e476cf2"
"""Of the parameters' content, see `content_sha256`."""


class CompactNetwork(nn.Module):
    """Root histograms of cells (B, DIRECTIONS, h, w) to unit vectors (B, CHANNELS, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Conv2d(DIRECTIONS, CHANNELS, 7)
        self.bend = nn.Sequential(
            nn.Conv2d(DIRECTIONS, WIDTH, 3),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, dilation=2),
            nn.ReLU(),
            nn.Conv2d(WIDTH, CHANNELS, 1),
        )

    def forward(self, cells: Tensor) -> Tensor:
        """Embed in the type of the parameters, channels last."""
        # All convolutions are without padding: the border is replicated once, here.
        cells = F.pad(cells, (REACH,) * 4, mode="replicate")
        energy = F.avg_pool2d(
            cells.square().mean(1, keepdim=True),
            2 * ENERGY_REACH + 1,
            stride=1,
            padding=ENERGY_REACH,
            count_include_pad=False,
        )
        cells = (cells / (energy + 1e-10).sqrt()).to(
            dtype=self.linear.weight.dtype, memory_format=torch.channels_last
        )
        inner = REACH - 3
        straight = self.linear(cells[..., inner:-inner, inner:-inner])
        return F.normalize(straight + self.bend(cells), dim=1)


class CompactEncoder(nn.Module):
    """Maps of the compact CNN at five strides, and gradient orientations at some.

    Parameters
    ----------
    device : torch.device
    note : str
        Of its card.
    precision : {"auto", "float32", "bfloat16"}
        Of the CNN; ``"auto"`` is bfloat16 where the hardware has units for it.

    Raises
    ------
    WeightsError
        If the weights in this installation are missing or damaged.
    """

    def __init__(self, device: torch.device, note: str = "", precision: Precision = "auto") -> None:
        super().__init__()
        self.device, self.dtype = device, resolve_precision(device, precision)
        self.card = compact_card(note)
        with torch.device("meta"):
            network = CompactNetwork()
        network.load_state_dict(read_compact_weights(), assign=True)
        network.requires_grad_(False).eval()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(device, self.dtype)

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1; H, W multiples of 32."""
        images = images.to(self.device, torch.float32)
        cells = root_histograms_of(images, STRIDES)
        learned = [self.network(cells[stride]) for stride in STRIDES]
        stacked = [stack_neighbours(cells[stride]) for stride in ORIENTATION_STRIDES]
        return FeaturePyramid((*learned, *stacked), self.card.levels)


@cache
def compact_card(note: str = "") -> EncoderCard:
    """Return the card of `CompactEncoder`, without reading its weights."""
    return EncoderCard(
        name="compact",
        title="Compact CNN and gradient orientations (shipped)",
        weights_sha256=WEIGHTS_SHA256,
        levels=(
            *(Level(f"compact{s}", s, CHANNELS) for s in STRIDES),
            # Training reads one map per stride.
            *(Level(f"orientation{s}", s, DESCRIPTOR_CHANNELS, False) for s in ORIENTATION_STRIDES),
        ),
        note=note,
    )


def read_compact_weights(path: Path = WEIGHTS_FILE) -> Mapping[str, Tensor]:
    """Map the shipped weights into memory, and check their hash.

    Raises
    ------
    WeightsError
        If they are missing or not those that were shipped.
    """
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        damaged = content_sha256(weights) != WEIGHTS_SHA256
    except (OSError, SafetensorError):
        damaged = True
    if damaged:
        raise WeightsError(
            "the weights that are shipped with this program are missing or damaged",
            file=path,
            remedy="install napari-oneshot-lmk again",
        )
    return weights
