"""VGG19's convolution part, as torchvision's ``vgg19().features``, as a frozen encoder."""

from __future__ import annotations

import hashlib
import importlib
import math
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import nn

from napari_oneshot_lmk.encoders.device import Precision, resolve_precision
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level, WeightsOrigin
from napari_oneshot_lmk.errors import UsageError, WeightsError

_REMEDY = "give the weights of torchvision.models.vgg19"


@dataclass(frozen=True)
class InputNormalisation:
    """Per-channel (value - mean) / std of RGB values in 0..1.

    Raises `WeightsError` if these are not three finite numbers each, the second positive.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        for values in (self.mean, self.std):
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise WeightsError(f"input normalisation {values} is not three finite numbers")
        if min(self.std) <= 0:
            raise WeightsError(f"input normalisation divides by {self.std}")


IMAGENET = InputNormalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What the weights of torchvision's classification models were trained with."""

WIDTHS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Channels of the convolutions of each block; a pooling follows each block."""


class VGG19Encoder(nn.Module):
    """Frozen VGG19 that returns the maps before and after each pooling.

    Only the layers up to the coarsest level that is asked for exist and run.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        Parameters under torchvision's names ``features.N.weight`` and
        ``features.N.bias``, any floating type. Others are ignored.
    normalisation : InputNormalisation
        That the parameters were trained with.
    device : torch.device or str
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"``: bfloat16 where the hardware has units for it. Parameters and maps are
        then in bfloat16: as autocast, without converting 20 million parameters per call.
    levels : sequence of str, optional
        Names of the levels to return, always fine to coarse; by default the nine at
        strides 2 … 32 (full resolution costs more than it gains).
    weights_sha256 : str, optional
        Hash of the parameters' content, if they were checked and hashed when they were read
        (`checked_parameters`, `content_sha256`); they are not checked again.
    title, origin
        Of the card.

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
        normalisation: InputNormalisation = IMAGENET,
        device: torch.device | str = "cpu",
        precision: Precision = "auto",
        *,
        levels: Sequence[str] | None = None,
        weights_sha256: str | None = None,
        title: str = "VGG19",
        origin: WeightsOrigin | None = None,
    ) -> None:
        super().__init__()
        parameters = checked_parameters(state_dict) if weights_sha256 is None else state_dict
        layers = _build_features()
        self._taps = _choose_taps(_find_taps(layers), levels)
        self.device = torch.device(device)
        self._dtype = resolve_precision(self.device, precision)
        self.card = EncoderCard(
            name="vgg19",
            title=title,
            weights_sha256=weights_sha256 or content_sha256(parameters),
            levels=tuple(self._taps.values()),
            origin=origin,
        )
        self.features = nn.Sequential(*list(layers)[: max(self._taps) + 1])
        own = {
            name: parameters[f"features.{name}"].detach().to(self.device, self._dtype)
            for name in self.features.state_dict()
        }
        self.features.load_state_dict(own, assign=True)
        self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = torch.tensor((normalisation.mean, normalisation.std))
        self._mean = mean.view(1, 3, 1, 1).to(self.device)
        self._std = std.view(1, 3, 1, 1).to(self.device)
        self.requires_grad_(False).eval()

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
            Maps after the ReLU, in the encoder's precision, channels last in memory.

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
        grey = images.to(self.device, torch.float32)
        # Grey becomes RGB by broadcasting. This is not folded into the first convolution,
        # whose zero padding means the mean colour, not black; it costs almost nothing.
        signal = ((grey - self._mean) / self._std).to(
            dtype=self._dtype, memory_format=torch.channels_last
        )
        maps = []
        for index, layer in enumerate(self.features):
            signal = layer(signal)
            if index in self._taps:
                maps.append(signal)
        return FeaturePyramid(tuple(maps), self.card.levels)


def _build_features() -> nn.Sequential:
    """Return the layers of torchvision's ``vgg19().features``, with parameters without memory.

    Made here, because importing torchvision takes as long as importing PyTorch; a test compares
    them with torchvision's.
    """
    layers: list[nn.Module] = []
    channels = 3
    # On the meta device: generating random parameters takes longer than reading real ones.
    with torch.device("meta"):
        for block in WIDTHS:
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _find_taps(features: nn.Sequential) -> dict[int, Level]:
    """Return layer number → level: the last ReLU before each pooling, and the pooling."""
    taps: dict[int, Level] = {}
    block, convolutions, channels, stride = 1, 0, 0, 1
    for index, layer in enumerate(features):
        if isinstance(layer, nn.Conv2d):
            convolutions += 1
            channels = layer.out_channels
        elif isinstance(layer, nn.MaxPool2d):
            before = f"conv{block}_{convolutions}"
            taps[index - 1] = Level(before, stride, channels, after_pooling=False)
            stride *= 2
            taps[index] = Level(f"pool{block}", stride, channels)
            block, convolutions = block + 1, 0
    return taps


