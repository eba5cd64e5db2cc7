"""What every encoder gives: feature maps at strides 2 … 32, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch


class WeightsOrigin(BaseModel):
    """What a model remembers of its encoder's weights.

    The hash is that of the content, not of the file: it survives a copy, another
    name and another file format.

    Attributes
    ----------
    sha256 : str
        Hash of the parameters' content; see `vgg19.content_sha256`.
    path : str
        Absolute path of the file; empty where they came from no file.
    given : str
        The path as the user wrote it; empty where the weights were looked for.
    source : str
        Address that they were fetched from; empty where it is not known.
    packed_sha256 : str
        Hash of the content that lies beside the model, in half precision; empty
        where none does.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: str
    path: str = ""
    given: str = ""
    source: str = ""
    packed_sha256: str = ""


@dataclass(frozen=True)
class Level:
    """One feature map of an encoder.

    Parameters
    ----------
    name : str
        For example ``"conv3_4"`` (before a pooling) or ``"pool3"`` (after it).
    stride : int
        Input pixels per cell. Cell centres lie at ``stride * (i + 0.5) - 0.5``.
    channels : int
        Length of a feature vector.
    after_pooling : bool
        True for the map right after a pooling: the ones that CC2D uses.
    """

    name: str
    stride: int
    channels: int
    after_pooling: bool = True


@dataclass(frozen=True)
class EncoderCard:
    """Identity of an encoder: stands in every result.

    Parameters
    ----------
    name : str
        Short and stable: ``"vgg19"``.
    title : str
        For people: ``"VGG19 (ImageNet)"``.
    weights_sha256 : str
        Hash of the parameters' content; empty where there are none.
    levels : tuple of Level
        In the order of the maps, fine to coarse.
    note : str
        One sentence a user should know, empty where there is nothing to say.
    origin : WeightsOrigin, optional
        Where the weights lay; no part of the identity.
    """

    name: str
    title: str
    weights_sha256: str
    levels: tuple[Level, ...]
    note: str = ""
    origin: WeightsOrigin | None = field(default=None, compare=False)

    @property
    def identity(self) -> str:
        """Name and first digits of the weights' hash, for results and caches."""
        digits = self.weights_sha256[:8]
        return f"{self.name}-{digits}" if digits else self.name


@dataclass(frozen=True)
class FeaturePyramid:
    """Feature maps of a batch of images.

    Parameters
    ----------
    maps : tuple of Tensor
        One (B, C, H / stride, W / stride) map per level, any float type.
    levels : tuple of Level
        What the maps are, in the same order.
    """

    maps: tuple[torch.Tensor, ...]
    levels: tuple[Level, ...]

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
        """Encode (B, 1, H, W) grey images in 0..1, without gradient.

        H and W are multiples of 32. Normalisation is the encoder's business.
        """
