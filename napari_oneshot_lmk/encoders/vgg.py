"""VGG19's convolution part as a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from napari_oneshot_lmk.encoders.device import Precision, resolve_precision
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level
from napari_oneshot_lmk.encoders.normalisation import IMAGENET, Normalisation
from napari_oneshot_lmk.encoders.parameters import checked_parameters, content_sha256
from napari_oneshot_lmk.encoders.vgg19_layout import CONVOLUTIONS, DEFAULT_LEVELS, LEVELS, TAPS
from napari_oneshot_lmk.encoders.weights_origin import WeightsOrigin
from napari_oneshot_lmk.errors import UsageError


class VGG19Encoder(nn.Module):
    """Frozen VGG19 with taps before and after each pooling.

    Only the layers up to the coarsest level that is asked for exist and run.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        Parameters under torchvision's names ``features.N.weight`` and
        ``features.N.bias``, any floating type. Others are ignored.
    normalisation : Normalisation
        What the parameters expect of their input.
    device : torch.device or str
        Where it computes.
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"``: bfloat16 where the hardware has units for it. Parameters and
        maps are then kept in bfloat16: what autocast computes, without
        converting twenty million parameters at each call.
    levels : sequence of str, optional
        Names of the levels to return, by default the nine at strides 2 … 32.
        They are returned fine to coarse whatever their order here.
    weights_sha256 : str, optional
        Hash of the parameters' content where it is known already.
    title : str
        What these weights are, for people.
    origin : WeightsOrigin, optional
        Where they lay.

    Raises
    ------
    WeightsError
        If the parameters are not those of VGG19.
    UsageError
        If a level or the precision is unknown.
    """

    def __init__(
        self,
        state_dict: Mapping[str, torch.Tensor],
        normalisation: Normalisation = IMAGENET,
        device: torch.device | str = "cpu",
        precision: Precision = "auto",
        *,
        levels: Sequence[str] | None = None,
        weights_sha256: str | None = None,
        title: str = "VGG19",
        origin: WeightsOrigin | None = None,
    ) -> None:
        super().__init__()
        parameters = checked_parameters(state_dict)
        chosen = _chosen_levels(levels)
        self._device = torch.device(device)
        self._dtype = resolve_precision(self._device, precision)
        self._taps = {i: level for i, level in TAPS.items() if level in chosen}
        self._card = EncoderCard(
            name="vgg19",
            title=title,
            weights_sha256=weights_sha256 or content_sha256(parameters),
            levels=chosen,
            origin=origin,
        )
        # On the meta device: random numbers for parameters that are replaced at
        # once would take longer than reading them.
        with torch.device("meta"):
            self.features = _features(last=max(self._taps))
        own = {
            name: parameters[f"features.{name}"].to(self._device, self._dtype)
            for name in self.features.state_dict()
        }
        self.features.load_state_dict(own, assign=True)
        self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = torch.tensor((normalisation.mean, normalisation.std))
        self._mean = mean.view(1, 3, 1, 1).to(self._device)
        self._std = std.view(1, 3, 1, 1).to(self._device)
        self.requires_grad_(False).eval()

    @property
    def card(self) -> EncoderCard:
        """Identity and levels."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of computation and maps."""
        return self._dtype

    def train(self, mode: bool = True) -> VGG19Encoder:
        """Stay in evaluation mode: the encoder is frozen by design."""
        return super().train(False)

    # Not inference_mode: its tensors may not enter an autograd graph, and heads are
    # trained on these maps.
    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1.

        Returns
        -------
        FeaturePyramid
            Maps after the ReLU, in the encoder's precision, channels last in
            memory.

        Raises
        ------
        UsageError
            If the shape is not (B, 1, H, W) with H and W multiples of 32.
        """
        rest = [images.shape[i] % 32 for i in (-2, -1)] if images.ndim == 4 else [1]
        if any(rest) or images.shape[1] != 1:
            raise UsageError(
                f"images of shape {tuple(images.shape)} are not (batch, 1, rows, "
                "columns) with rows and columns multiples of 32"
            )
        grey = images.to(self._device, torch.float32)
        # Grey becomes RGB by broadcasting. The repetition is not folded into the
        # first convolution: its zero padding means the mean colour, not black,
        # and the whole step costs less than a thousandth of the network.
        signal = ((grey - self._mean) / self._std).to(
            dtype=self._dtype, memory_format=torch.channels_last
        )
        maps = []
        for index, layer in enumerate(self.features):
            signal = layer(signal)
            if index in self._taps:
                maps.append(signal)
        return FeaturePyramid(tuple(maps), self._card.levels)


def _features(last: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(last + 1):
        if index in CONVOLUTIONS:
            given, channels = CONVOLUTIONS[index]
            layers.append(nn.Conv2d(given, channels, kernel_size=3, padding=1))
        elif index - 1 in CONVOLUTIONS:
            layers.append(nn.ReLU(inplace=True))
        else:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _chosen_levels(names: Sequence[str] | None) -> tuple[Level, ...]:
    if names is None:
        return DEFAULT_LEVELS
    known = [level.name for level in LEVELS]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = ", ".join(unknown) or "an empty list"
        raise UsageError(f"VGG19 has no level {wrong}", remedy=f"choose from {', '.join(known)}")
    return tuple(level for level in LEVELS if level.name in names)
