"""What a network is made of: enough to build it again and load its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from napari_oneshot_lmk.errors import UsageError

Normalisation = Literal["batch", "landmark", "none"]
"""Of the shared layers: one batch norm for all landmarks, one for each, or none."""

LEVELS = (1, 2, 3, 4, 5)
"""Fine to coarse: level i has stride 2**i."""
STRIDES = tuple(2**level for level in LEVELS)
RFB_LEVELS = (3, 4, 5)
"""Levels whose embedding is read behind a receptive field block."""
DECODER_WIDTHS = (128, 64, 128, 256)
"""Output channels of CC2D's decoder blocks, levels 1 to 4."""
RFB_WIDTHS = (128, 256, 512)
"""Output channels of CC2D's receptive field blocks, levels 3 to 5."""
SMALLEST_WIDTH = 8
"""A width multiplier does not go below it."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a `LandmarkNetwork`.

    Parameters
    ----------
    encoder_channels : tuple of int
        Of the five encoder maps, fine to coarse (strides 2, 4, 8, 16, 32).
    num_landmarks : int
        How many adapters there are.
    adapter_channels : int
        C_A of the paper, 0 for a network without adapters.
    width : float
        Multiplies the channels of every shared decoder block and receptive field
        block; 1 is CC2D. Rounded, at least 8.
    embedding_channels : int
        Length of an embedding, the same on all levels.
    normalisation : {"batch", "landmark", "none"}
        Of the shared parts. Adapters always have batch norms of their own, or none.
    lateral_channels : int
        A 1 x 1 convolution first brings each encoder map to so many channels: most
        of a narrow network's work is reading VGG19's 512. 0, as in CC2D: none.
    rfb : bool
        Whether levels 3 to 5 have receptive field blocks, as in CC2D.

    Raises
    ------
    UsageError
        If a number makes no network.
    """

    encoder_channels: tuple[int, ...]
    num_landmarks: int
    adapter_channels: int = 16
    width: float = 1.0
    embedding_channels: int = 64
    normalisation: Normalisation = "batch"
    lateral_channels: int = 0
    rfb: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        object.__setattr__(self, "encoder_channels", tuple(self.encoder_channels))
        if len(self.encoder_channels) != len(LEVELS) or min(self.encoder_channels) < 1:
            raise UsageError(
                f"a network needs channels of {len(LEVELS)} encoder maps, fine to "
                f"coarse, not {self.encoder_channels}"
            )
        if self.num_landmarks < 1 or self.embedding_channels < 1:
            raise UsageError("a network needs at least one landmark and one channel")
        least = min(self.adapter_channels, self.lateral_channels)
        if least < 0 or not self.width > 0:
            raise UsageError(
                f"{self.adapter_channels} adapter channels at width {self.width} make no network",
                remedy="adapter channels are 0 or more and the width is above 0",
            )
        if self.normalisation not in get_args(Normalisation):
            raise UsageError(
                f"there is no normalisation {self.normalisation!r}",
                remedy=f"choose from {', '.join(get_args(Normalisation))}",
            )

    @property
    def rfb_levels(self) -> tuple[int, ...]:
        """Levels whose embedding is read behind a receptive field block."""
        return RFB_LEVELS if self.rfb else ()

    def skip_channels(self, level: int) -> int:
        """Channels of the encoder's map as the decoder reads it."""
        return self.lateral_channels or self.encoder_channels[level - 1]

    def shared_channels(self, level: int) -> int:
        """Channels of the shared part of F_c at a level (equation 3)."""
        if level == LEVELS[-1]:
            return self.skip_channels(level)
        return self._scale(DECODER_WIDTHS[level - 1])

    def decoded_channels(self, level: int) -> int:
        """Channels of F_c at a level, adapter included; F_v at level 5."""
        adapter = 0 if level == LEVELS[-1] else self.adapter_channels
        return self.shared_channels(level) + adapter

    def concat_channels(self, level: int) -> int:
        """Channels of F_concat at a level (equation 2)."""
        return self.skip_channels(level) + self.decoded_channels(level + 1)

    def rfb_channels(self, level: int) -> int:
        """Channels of the shared receptive field block at a level (equation 4)."""
        return self._scale(RFB_WIDTHS[level - RFB_LEVELS[0]])

    def head_channels(self, level: int) -> int:
        """Channels that the 1 x 1 convolution to the embedding reads (equation 5)."""
        if level in self.rfb_levels:
            return self.rfb_channels(level) + self.adapter_channels
        return self.decoded_channels(level)

    def _scale(self, channels: int) -> int:
        return max(SMALLEST_WIDTH, round(channels * self.width))

    def to_json(self) -> dict[str, Any]:
        """Return what a JSON file holds."""
        content = asdict(self)
        content["encoder_channels"] = list(self.encoder_channels)
        # The key of every model that was saved before the field had its name.
        return {"landmarks" if key == "num_landmarks" else key: content[key] for key in content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> NetworkConfig:
        """Read what `to_json` returned.

        Raises
        ------
        UsageError
            If an entry is missing, unknown or of the wrong kind.
        """
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
