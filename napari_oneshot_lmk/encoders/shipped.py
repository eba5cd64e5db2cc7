"""The encoder that comes with the package and needs no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder


def shipped_encoder(device: torch.device | str = "cpu") -> Encoder:
    """Return the best encoder that is usable without any download.

    Parameters
    ----------
    device : torch.device or str
        Where it computes.
    """
    import torch

    from napari_oneshot_lmk.encoders.orientation import OrientationEncoder

    return OrientationEncoder(torch.device(device))
