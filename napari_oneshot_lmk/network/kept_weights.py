"""Weights of convolutions as they are applied, kept from one image to the next.

To detect on an image, adapters' weights are concatenated, batch norms included, and all
converted to the type that is computed in, which is the same for every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.network.multi_landmark import ChannelParts, ConvWeights


@dataclass(frozen=True, eq=False)
class _Kept:
    weights: ConvWeights
    sources: tuple[Tensor, ...]
    """What they were made of: held, so that its memory is not given to another tensor."""
    state: tuple[int, ...]


_KEPT: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], _Kept]] = WeakKeyDictionary()
"""By the first of the convolutions."""


def weights_for(
    convs: Sequence[nn.Conv2d],
    norms: Sequence[nn.BatchNorm2d],
    parts: ChannelParts,
    *,
    padded: bool = True,
) -> ConvWeights:
    """Return the weights of convolutions of one size, split by the parts that are read.

    Where no gradient is computed they are kept until a parameter changes.

    Parameters
    ----------
    convs : sequence of nn.Conv2d
        One, or one per landmark.
    norms : sequence of nn.BatchNorm2d
        In evaluation mode, to be included: none, or one for each convolution.
    parts : sequence of Tensor
        The maps that are read, see `ChannelParts`.
    padded : bool
        Without padding the maps shrink.
    """
    sources = _tensors(convs, norms)
    gradients = torch.is_grad_enabled() or torch._C._get_tracing_state() is not None
    if gradients or any(source.is_inference() for source in sources):
        return _made(convs, norms, parts, padded)
    device, dtype = sources[0].device.type, sources[0].dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    sizes = tuple(part.shape[2] for part in parts)
    key = (len(convs), len(norms), padded, dtype, sizes)
    state = _state(sources, norms)
    of_first = _KEPT.setdefault(convs[0], {})
    kept = of_first.get(key)
    if kept is None or kept.state != state:
        weights = _made(convs, norms, parts, padded).converted(dtype)
        held = tuple(source.detach() for source in sources)
        kept = of_first[key] = _Kept(weights, held, state)
    return kept.weights


def _made(
    convs: Sequence[nn.Conv2d], norms: Sequence[nn.BatchNorm2d], parts: ChannelParts, padded: bool
) -> ConvWeights:
    conv = ConvWeights.of(convs, padded=padded)
    return (conv.fuse(norms) if norms else conv).split(parts)


def _tensors(convs: Sequence[nn.Conv2d], norms: Sequence[nn.BatchNorm2d]) -> list[Tensor]:
    """All that the weights are made of."""
    tensors: list[Tensor | None] = []
    for conv in convs:
        tensors += (conv.weight, conv.bias)
    for norm in norms:
        tensors += (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return [tensor for tensor in tensors if tensor is not None]


def _state(sources: Sequence[Tensor], norms: Sequence[nn.BatchNorm2d]) -> tuple[int, ...]:
    """Where the tensors lie and how often they were changed.

    In training, running statistics are changed without being counted; steps are counted.
    """
    steps = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    changed = [tensor._version for tensor in (*sources, *steps)]
    return (*(tensor.data_ptr() for tensor in sources), *changed)
