"""Memory during a training: keep what was freed, and know when there is none."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep large blocks that it frees, for the next step.

    Each step allocates the same hundreds of megabytes. By default glibc hands
    blocks of that size back to the system at once and gets every page anew. What that
    costs differs from system to system (docs/benchmarks/training.md).

    Returns
    -------
    bool
        Whether this system's allocator can be told so; glibc's can.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # Another C library; its allocator knows no such setting.
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory has run out, on a GPU or here."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
