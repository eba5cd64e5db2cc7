"""Folders in which weights may already lie."""

from __future__ import annotations

import os
from pathlib import Path

TORCHVISION_FILE = "vgg19-dcbb9e9d.pth"
"""torchvision's name of the weights; the digits begin their SHA-256."""

CACHED_FILE = "vgg19-features.safetensors"
"""Our name of the convolution part that is kept of them."""


def cache_folder() -> Path:
    """Return this package's cache: ``ONESHOT_LMK_CACHE``, or the system's place."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("ONESHOT_LMK_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return user_cache_path("napari-oneshot-lmk", appauthor=False)


def torchvision_cache_folder() -> Path:
    """Return where torchvision keeps downloads, without importing PyTorch.

    The rule of ``torch.hub.get_dir``.
    """
    home = os.environ.get("TORCH_HOME")
    if home is None:
        home = str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
