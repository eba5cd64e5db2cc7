"""VGG19's convolution part as a frozen encoder."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_oneshot_lmk.encoders.device import Precision, resolve_precision
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level, WeightsOrigin
from napari_oneshot_lmk.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

# The operators that torchvision describes to PyTorch even where they are missing;
# of all others it first asks whether its compiled part was loaded.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# PyTorch forgets a declaration when the library object that made it goes.
_declared: list[Any] = []
_importing = threading.Lock()


def load_torchvision(submodule: str = "") -> ModuleType:
    """Import torchvision, or one of its submodules.

    Parameters
    ----------
    submodule : str
        For example ``"models"`` or ``"transforms.v2"``; empty for the package.

    Raises
    ------
    ImportError
        If it is not installed or cannot be imported even so.
    """
    with _importing:
        try:
            return _imported(submodule)
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise ImportError(f"torchvision cannot be imported: {error}") from error
        _forget_attempt()
        _declare_operators()
        try:
            return _imported(submodule)
        except RuntimeError as error:
            raise ImportError(f"torchvision cannot be imported: {error}") from error


def vgg19_weights_url() -> str:
    """Return the address that torchvision's weights enum gives for VGG19.

    Raises
    ------
    ImportError
        If torchvision cannot be imported.
    """
    return str(load_torchvision("models").VGG19_Weights.IMAGENET1K_V1.url)


def _imported(submodule: str) -> ModuleType:
    import torchvision

    if not submodule:
        return torchvision  # type: ignore[no-any-return]
    return importlib.import_module(f"torchvision.{submodule}")


def _forget_attempt() -> None:
    """Drop what a failed import left behind, so that the next one starts anew."""
    for name in list(sys.modules):
        if name == "torchvision" or name.startswith("torchvision."):
            del sys.modules[name]


def _declare_operators() -> None:
    import torch

    library: Any = torch.library  # its functions carry no types
    fragment = library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            fragment.define(schema)
    _declared.append(fragment)


BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3 x 3 convolutions of each block; a pooling follows."""

ARCHITECTURE = "torchvision.models.vgg19.features"


def _convolutions() -> dict[int, tuple[int, int]]:
    layers, index, given = {}, 0, 3
    for channels, count in BLOCKS:
        for _ in range(count):
            layers[index] = (given, channels)
            given = channels
            index += 2  # its ReLU
        index += 1  # the pooling
    return layers


def _taps() -> dict[int, Level]:
    levels, index, stride = {}, 0, 1
    for block, (channels, count) in enumerate(BLOCKS, start=1):
        index += 2 * count
        name = f"conv{block}_{count}"
        levels[index - 1] = Level(name, stride, channels, after_pooling=False)
        stride *= 2
        levels[index] = Level(f"pool{block}", stride, channels)
        index += 1
    return levels


CONVOLUTIONS = _convolutions()
"""Layer number → channels in, channels out."""

TAPS = _taps()
"""Layer number → level whose map its output is, fine to coarse."""

LEVELS = tuple(TAPS.values())
"""All ten levels: the last ReLU before each pooling, and the pooling."""

DEFAULT_LEVELS = tuple(level for level in LEVELS if level.stride > 1)
"""The nine at strides 2 … 32; full resolution costs more than it brings."""

PARAMETER_SHAPES: dict[str, tuple[int, ...]] = {
    f"features.{index}.{kind}": shape
    for index, (given, channels) in CONVOLUTIONS.items()
    for kind, shape in (("weight", (channels, given, 3, 3)), ("bias", (channels,)))
}
"""Name → shape of every parameter, in torchvision's names."""


