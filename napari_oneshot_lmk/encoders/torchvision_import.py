"""The one place that imports torchvision, and only when it is asked to.

torchvision's compiled part may not load: beside a CPU build of PyTorch when it was
built for CUDA, or beside another version of PyTorch. Then its operators do not
exist, and importing any of it fails with ``operator torchvision::nms does not
exist`` (pytorch/vision issues 9077 and 9085), although models, weights and
transforms need none of them. Declaring the operators lets the import succeed; those
that compute with them (``torchvision.ops.nms``, image codecs) still raise.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

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
