"""Sizes of a network: what is needed to build it again and load its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from napari_oneshot_lmk.errors import UsageError

Normalisation = Literal["batch", "landmark", "none"]
"""Of the shared layers: one batch norm for all landmarks, one per landmark, or none."""

Head = Literal["embeddings", "heatmaps"]
"""What a network makes of the decoder's maps."""

LEVELS = (1, 2, 3, 4, 5)
"""Fine to coarse: level i has stride 2**i."""
STRIDES = tuple(2**level for level in LEVELS)
RFB_LEVELS = (3, 4, 5)
WINDOWED_LEVELS = (1, 2, 3)
DECODER_WIDTHS = (128, 64, 128, 256)
"""Output channels of CC2D's decoder blocks, levels 1 to 4."""
RFB_WIDTHS = (128, 256, 512)
"""Output channels of CC2D's receptive field blocks, levels 3 to 5."""
SMALLEST_WIDTH = 8
"""Channels of a block at least, however small the width multiplier."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a `LandmarkNetwork`; a `UsageError` is raised where no network has them."""

    encoder_channels: tuple[int, ...]
    """Of the five encoder maps, fine to coarse (strides 2, 4, 8, 16, 32)."""
    num_landmarks: int
    """Number of adapters."""
    adapter_channels: int = 16
    """C_A of the paper, 0 for a network without adapters."""
    width: float = 1.0
    """Multiplies the channels of the shared decoder and receptive field blocks; 1 is CC2D."""
    embedding_channels: int = 64
    """Length of an embedding, the same on all levels."""
    normalisation: Normalisation = "batch"
    """Of the shared parts. Adapters always have batch norms of their own, or none."""
    lateral_channels: int = 0
    """A 1 x 1 convolution first brings each encoder map to so many channels: most of a
    narrow network's work is reading VGG19's 512. 0, as in CC2D: no such convolution."""
    rfb: bool = True
    """Whether levels 3 to 5 have receptive field blocks, as in CC2D."""
    head: Head = "embeddings"
    """What it makes of the decoder's maps: embeddings of every level, or a map of each landmark;
    then without adapters and receptive field blocks."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        object.__setattr__(self, "encoder_channels", tuple(self.encoder_channels))
        if len(self.encoder_channels) != len(LEVELS) or min(self.encoder_channels) < 1:
            raise UsageError(
                f"a network needs channels of {len(LEVELS)} encoder maps, fine to "
                f"coarse, not {self.encoder_channels}"
            )
        if self.num_landmarks < 1 or self.embedding_channels < 1:
            raise UsageError("a network needs at least one landmark and one channel")
        if min(self.adapter_channels, self.lateral_channels) < 0 or not self.width > 0:
            raise UsageError(
                f"{self.adapter_channels} adapter channels at width {self.width} make no network",
                remedy="adapter channels are 0 or more and the width is above 0",
            )
        if self.normalisation not in get_args(Normalisation):
            raise UsageError(
                f"there is no normalisation {self.normalisation!r}",
                remedy=f"choose from {', '.join(get_args(Normalisation))}",
            )
        if self.head not in get_args(Head):
            raise UsageError(
                f"there is no head {self.head!r}", remedy=f"choose from {', '.join(get_args(Head))}"
            )
        if self.head == "heatmaps" and (
            self.adapter_channels or self.rfb or self.normalisation == "landmark"
        ):
            raise UsageError("a network that draws heatmaps has no layers of single landmarks")

    @property
    def rfb_levels(self) -> tuple[int, ...]:
        """Levels whose embedding is computed from a receptive field block."""
        return RFB_LEVELS if self.rfb else ()

    @property
    def windowed_levels(self) -> tuple[int, ...]:
        """Levels that training decodes only around the points.

        Not those of receptive field blocks, which read far around.
        """
        return tuple(level for level in WINDOWED_LEVELS if level not in self.rfb_levels)

    def skip_channels(self, level: int) -> int:
        """Channels of the encoder's map as the decoder reads it."""
        return self.lateral_channels or self.encoder_channels[level - 1]

    def shared_channels(self, level: int) -> int:
        """Channels of the shared part of F_c (equation 3)."""
        if level == LEVELS[-1]:
            return self.skip_channels(level)
        return self._scale(DECODER_WIDTHS[level - 1])

    def decoded_channels(self, level: int) -> int:
        """Channels of F_c, adapter included; F_v at level 5."""
        adapter = 0 if level == LEVELS[-1] else self.adapter_channels
        return self.shared_channels(level) + adapter

    def concat_channels(self, level: int) -> int:
        """Channels of F_concat (equation 2)."""
        return self.skip_channels(level) + self.decoded_channels(level + 1)

    def rfb_channels(self, level: int) -> int:
        """Channels of the shared receptive field block (equation 4)."""
        return self._scale(RFB_WIDTHS[level - RFB_LEVELS[0]])

    def head_channels(self, level: int) -> int:
        """Channels that the 1 x 1 convolution to the embedding reads (equation 5)."""
        if level in self.rfb_levels:
            return self.rfb_channels(level) + self.adapter_channels
        return self.decoded_channels(level)

    def _scale(self, channels: int) -> int:
        return max(SMALLEST_WIDTH, round(channels * self.width))

    def to_json(self) -> dict[str, Any]:
        """Return the sizes as plain values."""
        content = asdict(self) | {"encoder_channels": list(self.encoder_channels)}
        if self.head == "embeddings":
            del content["head"]  # earlier versions of this program read such a network, too
        # The key of every model that was saved before the field had its name.
        return {"landmarks" if key == "num_landmarks" else key: content[key] for key in content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> NetworkConfig:
        """Undo `to_json`; a missing, unknown or wrong entry raises a `UsageError`."""
        known = {part.name for part in fields(cls)} - {"num_landmarks"} | {"landmarks"}
        unknown = sorted(set(content) - known)
        if unknown:
            raise UsageError(f"a network's layout has no {', '.join(unknown)}")
        try:
            values = dict(content)
            values["num_landmarks"] = values.pop("landmarks")
            values["encoder_channels"] = tuple(int(c) for c in content["encoder_channels"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"a network's layout cannot be read: {error}") from error