_REMEDY = "give the weights of torchvision.models.vgg19"


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check names and shapes before anything is read into memory.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of everything that the file holds; what is outside ``features.`` (the
        classifier) is of no interest.

    Raises
    ------
    WeightsError
        If a parameter is missing, too many, or of another shape.
    """
    missing = [name for name in PARAMETER_SHAPES if name not in shapes]
    if missing:
        if len(missing) == len(PARAMETER_SHAPES):
            what = f"it holds no VGG19 parameters ({_some(shapes)})"
        else:
            what = f"VGG19 parameters are missing ({_some(missing)})"
        raise WeightsError(what, remedy=_REMEDY)
    wrong = [
        f"{name} is {_size(shapes[name])} instead of {_size(shape)}"
        for name, shape in PARAMETER_SHAPES.items()
        if tuple(shapes[name]) != shape
    ]
    if wrong:
        raise WeightsError(f"it is of another architecture: {wrong[0]}", remedy=_REMEDY)
    extra = [
        name for name in shapes if name.startswith("features.") and name not in PARAMETER_SHAPES
    ]
    if extra:
        raise WeightsError(
            f"it is of another architecture: VGG19 has no {_some(extra)}", remedy=_REMEDY
        )


def checked_parameters(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a copy of the convolution part in float32, in layer order.

    Raises
    ------
    WeightsError
        If it is not VGG19's, not of a floating type, or not finite.
    """
    import torch

    tensors = {k: v for k, v in state_dict.items() if isinstance(v, torch.Tensor)}
    check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    parameters = {}
    for name in PARAMETER_SHAPES:
        tensor = tensors[name].detach()
        if not tensor.is_floating_point():
            raise WeightsError(f"{name} holds {tensor.dtype}, not floating point")
        # A copy: the file may be mapped into memory, and vanish or change later.
        tensor = tensor.to(device="cpu", dtype=torch.float32, copy=True).contiguous()
        # The extremes show any NaN or infinity, ten times faster than asking each.
        if not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
            raise WeightsError(f"{name} holds values that are not finite")
        parameters[name] = tensor
    return parameters


def content_sha256(parameters: Mapping[str, torch.Tensor]) -> str:
    """Hash names, shapes and float32 values, whatever file they came from."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        tensor = parameters[name].detach().cpu().float().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _some(names: Iterable[str], count: int = 2) -> str:
    listed = [str(name)[:60] for name in names]
    if not listed:
        return "it is empty"
    shown = ", ".join(listed[:count])
    return shown if len(listed) <= count else f"{shown} and {len(listed) - count} more"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "a single number"


Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """Per-channel (value - mean) / std of RGB values in 0..1.

    Parameters
    ----------
    mean, std : tuple of float
        One value each for red, green and blue.
    """

    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        """Check that three finite values stand in each, and no zero divisor."""
        for values in (self.mean, self.std):
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise WeightsError(f"input normalisation {values} is not three finite numbers")
        if min(self.std) <= 0:
            raise WeightsError(f"input normalisation divides by {self.std}")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Normalisation:
        """Read what a safetensors file says about its input.

        Understands the keys ``mean`` and ``std`` (a JSON list each), or one
        sentence under ``input`` that names a mean and a std of three numbers.
        A file that says nothing has torchvision's weights, hence ImageNet's
        normalisation.

        Raises
        ------
        WeightsError
            If the file says something that cannot be understood.
        """
        if "mean" in metadata or "std" in metadata:
            return cls(_listed(metadata, "mean"), _listed(metadata, "std"))
        if "input" in metadata:
            return cls(_spoken(metadata, "mean"), _spoken(metadata, "std"))
        return IMAGENET

    def to_metadata(self) -> dict[str, str]:
        """Return the entries that `from_metadata` reads."""
        return {"mean": json.dumps(self.mean), "std": json.dumps(self.std)}


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What the weights of torchvision's classification models were trained with."""


def _listed(metadata: Mapping[str, str], key: str) -> Triple:
    try:
        red, green, blue = (float(value) for value in json.loads(metadata[key]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the entry {key!r} of its metadata is not a list of three numbers"
        ) from error
    return red, green, blue


_NUMBER = r"(\d*\.?\d+(?:e-?\d+)?)"


def _spoken(metadata: Mapping[str, str], key: str) -> Triple:
    pattern = rf"\b{key}\b\D*?{_NUMBER}[\s,;]+{_NUMBER}[\s,;]+{_NUMBER}"
    found = re.search(pattern, metadata["input"][:1000], flags=re.IGNORECASE)
    if found is None:
        raise WeightsError(f"the entry 'input' of its metadata names no {key}")
    red, green, blue = (float(value) for value in found.groups())
    return red, green, blue


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
