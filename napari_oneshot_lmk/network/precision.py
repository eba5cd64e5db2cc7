"""In which floating type a network computes."""

from __future__ import annotations

import torch


def computing_in(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Compute in a narrower type inside a ``with`` block; parameters stay float32.

    Parameters
    ----------
    device : torch.device
        Where.
    dtype : torch.dtype
        ``torch.float32`` changes nothing.
    """
    narrow = dtype != torch.float32
    return torch.autocast(device.type, dtype if narrow else None, enabled=narrow)