def _choose_taps(taps: dict[int, Level], names: Sequence[str] | None) -> dict[int, Level]:
    if names is None:
        return {index: level for index, level in taps.items() if level.stride > 1}
    known = [level.name for level in taps.values()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = ", ".join(unknown) or "an empty list"
        raise UsageError(f"VGG19 has no level {wrong}", remedy=f"choose from {', '.join(known)}")
    return {index: level for index, level in taps.items() if level.name in names}


@cache
def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Return name → shape of every parameter, in torchvision's names and order."""
    state = _build_features().state_dict()
    return {f"features.{name}": tuple(value.shape) for name, value in state.items()}


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `WeightsError` if a parameter is missing, superfluous, or of another shape.

    Called before anything is read into memory. What is outside ``features.`` (the classifier)
    is ignored.
    """
    expected = parameter_shapes()
    missing = [name for name in expected if name not in shapes]
    if len(missing) == len(expected):
        raise WeightsError(f"it holds no VGG19 parameters ({_some(shapes)})", remedy=_REMEDY)
    if missing:
        raise WeightsError(f"VGG19 parameters are missing ({_some(missing)})", remedy=_REMEDY)
    for name, shape in expected.items():
        if tuple(shapes[name]) != shape:
            sizes = f"{_size(shapes[name])} instead of {_size(shape)}"
            what = f"it is of another architecture: {name} is {sizes}"
            raise WeightsError(what, remedy=_REMEDY)
    extra = [name for name in shapes if name.startswith("features.") and name not in expected]
    if extra:
        what = f"it is of another architecture: VGG19 has no {_some(extra)}"
        raise WeightsError(what, remedy=_REMEDY)


def checked_parameters(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a copy of the convolution part in float32, in layer order.

    Raises `WeightsError` if it is not VGG19's, not of a floating type, or not finite.
    """
    tensors = {k: v for k, v in state_dict.items() if isinstance(v, torch.Tensor)}
    check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    parameters = {}
    for name in parameter_shapes():
        tensor = tensors[name].detach()
        if not tensor.is_floating_point():
            raise WeightsError(f"{name} holds {tensor.dtype}, not floating point")
        # A copy: the file may be mapped into memory, and vanish or change later.
        tensor = tensor.to(device="cpu", dtype=torch.float32, copy=True).contiguous()
        # The extremes show any NaN or infinity, ten times faster than testing each value.
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
        digest.update(tensor.numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def _some(names: Iterable[str], count: int = 2) -> str:
    listed = [str(name)[:60] for name in names]
    if not listed:
        return "it is empty"
    shown = ", ".join(listed[:count])
    return shown if len(listed) <= count else f"{shown} and {len(listed) - count} more"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "a single number"


# The operators that torchvision describes to PyTorch even where its compiled part is missing.
_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# PyTorch forgets a declaration when the library object that made it is deleted.
_declared: list[Any] = []
_importing = threading.Lock()


def load_torchvision(submodule: str) -> ModuleType:
    """Import a submodule of torchvision (``"models"``); nothing else in this package does.

    torchvision's compiled part may not load: with a CPU build of PyTorch when it was built
    for CUDA (pip may install that pair), or with another version of PyTorch. Then its
    operators do not exist, and importing any of it fails with ``operator torchvision::nms does
    not exist`` (pytorch/vision issues 9077 and 9085), although models, weights and transforms
    need none of them. With the operators declared it can be imported; what computes with
    them (``torchvision.ops.nms``, image codecs) still raises.

    Raises
    ------
    ImportError
        If it is not installed or cannot be imported even so.
    """
    with _importing:
        try:
            try:
                import torchvision  # noqa: F401
            except RuntimeError as error:
                if "operator torchvision::" not in str(error):
                    raise
                # A failed import leaves modules behind.
                for name in list(sys.modules):
                    if name.split(".")[0] == "torchvision":
                        del sys.modules[name]
                _declare_operators()
            return importlib.import_module(f"torchvision.{submodule}")
        except RuntimeError as error:
            raise ImportError(f"torchvision cannot be imported: {error}") from error


def vgg19_weights_url() -> str:
    """Return the address that torchvision's weights enum gives for VGG19."""
    return str(load_torchvision("models").VGG19_Weights.IMAGENET1K_V1.url)


def _declare_operators() -> None:
    library: Any = torch.library  # its functions carry no types
    fragment = library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            fragment.define(name + _SIGNATURE)
    _declared.append(fragment)
