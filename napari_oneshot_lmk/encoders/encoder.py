"""What every encoder returns: feature maps at strides 2 … 32, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel

if TYPE_CHECKING:
    import torch


class WeightsOrigin(BaseModel, frozen=True):
    """What a model remembers of its encoder's weights.

    The hashes are of the content, not of the file: they survive a copy, another name and
    another file format.
    """

    sha256: str
    """Of the parameters; see `vgg19.content_sha256`."""
    path: str = ""
    """Absolute path of the file; empty where they came from no file."""
    given: str = ""
    """The path as the user wrote it; empty where the weights were searched."""
    source: str = ""
    """Address that they were downloaded from; empty where it is not known."""
    packed_sha256: str = ""
    """Of the parameters in the model's folder, in half precision; empty without them."""


@dataclass(frozen=True)
class Level:
    """One feature map of an encoder."""

    name: str
    """For example ``"conv3_4"`` (before a pooling) or ``"pool3"`` (after it)."""
    stride: int
    """Input pixels per cell. Cell centres lie at ``stride * (i + 0.5) - 0.5``."""
    channels: int
    """Length of a feature vector."""
    after_pooling: bool = True
    """Whether it is the map right after a pooling: CC2D uses those."""


@dataclass(frozen=True)
class EncoderCard:
    """Identity of an encoder, as in every result."""

    name: str
    """Short and stable: ``"vgg19"``."""
    title: str
    """For people: ``"VGG19 (ImageNet)"``."""
    weights_sha256: str
    """Hash of the parameters' content; empty where there are none."""
    levels: tuple[Level, ...]
    """In the order of the maps, fine to coarse."""
    note: str = ""
    """One sentence for the user, empty where there is nothing to say."""
    origin: WeightsOrigin | None = field(default=None, compare=False)
    """Where the weights were; no part of the identity."""

    @property
    def identity(self) -> str:
        """Name and first digits of the weights' hash, for results and caches."""
        digits = self.weights_sha256[:8]
        return f"{self.name}-{digits}" if digits else self.name


@dataclass(frozen=True)
class FeaturePyramid:
    """Feature maps of a batch of images."""

    maps: tuple[torch.Tensor, ...]
    """One (B, C, H / stride, W / stride) map per level, any float type."""
    levels: tuple[Level, ...]
    """Of the maps, in the same order."""

    @property
    def after_pooling(self) -> FeaturePyramid:
        """Only the maps right after a pooling, one per stride."""
        chosen = [i for i, level in enumerate(self.levels) if level.after_pooling]
        return FeaturePyramid(
            tuple(self.maps[i] for i in chosen), tuple(self.levels[i] for i in chosen)
        )


@runtime_checkable
class Encoder(Protocol):
    """Turns grey images on the network's grid into a feature pyramid."""

    @property
    def card(self) -> EncoderCard:
        """Identity and levels."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __call__(self, images: torch.Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1, H and W multiples of 32, without gradient."""
