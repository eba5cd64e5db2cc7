"""Where to compute, and which precision is fast there."""

from __future__ import annotations

import ctypes
import logging
import sys
from typing import Literal

import torch

from napari_oneshot_lmk.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]

_MMAP_MAX, _TRIM_THRESHOLD, _NEVER = -4, -1, 2**31 - 1
"""Settings of glibc's ``mallopt``, and the value of the second that is never reached."""

logger = logging.getLogger(__name__)


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device that a user named.

    Parameters
    ----------
    name : str or torch.device
        ``"auto"`` (a GPU that works, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    UsageError
        If the name is unknown, or that of a GPU that is not there.
    """
    wanted = str(name).strip().lower()
    if wanted == "auto":
        return _best_device()
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UsageError(f"device {str(name)!r} is unknown", remedy="use auto, cpu or cuda")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(
            f"a CUDA device was asked for, but this PyTorch ({torch.__version__}) finds none",
            remedy="use --device auto or cpu, or install a CUDA build of PyTorch "
            "and the NVIDIA driver",
        )
    if number and int(number) >= torch.cuda.device_count():
        last = f"the last one is cuda:{torch.cuda.device_count() - 1}"
        raise UsageError(f"device {wanted!r} does not exist", remedy=last)
    return torch.device(wanted)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        try:
            # A GPU may be listed and yet be too old for this build's kernels, or be full.
            (torch.ones(8, device="cuda") + 1).sum().item()
        except RuntimeError as error:
            logger.warning("The GPU cannot be used, computing on the CPU: %s", error)
        else:
            return torch.device("cuda")
    return torch.device("cpu")


def fast_bf16(device: torch.device) -> bool:
    """Return whether the hardware has bfloat16 units; emulated, it is slower than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # oneDNN is what uses the units; PyTorch on a Mac comes without it.
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch 2.8
        return bool(torch.cpu._is_avx512_bf16_supported())
    found = torch.cpu.get_capabilities()
    # The first two on x86, the last on ARM.
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the floating type to compute with; ``"auto"`` is bfloat16 where that is fast.

    Raises `UsageError` for an unknown name.
    """
    if precision == "auto":
        return torch.bfloat16 if fast_bf16(device) else torch.float32
    if precision not in ("float32", "bfloat16"):
        raise UsageError(
            f"precision {precision!r} is unknown", remedy="use auto, float32 or bfloat16"
        )
    return torch.float32 if precision == "float32" else torch.bfloat16


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Compute in ``dtype`` inside a ``with`` block; ``torch.float32`` changes nothing."""
    narrow = dtype != torch.float32
    return torch.autocast(device.type, dtype if narrow else None, enabled=narrow)


def keep_freed_memory() -> bool:
    """Let the process keep large blocks that it frees, for the next step.

    Each step allocates the same hundreds of megabytes. By default glibc returns blocks of
    that size to the system at once and gets every page anew. What that costs differs from
    system to system (docs/benchmarks/training.md).

    Returns
    -------
    bool
        Whether this system's allocator has such a setting; glibc's has.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory has run out, on a GPU or here."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
