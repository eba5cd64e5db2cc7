"""Networks on the meta device: what a state_dict has to fit, before memory is taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Make modules whose parameters and buffers have a shape and a type, but no memory.

    They are on the meta device, and what would draw their first values is passed over: drawn on
    that device, some import PyTorch's compiler, which takes seconds and 90 MB.

    Examples
    --------
    >>> with on_meta_device():
    ...     layer = nn.Linear(10**6, 10**6)
    >>> layer.weight.shape, layer.weight.device.type
    (torch.Size([1000000, 1000000]), 'meta')
    """
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Passes over the functions of `torch.nn.init`, which fill a tensor and return it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
