"""The parameters of VGG19's convolution part: checking and hashing them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from napari_oneshot_lmk.encoders.vgg19_layout import PARAMETER_SHAPES
from napari_oneshot_lmk.errors import WeightsError

if TYPE_CHECKING:
    import torch

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
